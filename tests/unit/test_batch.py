"""The batch engine: the event simulator's numbers on an ideal network, the same in torch, seeded per environment."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from physical.arrays import Floats
from physical.errors import InputError
from physical.params import Mode, TaskOrder
from physical.ticks import to_ns
from sim.batch import BatchEnvironment, JointBatchEnvironment
from sim.bench import batch as bench
from sim.inputs.streams import Streams
from sim.learn.batch.engine import InputsKind
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from tests.support.ideal_network import NUM_CLASS, VEHICLE_SHARE_HZ, Scattered, Tides, scenario, server
from tests.support.tables import shaped
from twin.bias import BiasProcess
from twin.params import RandomWalkBias

pytestmark = pytest.mark.full


def decisions(environment: BatchEnvironment, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return random ratios, some of them 0 or 1, and shares of the server for all environments."""
    shape = tuple(environment.observe().size_bytes.shape)
    ratio = np.clip(1.5 * generator.random(shape) - 0.25, 0.0, 1.0)
    part = generator.uniform(0.5, 1.5, size=shape)
    hz = environment.system.server.frequency_hz
    return ratio, hz * part / part.sum(axis=(1, 2), keepdims=True)


# ------------------------------------------------------------------------------------------ against the event simulator
@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_environments_are_runs_on_an_ideal_network(mode: Mode, order: TaskOrder) -> None:
    count, seed = 4, 5
    bias_hz = 0.2 * VEHICLE_SHARE_HZ / NUM_CLASS
    tables = {"model": {"mode": mode, "order": order}, "twin": {"bias": {"cpu_frequency_hz": bias_hz}}}
    chosen = scenario(count, **tables)
    environment = BatchEnvironment(chosen, 3, seed, inputs="event")
    runs = [run(chosen, policy=Scattered(), seed=seed + index) for index in range(3)]

    def of_runs(table: str, name: str, *shape: int) -> Any:
        return np.stack([shaped(result, table, name, *shape) for result in runs], axis=1)

    ratio = of_runs("decisions", "offloading_ratio", count, NUM_CLASS)
    allocation_hz = of_runs("decisions", "compute_allocation_hz", count, NUM_CLASS)
    delay_ns = of_runs("tasks", "done_ns", count, NUM_CLASS) - of_runs("tasks", "generated_ns", count, NUM_CLASS)
    size_bytes = of_runs("tasks", "size_bytes", count, NUM_CLASS)
    rate_bps = of_runs("vehicles", "uplink_rate_bps", count)
    backlog_bytes = of_runs("slots", "backlog_bytes", NUM_CLASS)
    expected = {name: of_runs("slots", name) for name in ("objective", "qos", "energy_local_j", "energy_edge_j")}
    for slot in range(len(ratio)):
        present = environment.observe()
        np.testing.assert_array_equal(present.size_bytes, size_bytes[slot])
        np.testing.assert_array_equal(present.rate_bps, rate_bps[slot])
        np.testing.assert_array_equal(present.backlog_bytes, backlog_bytes[slot])
        outcome = environment.step(ratio[slot], allocation_hz[slot])
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(outcome, name), values[slot], rtol=1e-9, err_msg=name)
        assert np.abs(delay_ns[slot] - outcome.delay_s * 1e9).max() <= 1.0


def test_backlog_is_carried_over_as_in_the_event_simulator() -> None:
    """Pooled queues and uploads that take no time: eq. 5 is exact."""
    slot_s = 2.0 * NUM_CLASS * 1250e6 / VEHICLE_SHARE_HZ
    chosen = scenario(
        5,
        time={"slot_duration_s": slot_s, "num_slot": 40},
        radio={"bandwidth_hz": 1e18, "noise_w": 1e-14},
        server=server(5, "fifo"),
    )
    result = run(chosen, policy=Tides(), seed=3)
    ratio = shaped(result, "decisions", "offloading_ratio", 1, 5, NUM_CLASS)
    allocation_hz = shaped(result, "decisions", "compute_allocation_hz", 1, 5, NUM_CLASS)
    backlog_bytes = shaped(result, "slots", "backlog_bytes", 1, NUM_CLASS)
    environment = BatchEnvironment(chosen, 1, 3, inputs="event")
    for slot in range(len(ratio)):
        known = environment.observe().backlog_bytes
        np.testing.assert_allclose(known, backlog_bytes[slot], rtol=1e-9, atol=1e-9 * 1250 * 5)
        environment.step(ratio[slot], allocation_hz[slot])
    assert backlog_bytes.max() > 2 * 1250 * 5


