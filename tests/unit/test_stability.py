"""Whether what waits goes on growing: queues of known load, by Lindley's recursion and in runs; what waits, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from physical.arrays import Floats
from physical.system import System
from sim import Scenario, run
from sim.record.stability import Waiting, is_stable
from tests.support.scenarios import BASE
from tests.support.states import states
from tests.support.tables import column

Shape = tuple[int, int]
Draw = Callable[[np.random.Generator, Shape], Floats]
"""Work that comes in each slot to each of several queues, [slots, runs, queues], of mean 1; takes slots and runs."""

NUM_RUN = 100


def backlog(work: Floats, load: float) -> Floats:
    """Return what waits in all queues together at the starts of slots: each serves 1 a slot; Lindley's recursion."""
    waiting = np.zeros(work.shape[1:])
    series = np.zeros(work.shape[:-1])
    for slot, coming in enumerate(work):
        series[slot] = waiting.sum(axis=-1)
        waiting = np.maximum(waiting + load * coming - 1.0, 0.0)
    return series


def uniform(num_queue: int) -> Draw:
    return lambda rng, shape: rng.uniform(0.5, 1.5, (*shape, num_queue))


def exponential(num_queue: int) -> Draw:
    return lambda rng, shape: rng.exponential(size=(*shape, num_queue))


def bursts(num_vehicle: int, *, one_server: bool) -> Draw:
    """Return tasks as in dtecn-congested: 2.5 times as large in bursts, which common events make more frequent."""

    def draw(rng: np.random.Generator, shape: Shape) -> Floats:
        event = np.zeros((shape[1], 1), dtype=np.bool_)
        burst = np.zeros((shape[1], num_vehicle), dtype=np.bool_)
        work = np.empty((*shape, num_vehicle))
        for slot in range(-100, shape[0]):
            uniforms = rng.random(event.shape)
            event = np.where(event, uniforms >= 0.05, uniforms < 0.01)
            uniforms = rng.random(burst.shape)
            burst = np.where(burst, uniforms >= 0.2, uniforms < np.where(event, 0.25, 0.02))
            work[max(slot, 0)] = np.where(burst, 2.5, 1.0)
        work *= rng.uniform(0.5, 1.5, work.shape) / MEAN_FACTOR
        return work.mean(axis=-1, keepdims=True) if one_server else work

    return draw


MEAN_FACTOR = 1.265
"""Mean factor of the chains; `test_mean_factor` finds it by simulation."""


def on_off(num_source: int, *, on: float, length: float) -> Draw:
    """Return sources that work for `length` slots on average, a part `on` of the time."""

    def draw(rng: np.random.Generator, shape: Shape) -> Floats:
        begin = on / (1 - on) / length
        work = np.empty((*shape, num_source))
        works = rng.random(work.shape[1:]) < on
        for slot in range(shape[0]):
            uniforms = rng.random(works.shape)
            works = np.where(works, uniforms >= 1 / length, uniforms < begin)
            work[slot] = works / on
        return work

    return draw


KINDS: dict[str, Draw] = {
    "uniform work": uniform(1),
    "exponential work": exponential(1),
    "16 queues of uniform work": uniform(16),
    "10 queues of exponential work": exponential(10),
    "40 queues of exponential work": exponential(40),
    "bursts of 10 vehicles at one server": bursts(10, one_server=True),
    "bursts of 16 vehicles, each at its own CPU": bursts(16, one_server=False),
    "10 sources that are half of the time on": on_off(10, on=0.5, length=5.0),
}


def number_right(draw: Draw, load: float, num_slot: int, num_run: int = NUM_RUN) -> int:
    """Return for how many runs the answer is the true one."""
    series = backlog(draw(np.random.default_rng(1), (num_slot, num_run)), load)
    return sum(is_stable(series[:, [index]]) is (load < 1.0) for index in range(num_run))


def one_run(draw: Draw, load: float, num_slot: int) -> Floats:
    return backlog(draw(np.random.default_rng(1), (num_slot, 1)), load)


def test_mean_factor() -> None:
    work = bursts(20, one_server=True)(np.random.default_rng(1), (1000, 200))
    assert work.mean() == pytest.approx(1.0, rel=0.01)


@pytest.mark.full
@pytest.mark.parametrize("load", [0.9, 1.1])
@pytest.mark.parametrize("kind", KINDS)
def test_right_for_95_of_100_runs_of_2000_slots(kind: str, load: float) -> None:
    assert number_right(KINDS[kind], load, 2000) >= 95


