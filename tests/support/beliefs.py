"""A belief of few vehicles, and reports for it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from physical.states import VehicleStates
from physical.system import System
from tests.support.scenarios import make_scenario
from twin.belief import Belief, Biases
from twin.bias import BiasProcess
from twin.estimators import Hold, Knowledge, Predict
from twin.messages import ReportCohort
from twin.params import ConstantBias

NUM_VEHICLE, NUM_CLASS = 3, 2
SLOT_NS = 100_000_000
SYSTEM = make_scenario().system()
CORRELATION = np.array([0.9, -0.3, 0.0])
ROAD_M = 100.0
STATE_FIELDS = VehicleStates._fields


def states(tag: int) -> VehicleStates:
    """Return states in which every number tells its tag, field and vehicle."""
    vehicle = np.arange(NUM_VEHICLE)
    values: dict[str, Any] = {name: 1000.0 * tag + 100.0 * place + vehicle for place, name in enumerate(STATE_FIELDS)}
    values["size_bytes"] = values["size_bytes"][:, np.newaxis] + 0.5 * np.arange(NUM_CLASS)
    return VehicleStates(**values)


def no_bias(value: float = 0.0) -> BiasProcess:
    return BiasProcess(ConstantBias(value=value), NUM_VEHICLE, 0.1, list)


def make_belief(
    estimator: Literal["hold", "predict"] = "hold",
    registered: VehicleStates | None = None,
    *,
    known: bool = True,
    system: System = SYSTEM,
    **biases: BiasProcess,
) -> Belief:
    names = {field.name for field in dataclasses.fields(Biases)} - {"cpu_frequency_hz", "known"}
    processes = {name: no_bias() for name in names} | biases
    hidden_hz = np.arange(NUM_VEHICLE * NUM_CLASS, dtype=float).reshape(NUM_VEHICLE, NUM_CLASS) - 2e9
    first = states(0) if registered is None else registered
    all_biases = Biases(cpu_frequency_hz=lambda slot: hidden_hz + slot, known=known, **processes)
    knowledge = Knowledge(system, CORRELATION, (ROAD_M, None))
    kind = Predict() if estimator == "predict" else Hold()
    return Belief(system, first, kind.estimator(knowledge), all_biases)


def cohort(
    slot: int, delivered_ns: Any, vehicle: list[int] | None = None, values: VehicleStates | None = None
) -> ReportCohort:
    who = None if vehicle is None else np.array(vehicle, dtype=np.int64)
    when = delivered_ns if isinstance(delivered_ns, int) else np.array(delivered_ns)
    return ReportCohort(slot, slot * SLOT_NS, who, when, states(slot + 1) if values is None else values)