def world(environment: BatchEnvironment, num_slot: int) -> tuple[Floats, Floats]:
    """Return sizes [T, B, N, K] and the logarithm of rates [T, B, N]."""
    sizes, rates = [], []
    zeros = np.zeros(tuple(environment.observe().size_bytes.shape))
    for _ in range(num_slot):
        present = environment.observe()
        sizes.append(present.size_bytes)
        rates.append(np.log(present.rate_bps))
        environment.step(zeros, zeros)
    return np.stack(sizes), np.stack(rates)


@pytest.mark.parametrize("kind", ["highway", "area"])
def test_fast_inputs_are_the_same_process(kind: str) -> None:
    """Means, spreads and correlations from slot to slot are within 4.5 standard errors of each other."""
    chosen = Scenario.load("dtecn-congested", [f"mobility.kind={kind}", "radio.fading=none", "bursts.burst_begin=0.2"])
    statistics = {}
    inputs: InputsKind
    for inputs in ("fast", "event"):
        sizes, rates = world(BatchEnvironment(chosen, 150, 7, inputs=inputs, num_vehicle=3), 40)
        # One number per environment and statistic: environments are independent, slots and vehicles are not.
        change = np.diff(rates, axis=0)
        statistics[inputs] = np.stack(
            [
                rates.mean(axis=(0, 2)),
                rates.var(axis=(0, 2)),
                (change * change).mean(axis=(0, 2)),
                *np.moveaxis(sizes.mean(axis=(0, 2)), -1, 0),
                *np.moveaxis(sizes.max(axis=(0, 2)), -1, 0),
                (sizes[1:, ..., 2] * sizes[:-1, ..., 2]).mean(axis=(0, 2)),
            ]
        )
    fast, event = statistics["fast"], statistics["event"]
    standard_error = np.sqrt((fast.var(axis=1) + event.var(axis=1)) / fast.shape[1])
    assert (np.abs(fast.mean(axis=1) - event.mean(axis=1)) < 4.5 * standard_error).all()


def test_fading_has_mean_one_in_the_fast_inputs() -> None:
    with_fading = [f"radio.fading={fading}" for fading in ("rayleigh", "none")]
    common = ["radio.shadowing_std_db=0", "mobility.kind=stationary", "radio.bandwidth_hz=1e12", "radio.noise_w=1e-4"]
    # In so much noise the rate is proportional to the gain.
    rates = [
        np.exp(world(BatchEnvironment(Scenario.load("dtecn", [*common, setting]), 400, 1, num_vehicle=2), 2)[1])
        for setting in with_fading
    ]
    power = rates[0] / rates[1]
    assert abs(power.mean() - 1.0) < 4.5 / np.sqrt(800)
    assert abs(power.std() - 1.0) < 0.2