@pytest.mark.parametrize("load", [0.6, 0.9, 1.1, 1.4])
def test_right_after_2000_slots(load: float) -> None:
    for kind in ("exponential work", "bursts of 10 vehicles at one server"):
        assert number_right(KINDS[kind], load, 2000, 10) >= 9


@pytest.mark.parametrize("num_slot", [200, 500])
def test_short_runs(num_slot: int) -> None:
    """Far from load 1 they are told apart; near it, nothing is called unstable that the run does not show."""
    for kind in ("exponential work", "10 queues of exponential work", "bursts of 10 vehicles at one server"):
        assert number_right(KINDS[kind], 1.5, num_slot, 40) >= 38, kind
        assert number_right(KINDS[kind], 0.7, num_slot, 40) >= 38, kind
        assert number_right(KINDS[kind], 0.9, num_slot, 40) >= 36, kind


@pytest.mark.full
@pytest.mark.parametrize("num_slot", [300, 1000, 2000])
def test_heavy_bursts_are_no_growth(num_slot: int) -> None:
    """Sources that are rarely on for long: what waits varies slowly and by more than its mean."""
    for draw in (on_off(1, on=0.2, length=20.0), on_off(10, on=0.3, length=10.0), bursts(1, one_server=True)):
        assert number_right(draw, 0.7, num_slot) >= 95


def test_too_short_to_tell() -> None:
    assert is_stable(np.arange(99.0)[:, np.newaxis]) is None
    assert is_stable(np.arange(100.0)[:, np.newaxis]) is False


def test_nothing_waits() -> None:
    assert is_stable(np.zeros((500, 3))) is True
    assert is_stable(np.full((500, 1), 7.0)) is True


def test_one_growing_series_is_enough() -> None:
    calm, grows = one_run(uniform(1), 0.5, 1000), one_run(uniform(1), 1.2, 1000)
    assert is_stable(np.hstack([calm, calm, calm])) is True
    for place in range(3):
        assert is_stable(np.insert(np.hstack([calm, calm]), place, grows[:, 0], axis=1)) is False


def test_the_unit_does_not_matter() -> None:
    for load in (0.9, 1.1):
        series = one_run(exponential(3), load, 800)
        assert {is_stable(scale * series) for scale in (1e-12, 1.0, 1e9)} == {load < 1.0}


def test_what_came_to_rest_is_stable_and_what_begins_to_grow_is_not() -> None:
    """Queues that fill up and stay full, empty again, or overflow only from the middle of the run on."""
    rng = np.random.default_rng(2)
    noise = rng.uniform(0, 1, (1000, 1))
    slot = np.arange(1000.0)[:, np.newaxis]
    assert is_stable(noise + np.minimum(slot, 200)) is True
    assert is_stable(noise + np.maximum(300 - np.abs(slot - 300), 0)) is True
    assert is_stable(noise + np.maximum(slot - 500, 0)) is False


# Three vehicles that stand still, without fading: every resource has a constant speed.
CONSTANT = BASE | {
    "time": {"slot_duration_s": 0.1, "num_slot": 1200},
    "mobility": {"kind": "stationary"},
    "tasks": [{"name": "a", "size_bytes": [5_000, 15_000], "cycles_per_byte": 1000, "deadline_s": 0.1}],
}
CALM = ("radio.shadowing_std_db=0", "radio.fading=none", "vehicles.cpu=sharing", "radio.uplink=in-turn")


def loaded(resource: str, load: float, seed: int) -> Scenario:
    """Return a scenario in which one kind of resource has to do `load` of what it can; the mean task has 10 kB."""
    if resource == "cpu":
        return Scenario.from_dict(CONSTANT, settings=[*CALM, f"vehicles.cpu_hz={1e7 / 0.1 / load}"])
    if resource == "server":
        hz = 3 * 1e7 / 0.1 / load
        return Scenario.from_dict(CONSTANT, settings=[*CALM, f"server.frequency_hz={hz}", "server.discipline=fifo"])
    scenario = Scenario.from_dict(CONSTANT, settings=CALM)
    rate_bps = column(run(scenario, policy="local-only", num_slot=1, seed=seed), "vehicles", "uplink_rate_bps")
    slowest = float(rate_bps.min())  # the others have less to do
    return Scenario.from_dict(CONSTANT, settings=[*CALM, f"radio.bandwidth_hz={20e6 * 8e4 / 0.1 / load / slowest}"])


POLICIES = {"cpu": "local-only", "uplink": "edge-equal", "server": "edge-equal"}


