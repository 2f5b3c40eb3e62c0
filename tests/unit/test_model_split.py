"""split_step against a plain loop over eqs. 1 to 10 of paper 'llm6g', across array libraries, and its gradients."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from physical.closed_form.split import SplitOutcome, literal_upload_s, split_step
from physical.model import rate, transformer
from physical.params import (
    Cost,
    Gpu,
    Mode,
    Model,
    Objective,
    Radio,
    Server,
    TaskClass,
    Time,
    Transformer,
    Vehicles,
)
from physical.system import System, build_system

NUM_LAYER, HIDDEN, BATCH = 4, 64, 2
VEHICLE_GPU, EDGE_GPUS = (16, 2.0, 0.5), ((32, 4.0, 0.5), (64, 4.0, 0.5))
CPU_HZ, KAPPA = (1e9, 2e9, 1e9), (2e-27, 1e-27, 2e-27)
EDGE_HZ, EDGE_KAPPA = (3e9, 4e9), (5e-28, 3e-28)
DENSITY = {"paper": 10 ** (-16.4), "corrected": 10 ** (-16.5)}
WEIGHT = 0.3
MODES: tuple[Mode, ...] = ("paper", "corrected")


def make_gpu(numbers: tuple[int, float, float]) -> Gpu:
    num_core, flop, utilisation = numbers
    return Gpu(num_core=num_core, flop_per_cycle=flop, utilisation=utilisation)


def make_system(mode: Mode, *, normalise: bool = False) -> System:
    """Three vehicles, two nodes, one transformer of four layers."""
    network = Transformer(num_layer=NUM_LAYER, hidden_size=HIDDEN, batch_size=BATCH, bits_per_activation=16)
    nodes = zip(EDGE_HZ, EDGE_KAPPA, EDGE_GPUS, strict=True)
    return build_system(
        Time(slot_duration_s=1.0),
        Model(mode=mode, allocation="joint", edge_energy="job"),
        Vehicles(num_vehicle=3, cpu_hz=CPU_HZ, kappa=KAPPA, gpu=make_gpu(VEHICLE_GPU), transmit_power_w=2.0),
        Radio(
            bandwidth_hz=1e6,
            noise_density_dbm_hz=-142.0,
            noise_figure_db=7.0,
            noise_density_paper_dbm_hz=-134.0,
        ),
        tuple(Server(frequency_hz=hz, kappa=kappa, gpu=make_gpu(gpu)) for hz, kappa, gpu in nodes),
        (TaskClass(name="prompt", num_token=(10, 50), transformer=network, deadline_s=1.0),),
        Objective(),
        cost=Cost(time_weight=WEIGHT, normalise=normalise),
    )


def make_inputs(seed: int = 1, batch: tuple[int, ...] = ()) -> dict[str, Any]:
    """Draw a slot: of three vehicles the second has no layer offloaded, and the third nobody to offload to."""
    rng = np.random.default_rng(seed)
    shape = (*batch, 3)
    ratio = np.stack([rng.integers(1, NUM_LAYER, batch) / NUM_LAYER, np.zeros(batch), np.zeros(batch)], axis=-1)
    allocation = np.where(ratio > 0, rng.uniform(0.5e9, 3e9, shape), 0.0)
    return {
        "size_bytes": (rng.integers(10, 51, shape) * BATCH * HIDDEN * 2.0)[..., np.newaxis],
        "channel_gain": rng.uniform(1e-12, 1e-10, shape),
        "node": np.broadcast_to(np.array([1, 0, -1]), shape).copy(),
        "offloading_ratio": ratio[..., np.newaxis],
        "compute_allocation_hz": allocation[..., np.newaxis],
        "transmit_power_w": rng.uniform(0.1, 2.0, shape),
        "bandwidth_hz": rng.uniform(1e5, 1e6, shape) * np.array([1.0, 1.0, 0.0]),
        "local_frequency_hz": rng.uniform(0.3e9, 1e9, shape),
    }


def step(system: System, **given: Any) -> SplitOutcome:
    """Run a slot at the rates of eq. 3, not rounded."""
    bandwidth_hz, channel_gain = given.pop("bandwidth_hz"), given.pop("channel_gain")
    density = system.noise_density_w_hz
    rate_bps = rate.fdma_rate_bps(bandwidth_hz, given["transmit_power_w"], channel_gain, density)
    return split_step(system, rate_bps=rate_bps, **given)


def per_layer(num_token: float, gpu: tuple[int, float, float]) -> float:
    """Clock cycles of one layer: psi = 24 B d h^2 + 4 B d^2 h, over cores times FLOP per cycle."""
    psi = 24 * BATCH * num_token * HIDDEN**2 + 4 * BATCH * num_token**2 * HIDDEN
    return psi / math.prod(gpu)


def loop_cost(mode: Mode, given: dict[str, Any]) -> dict[str, list[float]]:
    """Evaluate eqs. 1 to 10 vehicle by vehicle, in scalars."""
    found: dict[str, list[float]] = {name: [] for name in SplitOutcome._fields}
    total = 0.0
    for n in range(3):
        node = int(given["node"][n])
        tokens = float(given["size_bytes"][n, 0]) / (2 * BATCH * HIDDEN)
        local_layers = NUM_LAYER - round(NUM_LAYER * float(given["offloading_ratio"][n, 0]))
        f, p, b = (float(given[key][n]) for key in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz"))
        x = float(given["compute_allocation_hz"][n, 0])
        local_s = local_layers * per_layer(tokens, VEHICLE_GPU) / f
        local_j = KAPPA[n] * f**3 * local_s
        edge_layers = NUM_LAYER - local_layers
        edge_s = edge_layers * per_layer(tokens, EDGE_GPUS[node]) / x if edge_layers else 0.0
        edge_j = EDGE_KAPPA[node] * x**3 * edge_s
        bit_rate = b * math.log2(1 + float(given["channel_gain"][n]) * p / (DENSITY[mode] * b)) if b else 0.0
        sent_bits = 16 * BATCH * HIDDEN * tokens if mode == "corrected" else tokens
        upload_s = sent_bits / bit_rate if edge_layers else 0.0
        charged_s = upload_s
        if mode == "paper":
            charged_s = tokens / bit_rate if bit_rate else 0.0
        spent_j = local_j + p * charged_s + edge_j
        time_s = local_s + edge_s + (upload_s if mode == "corrected" else 0.0)
        cost = WEIGHT * time_s + (1 - WEIGHT) * spent_j
        total += cost
        times = (local_s, upload_s, edge_s, local_s + upload_s + edge_s)
        for name, value in zip(SplitOutcome._fields, (*times, local_j, p * charged_s, edge_j, cost), strict=False):
            found[name].append(value)
    found["objective"] = [total]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
def test_split_step_equals_the_loop(mode: Mode, seed: int) -> None:
    given = make_inputs(seed)
    outcome = step(make_system(mode), **given)
    for name, values in loop_cost(mode, given).items():
        np.testing.assert_allclose(np.ravel(getattr(outcome, name)), values, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_no_server_runs_faster_than_it_can_unless_allocations_are_what_counts(mode: Mode) -> None:
    """Node 1 has 4 GHz, here on 8 cores: 6 GHz for one layer run at 4 GHz, literally at 6 GHz."""
    system = dataclasses.replace(make_system(mode), node_num_core=np.array([1, 8]))
    given = make_inputs(3) | {"compute_allocation_hz": np.array([[6e9], [0.0], [0.0]])}
    outcome = step(system, **given)
    speed_hz = 6e9 if mode == "paper" else 4e9
    tokens = float(given["size_bytes"][0, 0]) / (2 * BATCH * HIDDEN)
    cycles = NUM_LAYER * float(given["offloading_ratio"][0, 0]) * per_layer(tokens, EDGE_GPUS[1])
    assert float(outcome.edge_delay_s[0, 0]) == pytest.approx(cycles / speed_hz, rel=1e-12)
    assert float(outcome.energy_edge_j[0, 0]) == pytest.approx(3e-28 * (speed_hz / 8) ** 2 * cycles, rel=1e-12)


def test_by_hand() -> None:
    """Ten tokens: psi = 1 966 080 + 51 200; a layer takes psi / 16 cycles at a vehicle, 1/4 or 1/8 of that at a node.

    At 1 Mbit/s (SNR 1 on 1 MHz) 2560 B take 20.48 ms, and ten "bits" 10 us.
    """
    psi = 2_017_280.0
    given = make_inputs() | {
        "size_bytes": np.full((3, 1), 2560.0),
        "channel_gain": np.full(3, DENSITY["corrected"] * 1e6),
        "offloading_ratio": np.array([[0.5], [0.75], [0.0]]),
        "compute_allocation_hz": np.array([[1e9], [2e9], [0.0]]),
        "transmit_power_w": np.ones(3),
        "bandwidth_hz": np.array([1e6, 1e6, 0.0]),
        "local_frequency_hz": np.full(3, 1e9),
    }
    outcome = step(make_system("corrected"), **given)
    np.testing.assert_allclose(outcome.local_delay_s[:, 0], np.array([2, 1, 4]) * psi / 16 / 1e9, rtol=1e-12)
    np.testing.assert_allclose(outcome.edge_delay_s[:, 0], [2 * psi / 128 / 1e9, 3 * psi / 64 / 2e9, 0.0], rtol=1e-12)
    np.testing.assert_allclose(outcome.upload_delay_s[:, 0], [0.02048, 0.02048, 0.0], rtol=1e-6)
    np.testing.assert_allclose(outcome.energy_transmit_j, outcome.upload_delay_s, rtol=1e-12)  # at 1 W
    np.testing.assert_allclose(outcome.energy_local_j[0, 0], 2e-27 * 1e18 * 2 * psi / 16, rtol=1e-12)
    np.testing.assert_allclose(outcome.energy_edge_j[0, 0], 3e-28 * 1e18 * 2 * psi / 128, rtol=1e-12)
    given["channel_gain"] = np.full(3, DENSITY["paper"] * 1e6)
    literal = step(make_system("paper"), **given)
    np.testing.assert_allclose(literal.energy_transmit_j[:, 0], [1e-5, 1e-5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(literal.upload_delay_s[:, 0], [1e-5, 1e-5, 0.0], rtol=1e-6)


def test_normalised_cost_counts_in_its_units() -> None:
    given = make_inputs()
    plain, counted = (step(make_system("corrected", normalise=on), **given) for on in (False, True))
    system = make_system("corrected", normalise=True)
    spent_j = counted.energy_local_j + counted.energy_transmit_j + counted.energy_edge_j
    expected = WEIGHT * counted.completion_s / system.time_unit_s + (1 - WEIGHT) * spent_j / system.energy_unit_j
    assert counted.objective == pytest.approx(expected.sum(), rel=1e-12)
    assert counted.objective != pytest.approx(plain.objective, rel=0.1)


@pytest.mark.parametrize("mode", MODES)
def test_a_block_has_the_bits_of_its_slots(mode: Mode) -> None:
    system, block = make_system(mode), make_inputs(4, (2, 3))
    outcome = step(system, **block)
    for index in np.ndindex(2, 3):
        single = step(system, **{key: value[index] for key, value in block.items()})
        for name, whole, part in zip(SplitOutcome._fields, outcome, single, strict=True):
            np.testing.assert_array_equal(whole[index], part, err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_torch_equals_numpy(mode: Mode) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    system, given = make_system(mode), make_inputs(2, (4,))
    tensors = step(system.map_arrays(torch.tensor), **{key: torch.tensor(value) for key, value in given.items()})
    for name, array, tensor in zip(SplitOutcome._fields, step(system, **given), tensors, strict=True):
        assert str(tensor.dtype) == "torch.float64", name
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_finite_and_those_of_the_cost(mode: Mode) -> None:
    """Without bandwidth, without allocation and without layers to send; all but layers against finite differences."""
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    system, given = make_system(mode), make_inputs(3)
    tensors = {key: torch.tensor(value) for key, value in given.items()}
    decided = ("offloading_ratio", "compute_allocation_hz", "transmit_power_w", "bandwidth_hz", "local_frequency_hz")
    for key in decided:
        tensors[key].requires_grad_()
    step(system.map_arrays(torch.tensor), **tensors).objective.backward()
    for key in decided:
        assert bool(torch.isfinite(tensors[key].grad).all()), key
    moved = [("local_frequency_hz", (2,)), ("compute_allocation_hz", (0, 0))]
    moved += [(key, (0,)) for key in ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")]
    for key, index in moved:
        shift = np.zeros_like(given[key])
        shift[index] = 1e-5 * given[key][index]
        up, down = (step(system, **(given | {key: given[key] + sign * shift})).objective for sign in (1, -1))
        assert float(tensors[key].grad[index]) == pytest.approx((up - down) / (2 * shift[index]), rel=1e-5), key


def test_rate_on_a_share_of_the_spectrum() -> None:
    """SNR 3 on 1 MHz gives 2 bit/s/Hz; half of the bandwidth doubles the SNR; no bandwidth, no rate."""
    b = np.array([1e6, 0.5e6, 0.0])
    bit_rate = rate.fdma_rate_bps(b, np.full(3, 3.0), np.full(3, 1e-12), 1e-18)
    np.testing.assert_allclose(bit_rate, [2e6, 0.5e6 * math.log2(7), 0.0], rtol=1e-12)
    whole = rate.uplink_rate_bps(b[:2], np.full(2, 3.0), np.full(2, 1e-12), 1e-18 * b[:2])
    np.testing.assert_array_equal(bit_rate[:2], whole)


def test_rate_grows_with_bandwidth_towards_its_limit() -> None:
    """r is concave in b, below g p / (N0 ln 2), and reaches it for weak signals."""
    b = np.geomspace(1.0, 1e14, 200)
    bit_rate = rate.fdma_rate_bps(b, np.ones(200), np.full(200, 1e-12), 1e-18)
    limit = 1e6 / math.log(2)
    assert (np.diff(bit_rate) > 0).all()
    assert (np.diff(np.diff(bit_rate) / np.diff(b)) < 0).all()
    assert bit_rate[-1] < limit
    assert bit_rate[-1] == pytest.approx(limit, rel=1e-6)


def test_gradient_of_the_rate_is_finite_without_bandwidth() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    b = torch.tensor([0.0, 1e6], dtype=torch.float64, requires_grad=True)
    ones = torch.ones(2, dtype=torch.float64)
    rate.fdma_rate_bps(b, ones, 1e-12 * ones, 1e-18).sum().backward()
    assert bool(torch.isfinite(b.grad).all())


def test_layers_of_llama_2() -> None:
    """Llama-2-7B on 512 tokens: 24 d h^2 = 206.2 GFLOP and 4 d^2 h = 4.3 GFLOP a layer; activations of 4 MiB."""
    flops = transformer.layer_flops(512, 4096, 1)
    assert flops == 24 * 512 * 4096**2 + 4 * 512**2 * 4096 == 210_453_397_504
    assert transformer.layer_flops(512, 4096, 3) == 3 * flops
    assert transformer.activation_bytes(512, 4096, 1, 16) == 4 * 2**20
    assert transformer.activation_bytes(512, 4096, 2, 8) == 4 * 2**20
    assert transformer.layer_cycles(512, 4096, 1, 6912 * 32) == flops / 221_184


def test_literal_upload_charges_tokens_for_bits() -> None:
    np.testing.assert_array_equal(literal_upload_s(np.array([30.0, 5.0]), np.array([1e3, 0.0])), [0.03, 0.0])


def test_work_cycles() -> None:
    """A prompt of 10 tokens is 4 layers of 2 017 280 FLOP, in cycles of vehicle and of each node."""
    system = make_system("corrected")
    local, edge = system.work_cycles(np.full((3, 1), 2560.0), np.array([0, 1, -1]))
    np.testing.assert_allclose(local, 4 * 2_017_280 / 16, rtol=1e-12)
    np.testing.assert_allclose(edge[:, 0], 4 * 2_017_280 / np.array([64, 128, 64]), rtol=1e-12)
    twice, _ = system.work_cycles(np.full((2, 3, 1), 5120.0), np.zeros((2, 3), dtype=np.int64))
    assert twice.shape == (2, 3, 1)
    assert (twice > 2 * local).all()  # attention grows with the square
