"""slot_step against plain loops over the equations, across array libraries, in blocks, and its gradients."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from physical.closed_form.slot import SlotOutcome, slot_step
from physical.params import Mode, Model, Objective, Radio, Server, TaskClass, Time, Vehicles
from physical.system import System, build_system

READINGS = list(
    itertools.product(
        ("paper", "corrected"),
        ("sequential", "parallel"),
        ("proportional", "whole", "always"),
        ("alloc", "effective"),
    )
)


@dataclass(frozen=True)
class Instance:
    system: System
    inputs: dict[str, Any]

    def step(self) -> SlotOutcome:
        return slot_step(self.system, **self.inputs)

    def torch(self) -> Instance:
        torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
        inputs = {
            key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in self.inputs.items()
        }
        return Instance(self.system.map_arrays(torch.tensor), inputs)


def make_system(num_vehicle: int, num_class: int, model: Model, deadline_price: float = 3.0) -> System:
    classes = [("video", 10e3, 2e3, 0.04), ("map", 20e3, 3e3, 0.08), ("log", 50e3, 4e3, 0.5)][:num_class]
    return build_system(
        Time(slot_duration_s=0.1),
        model,
        Vehicles(
            num_vehicle=num_vehicle,
            cpu_hz=(1.5e9, 2.5e9, 4e9),
            kappa=(1e-27, 6e-28, 4e-28),
            transmit_power_w=0.2,
        ),
        Radio(bandwidth_hz=80e6, bandwidth_sharing="equal"),
        (Server(frequency_hz=60e9, num_core=20, kappa=1.85e-28),),
        tuple(
            TaskClass(name=name, size_bytes=(size, 3 * size), cycles_per_byte=per_byte, deadline_s=deadline)
            for name, size, per_byte, deadline in classes
        ),
        Objective(qos_weight=1.5, energy_weight=0.2, deadline_price=deadline_price, beta=0.1),
    )


def make_instance(
    seed: int, model: Model, num_vehicle: int, num_class: int = 3, bias_hz: float = 0.0, batch: tuple[int, ...] = ()
) -> Instance:
    """Draw a slot; about a quarter of the ratios is 0, a quarter 1, and some tasks have no allocation."""
    rng = np.random.default_rng(seed)
    system = make_system(num_vehicle, num_class, model)
    shape = (*batch, num_vehicle, num_class)
    ratio = np.clip(rng.uniform(-0.5, 1.5, shape), 0.0, 1.0)
    allocation = rng.uniform(0.2, 1.0, shape) * 60e9 / (num_vehicle * num_class)
    allocation[(ratio == 0.0) & (rng.uniform(size=shape) < 0.7)] = 0.0
    inputs = {
        "size_bytes": rng.integers(10_000, 150_000, shape).astype(float),
        "rate_bps": rng.uniform(5e6, 80e6, shape[:-1]),
        "offloading_ratio": ratio,
        "compute_allocation_hz": allocation,
        "backlog_bytes": rng.uniform(0, 1e6, (*batch, num_class)),
        "estimation_bias_hz": bias_hz,
    }
    return Instance(system, inputs)


def loop_p2(instance: Instance) -> dict[str, float]:
    """Evaluate P2 task by task, in scalars, from the equations (independent of physical.model)."""
    system, given = instance.system, instance.inputs
    model, weights, tau = system.model, system.objective, system.slot_duration_s
    num_vehicle, num_class = given["size_bytes"].shape
    unit = num_vehicle * sum(float(mean) for mean in system.size_bytes_mean) / num_class
    queue_term = qos_sum = local_j = total_hz = misses = delay_sum = 0.0
    allocations = [float(x) for x in given["compute_allocation_hz"].reshape(-1)]
    total_speed = sum(max(x + given["estimation_bias_hz"], 0.0) for x in allocations if x > 0)
    slower = min(1.0, 60e9 / total_speed) if model.capacity_rule == "effective" else 1.0
    for n in range(num_vehicle):
        for k in range(num_class):
            size, ratio = float(given["size_bytes"][n, k]), float(given["offloading_ratio"][n, k])
            x, backlog = float(given["compute_allocation_hz"][n, k]), float(given["backlog_bytes"][k])
            per_byte, deadline = float(system.cycles_per_byte[k]), float(system.deadline_s[k])
            f, kappa = float(system.cpu_hz[n]), float(system.kappa_vehicle[n])
            y = slower * max(x + given["estimation_bias_hz"], 0.0) if x > 0 else 0.0
            work = size * per_byte
            whole_s = 8 * size / float(given["rate_bps"][n])
            upload = {"proportional": ratio * whole_s, "whole": whole_s if ratio > 0 else 0.0, "always": whole_s}
            edge = 0.0 if ratio == 0 else (ratio * work / y if y > 0 else float("inf"))
            local, remote = (1 - ratio) * work / f, upload[model.upload_rule] + edge
            delay = local + remote if model.order == "sequential" else max(local, remote)
            drained = x if model.capacity_rule == "alloc" else y
            queue_term += weights.beta * backlog / unit * (ratio * size / unit - tau * drained / (per_byte * unit))
            qos_sum += 1 - delay / deadline
            local_j += kappa * f**2 * work * (1 - ratio)
            total_hz += drained
            misses += delay > deadline
            delay_sum += delay
    sigma = 1.0 if model.mode == "paper" else tau
    edge_j = sigma * system.server.num_core * system.server.kappa * (total_hz / system.server.num_core) ** 3
    count = num_vehicle * num_class
    value = queue_term - weights.qos_weight * qos_sum / count
    value += weights.energy_weight * (local_j + edge_j) + weights.deadline_price * misses / count
    return {
        "objective": value,
        "qos": qos_sum / count,
        "energy_local_j": local_j,
        "energy_edge_j": edge_j,
        "misses": misses,
        "delay_sum": delay_sum,
        "drift": queue_term / weights.beta,
    }


def make_model(reading: tuple[str, str, str, str]) -> Model:
    mode, order, upload, capacity = reading
    # Strings from a product lose their literal types.
    return Model(mode=cast(Mode, mode), order=cast(Any, order), upload=cast(Any, upload), capacity=cast(Any, capacity))


@pytest.mark.parametrize("reading", READINGS, ids="-".join)
def test_slot_step_equals_the_loop(reading: tuple[str, str, str, str]) -> None:
    model = make_model(reading)
    for num_vehicle, bias_hz in itertools.product((1, 4, 10), (0.0, 0.5e9, -0.3e9)):
        for seed in range(4):
            instance = make_instance(seed, model, num_vehicle, bias_hz=bias_hz)
            outcome, expected = instance.step(), loop_p2(instance)
            got = outcome._asdict() | {"misses": outcome.missed.sum(), "delay_sum": outcome.delay_s.sum()}
            for key, value in expected.items():
                assert got[key] == pytest.approx(value, rel=1e-9, abs=1e-9), (key, num_vehicle, bias_hz, seed)


def test_the_parts_add_up() -> None:
    instance = make_instance(3, Model(mode="paper"), 4)
    outcome = instance.step()
    ratio = instance.inputs["offloading_ratio"]
    assert (ratio == 0).any()
    assert (ratio == 1).any()
    np.testing.assert_allclose(outcome.delay_s, outcome.local_delay_s + outcome.upload_delay_s + outcome.edge_delay_s)
    assert np.all(outcome.local_delay_s[ratio == 1] == 0)
    assert np.all(outcome.edge_delay_s[ratio == 0] == 0)
    assert np.all(outcome.upload_delay_s[ratio == 0] > 0)  # literal eq. 9
    backlog = instance.inputs["backlog_bytes"] + outcome.arrivals_bytes - outcome.service_bytes
    np.testing.assert_array_equal(outcome.backlog_next_bytes, np.maximum(backlog, 0.0))


def test_defaults_of_the_modes() -> None:
    """A model without explicit rules uses those of its mode: the step must read the resolved ones."""
    rules = {"paper": ("always", "alloc"), "corrected": ("proportional", "effective")}
    for mode, (upload, capacity) in rules.items():
        plain = make_instance(5, Model(mode=cast(Mode, mode)), 4, bias_hz=0.2e9).step()
        explicit = make_instance(5, make_model((mode, "sequential", upload, capacity)), 4, bias_hz=0.2e9).step()
        for one, other in zip(plain, explicit, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bias_hz", [0.0, 1e9, -1e9])
def test_no_server_runs_faster_than_it_can(bias_hz: float) -> None:
    """All flows get more than there is, at two nodes: 60 GHz in all, 25 W at full speed; 12 GHz, 2 W."""
    one = make_system(4, 3, Model())
    system = dataclasses.replace(
        one,
        node_hz=np.array([60e9, 12e9]),
        node_kappa=np.array([1.85e-28, 2 / 12e9**3]),
        node_num_core=np.array([20, 1]),
    )
    instance = make_instance(2, Model(), 4, bias_hz=bias_hz)
    ratio = np.ones((4, 3))
    given = instance.inputs | {"offloading_ratio": ratio, "compute_allocation_hz": 20e9 * ratio}
    node = np.array([0, 1, 0, 1])
    outcome = slot_step(system, **given, serving_node=node)
    speed_hz = given["size_bytes"] * system.cycles_per_byte / outcome.edge_delay_s
    np.testing.assert_allclose(speed_hz[node == 0].sum(), 60e9, rtol=1e-12)
    np.testing.assert_allclose(speed_hz[node == 1], 12e9 / 6, rtol=1e-12)
    full_w = 20 * 1.85e-28 * 3e9**3 + 2.0
    assert float(outcome.energy_edge_j) == pytest.approx(0.1 * full_w, rel=1e-12)
    np.testing.assert_allclose(outcome.service_bytes * system.cycles_per_byte, 0.1 * speed_hz.sum(axis=0), rtol=1e-12)
    literal = slot_step(dataclasses.replace(system, model=Model(mode="paper")), **given, serving_node=node)
    np.testing.assert_allclose(given["size_bytes"] * system.cycles_per_byte / literal.edge_delay_s, 20e9 + bias_hz)
    assert float(literal.energy_edge_j) == pytest.approx(20 * 1.85e-28 * 6e9**3 + 2.0 * 10**3, rel=1e-12)


def test_a_job_is_spread_over_the_cores() -> None:
    """12 jobs at 5 GHz each on 20 cores: 0.25 GHz per core, at 1.85e-28 W/Hz^3 (0.25 GHz)^2 per cycle."""
    instance = make_instance(4, Model(edge_energy="job"), 4)
    given = instance.inputs | {"offloading_ratio": np.ones((4, 3)), "compute_allocation_hz": np.full((4, 3), 5e9)}
    cycles = float((given["size_bytes"] * np.array([2e3, 3e3, 4e3])).sum())
    outcome = slot_step(instance.system, **given)
    assert float(outcome.energy_edge_j) == pytest.approx(1.85e-28 * 0.25e9**2 * cycles, rel=1e-12)


def test_work_without_cpu_never_ends() -> None:
    instance = make_instance(1, Model(), 2)
    instance.inputs["offloading_ratio"] = np.full((2, 3), 0.5)
    instance.inputs["compute_allocation_hz"] = np.zeros((2, 3))
    outcome = instance.step()
    assert np.all(np.isinf(outcome.delay_s))
    assert np.all(outcome.missed == 1.0)
    assert outcome.objective == np.inf
    assert np.isfinite(outcome.energy_edge_j)
    instance.inputs["estimation_bias_hz"] = -1e12  # a bias below every allocation stops the server as well
    instance.inputs["compute_allocation_hz"] = np.full((2, 3), 1e9)
    assert np.all(np.isinf(instance.step().edge_delay_s))


@pytest.mark.parametrize("reading", READINGS[::5], ids="-".join)
@pytest.mark.parametrize("bias_hz", [0.0, 0.4e9, -0.3e9, 3e9])  # the last one overfills the server
def test_torch_equals_numpy(reading: tuple[str, str, str, str], bias_hz: float) -> None:
    instance = make_instance(7, make_model(reading), 10, bias_hz=bias_hz, batch=(5,))
    for name, array, tensor in zip(SlotOutcome._fields, instance.step(), instance.torch().step(), strict=True):
        assert str(tensor.dtype) == "torch.float64", name
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("num_vehicle", [1, 4, 10, 33])
@pytest.mark.parametrize("num_class", [1, 2, 3])
def test_a_block_has_the_bits_of_its_slots(num_vehicle: int, num_class: int) -> None:
    bias_hz = np.random.default_rng(0).normal(0.0, 1e8, (num_vehicle, num_class))
    block = make_instance(9, Model(), num_vehicle, num_class, batch=(2, 4))
    block.inputs["estimation_bias_hz"] = np.broadcast_to(bias_hz, (2, 4, num_vehicle, num_class))
    outcome = block.step()
    for index in np.ndindex(2, 4):
        single = slot_step(block.system, **{key: value[index] for key, value in block.inputs.items()})
        for name, whole, part in zip(SlotOutcome._fields, outcome, single, strict=True):
            np.testing.assert_array_equal(whole[index], part, err_msg=name)


@pytest.mark.parametrize("reading", READINGS[1::5], ids="-".join)
@pytest.mark.parametrize("bias_hz", [0.0, 0.4e9, -0.1e9, 4e9])  # the last one overfills the server
def test_gradient_equals_finite_differences(reading: tuple[str, str, str, str], bias_hz: float) -> None:
    instance = make_instance(21, make_model(reading), 4, bias_hz=bias_hz)
    rng = np.random.default_rng(22)
    scale = {"offloading_ratio": 1.0, "compute_allocation_hz": 60e9 / 12}
    for key, unit in scale.items():
        instance.inputs[key] = unit * rng.uniform(0.2, 0.9, (4, 3))
    tensors = instance.torch()
    for key in scale:
        tensors.inputs[key].requires_grad_()
    outcome = tensors.step()
    outcome.objective.backward()
    step = 1e-5
    for key, unit in scale.items():
        gradient = tensors.inputs[key].grad.numpy() * unit
        for index in np.ndindex(4, 3):
            moved = np.zeros((4, 3))
            moved[index] = step * unit
            up, down = (
                slot_step(instance.system, **(instance.inputs | {key: instance.inputs[key] + sign * moved}))
                for sign in (1.0, -1.0)
            )
            np.testing.assert_array_equal(up.missed, down.missed)  # else the indicator jumps in between
            difference = (up.objective - down.objective) / (2 * step)
            assert gradient[index] == pytest.approx(difference, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("reading", READINGS, ids="-".join)
def test_gradients_are_finite_at_the_corners(reading: tuple[str, str, str, str]) -> None:
    """Each task sits in one corner of ratio {0, 1} and allocation {0, 5 GHz}; work without CPU included."""
    tensors = make_instance(23, make_model(reading), 4, bias_hz=-0.1e9).torch()
    torch = pytest.importorskip("torch", reason="torch comes with the extra marl")
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    for num_corner in (3, 4):  # with the last corner the objective itself is infinite, the gradient still is not
        rows = corners[torch.arange(12) % num_corner]
        ratio = rows[:, 0].reshape(4, 3).clone().requires_grad_()
        allocation = (5e9 * rows[:, 1]).reshape(4, 3).clone().requires_grad_()
        outcome = slot_step(
            tensors.system, **(tensors.inputs | {"offloading_ratio": ratio, "compute_allocation_hz": allocation})
        )
        outcome.objective.backward()
        assert bool(torch.isfinite(outcome.objective)) == (num_corner == 3)
        assert bool(torch.isfinite(ratio.grad).all())
        assert bool(torch.isfinite(allocation.grad).all())


def test_gradient_at_ratio_zero_is_the_right_derivative() -> None:
    instance = make_instance(24, Model(), 2)
    instance.inputs.update(offloading_ratio=np.zeros((2, 3)), compute_allocation_hz=np.full((2, 3), 4e9))
    tensors = instance.torch()
    ratio = tensors.inputs["offloading_ratio"].requires_grad_()
    tensors.step().objective.backward()
    base = instance.step()
    for index in np.ndindex(2, 3):
        moved = np.zeros((2, 3))
        moved[index] = 1e-7
        up = slot_step(instance.system, **(instance.inputs | {"offloading_ratio": moved}))
        assert np.array_equal(up.missed, base.missed)
        assert float(ratio.grad[index]) == pytest.approx((up.objective - base.objective) / 1e-7, rel=1e-4, abs=1e-6)