# ---------------------------------------------------------------------------------------------------------------- torch
@pytest.mark.parametrize("name", ["dtecn", "dtecn-congested"])
@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_torch_is_numpy(name: str, mode: str) -> None:
    torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
    chosen = Scenario.load(name, [f"model.mode={mode}", "objective.deadline_price=2"])
    one, other = (BatchEnvironment(chosen, 6, 2, library=library, bias_spread_hz=5e8) for library in ("numpy", "torch"))
    generator = np.random.default_rng(1)
    some_backlog = False
    for _ in range(70):  # more than one block of inputs
        for known, same in zip(one.observe(), other.observe(), strict=True):
            np.testing.assert_allclose(same.numpy(), known, rtol=1e-12)
        ratio, allocation_hz = decisions(one, generator)
        expected = one.step(ratio, allocation_hz)
        outcome = other.step(torch.tensor(ratio), torch.tensor(allocation_hz))
        for field, values in expected._asdict().items():
            np.testing.assert_allclose(getattr(outcome, field).numpy(), values, rtol=1e-9, atol=1e-300, err_msg=field)
        some_backlog |= bool(expected.backlog_next_bytes.any())
    assert some_backlog == (name == "dtecn-congested")


def test_gradients_are_those_of_finite_differences() -> None:
    """Along random directions, central differences; nobody crosses a deadline in so small a step."""
    torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
    chosen = Scenario.load("dtecn-congested")
    generator = np.random.default_rng(3)

    def environment() -> BatchEnvironment:
        made = BatchEnvironment(chosen, 4, 1, library="torch", bias_spread_hz=2e8)
        made.step(torch.ones((4, 10, 3), dtype=torch.float64), torch.full((4, 10, 3), 1e8, dtype=torch.float64))
        assert (made.observe().backlog_bytes > 0).any()  # drift has a gradient, too
        return made

    ratio = generator.uniform(0.2, 0.8, size=(4, 10, 3))
    _, allocation_hz = decisions(environment(), generator)

    def objective(values: Floats, allocations: Floats) -> Floats:
        outcome = environment().step(torch.tensor(values), torch.tensor(allocations))
        found: Floats = outcome.objective.numpy()
        return found

    decided = [torch.tensor(values, requires_grad=True) for values in (ratio, allocation_hz)]
    environment().step(*decided).objective.sum().backward()
    for scale, tensor, which in ((1.0, decided[0], 0), (allocation_hz.mean(), decided[1], 1)):
        assert tensor.grad is not None
        for _ in range(5):
            direction = scale * generator.standard_normal((4, 10, 3))
            slope = (tensor.grad.numpy() * direction).sum(axis=(1, 2))
            ends = []
            for step in (1e-6, -1e-6):
                moved = [ratio, allocation_hz]
                moved[which] = moved[which] + step * direction
                ends.append(objective(*moved))
            np.testing.assert_allclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-5, atol=1e-7)


def test_what_is_carried_over_has_no_gradient() -> None:
    torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
    environment = BatchEnvironment(Scenario.load("dtecn-congested"), 2, library="torch", dtype="float32")
    ratio = torch.ones((2, 10, 3), requires_grad=True)
    outcome = environment.step(ratio, torch.full((2, 10, 3), 1e9))
    assert outcome.backlog_next_bytes.requires_grad
    present = environment.observe()
    assert not present.backlog_bytes.requires_grad
    assert {values.dtype for values in present} == {torch.float32}
    np.testing.assert_array_equal(present.backlog_bytes.numpy(), outcome.backlog_next_bytes.detach().numpy())


def test_without_torch_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r'batch: library: needs the extra marl .* pip install "vectwin\[marl\]"'):
        BatchEnvironment(Scenario.load("dtecn"), 1, library="torch")
    BatchEnvironment(Scenario.load("dtecn"), 1)


