"""The batch engine with joint allocation: the event simulator where no job waits, the same in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.batch import JointBatchEnvironment
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from tests.support.tables import shaped

pytestmark = pytest.mark.full

JOINT = ("offloading_ratio", "compute_allocation_hz", "transmit_power_w", "bandwidth_hz", "local_frequency_hz")


@pytest.mark.parametrize("mode", ["paper", "corrected"])
def test_joint_environments_are_runs_and_torch_is_numpy(mode: str) -> None:
    """In slots so long that no job waits for another; recorded rates are rounded to single precision, these are not."""
    torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
    settings = ["time.slot_duration_s=7000", "time.num_slot=18", "vehicles.num_vehicle=5", f"model.mode={mode}"]
    chosen = Scenario.load("llm6g", settings)
    runs = [run(chosen, policy="random", seed=seed) for seed in (4, 5)]
    shapes = [(5, 1), (5, 1), (5,), (5,), (5,)]
    decided = [
        np.stack([shaped(result, "decisions", name, *shape) for result in runs], axis=1)
        for name, shape in zip(JOINT, shapes, strict=True)
    ]
    objective = np.stack([shaped(result, "slots", "objective") for result in runs], axis=1)
    one, other = (JointBatchEnvironment(chosen, 2, 4, library=library) for library in ("numpy", "torch"))
    for slot in range(18):  # more than one block of inputs
        values = [part[slot] for part in decided]
        tensors = [torch.tensor(part, requires_grad=True) for part in values]
        outcome, same = one.step(*values), other.step(*tensors)
        np.testing.assert_allclose(outcome.objective, objective[slot], rtol=2e-7)
        for field, expected in outcome._asdict().items():
            np.testing.assert_allclose(getattr(same, field).detach().numpy(), expected, rtol=1e-9, err_msg=field)
        same.objective.sum().backward()
        assert all(bool(torch.isfinite(tensor.grad).all()) for tensor in tensors)
    one.reset()
    other.reset(4 + (1 << 32))
    np.testing.assert_array_equal(one.observe().channel_gain, other.observe().channel_gain.numpy())


def test_gradients_of_joint_decisions_are_those_of_finite_differences() -> None:
    torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
    chosen = Scenario.load("llm6g", ["vehicles.num_vehicle=4"])
    generator = np.random.default_rng(1)
    units = [np.full((2, 4, 1), 1.0), np.full((2, 4, 1), 3e8), np.full((2, 4), 5.0), np.full((2, 4), 4e6)]
    units.append(np.full((2, 4), 1e9))
    decided = [unit * generator.uniform(0.3, 0.9, size=unit.shape) for unit in units]

    def objective(*values: Any) -> Any:
        return JointBatchEnvironment(chosen, 2, 3, library="torch").step(*values).objective.sum()

    tensors = [torch.tensor(values, requires_grad=True) for values in decided]
    objective(*tensors).backward()
    for index, unit in enumerate(units):
        direction = unit * generator.standard_normal(unit.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = [values + step * direction if at == index else values for at, values in enumerate(decided)]
            ends.append(float(objective(*map(torch.tensor, moved))))
        slope = float((tensors[index].grad.numpy() * direction).sum())
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-7)