@pytest.mark.full
@pytest.mark.parametrize("load", [0.9, 1.1])
@pytest.mark.parametrize("resource", POLICIES)
def test_runs_of_known_load(resource: str, load: float) -> None:
    for seed in range(2):
        result = run(loaded(resource, load, seed), policy=POLICIES[resource], seed=seed)
        assert result.summary["stable"] is (load < 1.0), seed
        grown_s = column(result, "slots", f"waiting_{resource}_s")[-1]
        assert (grown_s > 5.0) == (load > 1.0), seed


@pytest.mark.full
def test_congested_policies() -> None:
    """Offloading everything overflows the server; p2-exact keeps its queues bounded."""
    for policy, stable in (("edge-equal", False), ("p2-exact", True), ("local-only", True)):
        for seed in range(2):
            scenario = Scenario.load("dtecn-congested", ["time.num_slot=500"])
            assert run(scenario, policy=policy, seed=seed).summary["stable"] is stable, (policy, seed)


def test_short_runs_do_not_say() -> None:
    assert run(Scenario.load("dtecn", ["time.num_slot=20"]), policy="local-only").summary["stable"] is None


def waiting_of(system: System, cpu_cycles: Floats, uplink_bytes: Floats, rate_bps: Floats) -> Floats:
    seen = [
        states(system)._replace(cpu_backlog_cycles=cycles, uplink_backlog_bytes=waits, uplink_rate_bps=rate)
        for cycles, waits, rate in zip(cpu_cycles, uplink_bytes, rate_bps, strict=True)
    ]
    backlog_bytes = np.array([[[1e4, 2e4]], [[0.0, 0.0]], [[3e4, 0.0]]])
    weigher = Waiting(system)
    parts = [weigher.weigh(seen[:1], backlog_bytes[:1]), weigher.weigh(seen[1:], backlog_bytes[1:])]
    np.testing.assert_array_equal(np.concatenate(parts), Waiting(system).weigh(seen, backlog_bytes))
    return np.concatenate(parts)


def test_what_waits_by_hand() -> None:
    """CPUs of 1.5, 2.5 and 1.5 GHz; a server of 60 GHz, 2 000 and 3 000 cycles per byte."""
    system = Scenario.from_dict(BASE).system()
    cpu_cycles = np.array([[3e9, 5e9, 0.0], [0.0, 0.0, 0.0], [1.5e9, 0.0, 1.5e9]])
    uplink_bytes = np.array([[1e6, 0.0, 0.0], [1e6, 1e6, 0.0], [0.0, 1e6, 1e6]])
    rate_bps = np.array([[8e6, 0.0, 0.0], [0.0, 0.0, 0.0], [16e6, 4e6, 0.0]])
    found = waiting_of(system, cpu_cycles, uplink_bytes, rate_bps)
    np.testing.assert_allclose(found[:, 0], [2 + 2, 0, 1 + 1])
    # Mean rates so far, in MB/s: [1, -, -], [1, -, -], [1.5, 0.5, -]; of all: 1, 1, 28 / 24. Who had none counts so.
    np.testing.assert_allclose(found[:, 1], [1, 1 + 1, 2 + 24 / 28])
    np.testing.assert_allclose(found[:, 2], [(2e7 + 6e7) / 60e9, 0, 6e7 / 60e9])


def test_nobody_could_ever_send() -> None:
    system = Scenario.from_dict(BASE).system()
    nothing, waits = np.zeros((3, 3)), np.full((3, 3), 1e6)
    assert not waiting_of(system, nothing, waits, nothing)[:, 1].any()


def test_with_joint_allocation_the_rate_is_that_of_an_equal_share() -> None:
    """By Shannon: full power, and the pool in equal parts; out of reach, the mean so far goes on."""
    system = Scenario.load("llm6g").system()
    count, gain = system.num_vehicle, 1e-11
    share_hz = system.node_bandwidth_hz[0] / count
    rate_bps = share_hz * np.log2(1 + system.transmit_power_w * gain / (system.noise_density_w_hz * share_hz))
    waits = np.full(count, 1e6)
    here = states(system)._replace(channel_gain=np.full(count, gain), uplink_backlog_bytes=waits)
    away = here._replace(serving_node=np.full(count, -1))
    found = Waiting(system).weigh([here, away], np.zeros((2, system.num_node, system.num_class)))
    np.testing.assert_allclose(found[:, 1], (8e6 / rate_bps).sum(), rtol=1e-6)