# -------------------------------------------------------------------------------------------------------------- seeding
@pytest.mark.parametrize("inputs", ["fast", "event"])
def test_more_environments_change_no_other_one(inputs: InputsKind) -> None:
    chosen = Scenario.load("dtecn-congested")

    def make(count: int, seed: int) -> BatchEnvironment:
        return BatchEnvironment(chosen, count, seed, inputs=inputs, num_vehicle=4, bias_spread_hz=1e8)

    few, many, shifted = make(2, 9), make(700, 9) if inputs == "fast" else make(5, 9), make(2, 10)
    bias_hz = [environment.observe().estimation_bias_hz for environment in (few, many, shifted)]
    np.testing.assert_array_equal(bias_hz[0], bias_hz[1][:2])
    np.testing.assert_array_equal(bias_hz[0][1], bias_hz[2][0])
    # With so many environments blocks are shorter.
    (size, rate), (size_many, rate_many), (size_shifted, rate_shifted) = (
        world(one, 70) for one in (few, many, shifted)
    )
    np.testing.assert_array_equal(size, size_many[:, :2])
    np.testing.assert_allclose(rate, rate_many[:, :2], rtol=1e-9)
    np.testing.assert_array_equal(size[:, 1], size_shifted[:, 0])
    np.testing.assert_allclose(rate[:, 1], rate_shifted[:, 0], rtol=1e-9)
    assert (size[:, 0] != size[:, 1]).mean() > 0.9


