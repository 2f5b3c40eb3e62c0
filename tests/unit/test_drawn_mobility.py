"""Kinds of motion from elsewhere in the batch engine: it hands them uniform numbers, and checks what they give."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from physical.arrays import Floats
from physical.errors import InputError
from sim import Scenario
from sim.inputs.blocks import Inputs
from sim.inputs.streams import Streams
from sim.learn.batch import BatchEnvironment
from sim.scenario.mobility import Course, Draw, DrawnMobility, Motion, RunSize

NUM_DRAW = 7


class Scattered(Motion):
    """Vehicles at rest, each where its numbers say."""

    def __init__(self, numbers: Floats) -> None:
        self.numbers = numbers
        self.typical_speed_mps = np.zeros(len(numbers))

    def course(self, first_slot: int, num_slot: int) -> Course:
        shape = (num_slot, len(self.numbers))
        position_m = np.broadcast_to(500.0 * self.numbers[:, -2:], (*shape, 2))
        return Course(position_m, np.zeros(shape), np.zeros(shape))


class Scatter(DrawnMobility):
    """Draws more numbers than our kinds do, in two turns."""

    kind: Literal["scatter"] = "scatter"
    num_lost: int = 0

    def drawn(self, run: RunSize, draw: Draw) -> Motion:
        numbers = np.concatenate([draw(2), draw(NUM_DRAW - 2)], axis=1)
        assert numbers.shape == (run.num_vehicle, NUM_DRAW)
        return Scattered(numbers[self.num_lost :])


def scenario_of(kind: DrawnMobility) -> Scenario:
    return Scenario.load("dtecn", ["vehicles.num_vehicle=3"]).model_copy(update={"mobility": kind})


def test_a_run_gives_each_vehicle_its_own_numbers() -> None:
    inputs = Inputs(scenario_of(Scatter()).resolve(), Streams(5))
    expected = [Streams(5).generator("mobility", f"vehicle-{index}").random(NUM_DRAW)[-2] for index in range(3)]
    np.testing.assert_allclose(inputs.block(0, 2).x_m[1], 500.0 * np.array(expected), rtol=1e-6)


@pytest.mark.parametrize("inputs", ["fast", "event"])
def test_more_environments_change_no_other_one(inputs: Literal["fast", "event"]) -> None:
    few, many = (BatchEnvironment(scenario_of(Scatter()), count, seed=4, inputs=inputs).observe() for count in (1, 3))
    assert np.array_equal(few.rate_bps[0], many.rate_bps[0])
    assert len(np.unique(many.rate_bps)) == 9


@pytest.mark.parametrize("inputs", ["fast", "event"])
def test_what_a_kind_gives_is_checked_in_batches(inputs: Literal["fast", "event"]) -> None:
    with pytest.raises(InputError, match="scatter: typical_speed_mps has the shape") as caught:
        BatchEnvironment(scenario_of(Scatter(num_lost=1)), 2, inputs=inputs)
    assert caught.value.key == "mobility.kind"