@pytest.mark.parametrize("inputs", ["fast", "event"])
def test_equal_seeds_give_equal_worlds_and_a_reset_another_one(inputs: InputsKind) -> None:
    chosen = Scenario.load("dtecn-congested")
    environment = BatchEnvironment(chosen, 2, 1, inputs=inputs)
    first = world(environment, 20)
    environment.reset()
    assert not environment.observe().backlog_bytes.any()
    second = world(environment, 20)
    environment.reset(1)
    again = world(environment, 20)
    environment.reset()
    second_again = world(environment, 20)
    for one, other, same, other_same in zip(first, second, again, second_again, strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(other, other_same)
        assert (one != other).mean() > 0.9


# ----------------------------------------------------------------------------------------------------------------- bias
def test_a_bias_that_the_twin_does_not_know_still_acts() -> None:
    biased = ["twin.bias.cpu_frequency_hz=-5e8", "twin.bias.known=false"]
    settings: list[list[str]] = [[], biased[:1], biased]
    outcomes, known = [], []
    for chosen in settings:
        environment = BatchEnvironment(Scenario.load("dtecn", chosen), 2)
        known.append(environment.observe().estimation_bias_hz)
        outcomes.append(environment.step(np.ones((2, 10, 3)), np.full((2, 10, 3), 1e10)))
    assert (known[1] == -5e8).all()
    assert not known[0].any()
    assert not known[2].any()
    np.testing.assert_array_equal(outcomes[1].objective, outcomes[2].objective)
    assert (outcomes[1].edge_delay_s > outcomes[0].edge_delay_s).all()


def test_biases_are_those_of_the_event_simulator() -> None:
    walking = Scenario.load("dtecn", ["twin.bias.cpu_frequency_hz={kind='random-walk', start=1e8, step_std=1e7}"])
    environment = BatchEnvironment(walking, 2, 4, num_vehicle=3)
    params = walking.twin.bias.cpu_frequency_hz
    assert isinstance(params, RandomWalkBias)
    expected = [
        BiasProcess(params, 3, 0.1, lambda seed=seed: Streams(seed).of_vehicles("bias-cpu-frequency", 3))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for seed in (4, 5)
    ]
    for slot in range(5):
        np.testing.assert_array_equal(environment.true_bias_hz[..., 0], [process.at(slot) for process in expected])
        environment.step(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
    in_turn = Scenario.load("dtecn", ["twin.bias.cpu_frequency_hz={kind='per-vehicle', values=[1e8, 2e8]}"])
    by_vehicle = BatchEnvironment(in_turn, 2, num_vehicle=3).true_bias_hz
    np.testing.assert_array_equal(by_vehicle[..., 0], [[1e8, 2e8, 1e8]] * 2)
    timed = Scenario.load("dtecn", ["twin.bias.cpu_frequency_hz={kind='timed', points=[[0.2, 3e8]]}"])
    environment = BatchEnvironment(timed, 2)
    seen = []
    for _ in range(4):
        seen.append(float(environment.true_bias_hz.max()))
        environment.step(np.zeros((2, 10, 3)), np.zeros((2, 10, 3)))
    assert (seen, to_ns(0.2)) == ([0, 0, 3e8, 3e8], 200_000_000)


def test_spread_is_uniform_over_vehicles_and_new_with_each_reset() -> None:
    environment = BatchEnvironment(Scenario.load("dtecn"), 100, bias_spread_hz=5e8)
    first = environment.true_bias_hz
    assert (np.abs(first) <= 5e8).all()
    assert abs(first[..., 0].std() / (1e9 / np.sqrt(12)) - 1.0) < 0.1
    environment.reset()
    assert (environment.true_bias_hz != first).all()


# --------------------------------------------------------------------------------------------------------------- errors
def test_a_decision_of_another_shape_is_refused() -> None:
    environment = BatchEnvironment(Scenario.load("dtecn"), 2)
    with pytest.raises(ValueError, match=r"shape \[1, 10, 3\] \(accepted: shape \[2, 10, 3\]\)"):
        environment.step(np.zeros((2, 10, 3)), np.zeros((1, 10, 3)))


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        (["timeline=[{kind='bias', at_s=1, cpu_frequency_hz=1e8}]"], {}, "batch: timeline: has timed events"),
        (["radio.range_m=300"], {}, "batch: radio.range_m: lets vehicles lose their node"),
        (["rsus=[{name='a', position_m=[0, 9]}]"], {}, "batch: rsus: make 2 nodes"),
        ([], {"num_environment": 0}, "batch: num_environment: 0 is out of range"),
        ([], {"num_vehicle": 0}, "batch: num_vehicle: 0 is too few"),
        ([], {"library": "jax"}, r"batch: library: there is no library 'jax' \(accepted: numpy, torch\)"),
        ([], {"dtype": "float32"}, "batch: dtype: NumPy computes in float64"),
        ([], {"dtype": "int"}, "batch: dtype: 'int' is not a type of numbers"),
        ([], {"inputs": "slow"}, "batch: inputs: there are no inputs 'slow'"),
    ],
)
def test_what_it_cannot_do_is_one_line(settings: list[str], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BatchEnvironment(Scenario.load("dtecn", settings), **({"num_environment": 1} | options))


def test_a_dead_link_is_a_slow_one() -> None:
    """In so much noise all rates round to 0: delays stay finite."""
    environment = BatchEnvironment(Scenario.load("dtecn", ["radio.noise_w=1e3"]), 2)
    np.testing.assert_array_equal(environment.observe().rate_bps, 1.0)
    outcome = environment.step(np.ones((2, 10, 3)), np.full((2, 10, 3), 1e10))
    assert np.isfinite(outcome.objective).all()


def test_systems_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r'batch: model.allocation: is "joint" \(accepted: "compute"\)'):
        BatchEnvironment(Scenario.load("llm6g"), 1)
    with pytest.raises(InputError, match=r"batch: model\.allocation: leaves less to decide"):
        JointBatchEnvironment(Scenario.load("dtecn"), 1)
    with pytest.raises(InputError, match="batch: num_environment: 0 is out of range"):
        JointBatchEnvironment(Scenario.load("llm6g"), 0)
    timed = Scenario.load("llm6g", ["timeline=[{kind='burst', at_s=1, duration_s=9, size_factor=2}]"])
    with pytest.raises(InputError, match="batch: timeline: has timed events"):
        JointBatchEnvironment(timed, 1)


@pytest.mark.full
def test_bench_of_little() -> None:
    report = bench.measure(bench.BatchEffort((2, 1000), 0.001, 1, 1000, lambda: 2**20))
    runs = report.values["runs"]
    assert [(one["kind"], one["num_environment"], one["goal"]) for one in runs[:2]] == [
        ("NumPy", 2, None),
        ("NumPy", 1000, 1.5),
    ]
    assert all(0 < one["ratio_min"] <= one["ratio"] <= one["ratio_max"] for one in runs)
    assert all(len(row) == len(report.columns) for row in report.rows)
    assert report.notes[-1].endswith("+1.0 MiB")
    assert bench.memory_growth_bytes(10, 5, 10) >= 0
