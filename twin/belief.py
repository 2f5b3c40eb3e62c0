"""The twin's belief: last reports, their age, and the estimates that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.model import units
from physical.model.arrays import some
from physical.quantize import freeze, quantize
from physical.states import VehicleStates
from physical.system import System
from physical.ticks import NS_PER_S
from twin.bias import BiasProcess
from twin.estimators import Estimator, Heard
from twin.messages import LOST_NS, ReportCohort, ServerReport
from twin.snapshot import TwinSnapshot

_BIAS_DB_MAX = 1000.0  # as many times larger as any two gains are apart; walks go on for ever


@dataclass(frozen=True)
class Biases:
    """The bias processes; see `twin.params.Bias`."""

    cpu_frequency_hz: Callable[[int], Floats]  # slot -> [N, K]
    task_size_bytes: BiasProcess
    position_m: BiasProcess
    channel_gain_db: BiasProcess
    cpu_backlog_cycles: BiasProcess
    uplink_backlog_bytes: BiasProcess
    server_backlog_bytes: BiasProcess
    known: bool


class Belief:
    """What the cloud holds about N vehicles and K queues.

    Parameters
    ----------
    system : static description
    registered : states with which the vehicles registered before the first slot; sizes there are the class means
    estimator : makes estimates of reports
    biases : what separates estimates from reports
    """

    def __init__(
        self,
        system: System,
        registered: VehicleStates,
        estimator: Estimator,
        biases: Biases,
    ) -> None:
        self._system = system
        self._biases = biases
        self._estimator = estimator
        self._states = registered
        self._report_slot = np.zeros(system.num_vehicle, dtype=np.int64)
        self._sampled_ns = np.zeros(system.num_vehicle, dtype=np.int64)
        self._heard = np.zeros(system.num_vehicle, dtype=np.bool_)
        self._reports: list[ReportCohort] = []
        self._node_backlog_bytes: list[Floats] = [np.zeros(system.num_class)] * system.num_node
        self._backlog_bytes: Floats = self._node_backlog_bytes[0]
        self._backlog_slot = [-1] * system.num_node
        self._node_flow_cycles: list[Floats | None] = [None] * system.num_node
        self._flow_waits = False
        self._server_reports: list[ServerReport] = []
        self._nothing: Floats = np.zeros((system.num_vehicle, system.num_class))
        freeze(self._backlog_bytes, self._nothing)

    def expect(self, cohort: ReportCohort) -> None:
        """Take note of reports on their way; those of one slot are one cohort, whichever stations send them."""
        if self._reports and self._reports[-1].slot == cohort.slot:
            cohort = self._reports.pop().with_those(cohort)
        self._reports.append(cohort)

    def expect_server(self, report: ServerReport) -> None:
        """Take note of a report of the server on its way."""
        self._server_reports.append(report)

    def update(self, now_ns: int) -> None:
        """Take in everything that is delivered by `now_ns`; of one vehicle's reports the newest counts."""
        on_the_way = []
        for cohort in self._reports:
            if self._take_in(cohort, now_ns):
                on_the_way.append(cohort)
        self._reports = on_the_way
        for report in self._server_reports:
            if report.delivered_ns <= now_ns and report.slot > self._backlog_slot[report.node]:
                self._take_in_backlog(report)
        self._server_reports = [r for r in self._server_reports if now_ns < r.delivered_ns < LOST_NS]

    def _take_in(self, cohort: ReportCohort, now_ns: int) -> bool:
        """Apply the delivered reports of a cohort; return whether some are still on their way."""
        if isinstance(cohort.delivered_ns, int) and cohort.vehicle is None and len(self._reports) == 1:
            if cohort.delivered_ns > now_ns:
                return cohort.delivered_ns < LOST_NS
            self._states = cohort.states
            self._report_slot[:] = cohort.slot
            self._sampled_ns[:] = cohort.sent_ns
            self._heard[:] = True
            return False
        vehicle = np.arange(self._system.num_vehicle) if cohort.vehicle is None else cohort.vehicle
        delivered_ns = cohort.delivered_ns
        if isinstance(delivered_ns, int):
            delivered_ns = np.full(vehicle.shape, delivered_ns)
        delivered = delivered_ns <= now_ns
        fresh = vehicle[delivered & (~self._heard[vehicle] | (cohort.slot > self._report_slot[vehicle]))]
        if fresh.size:
            self._states = _replace_some(self._states, cohort.states, fresh)
            self._report_slot[fresh] = cohort.slot
            self._sampled_ns[fresh] = cohort.sent_ns
            self._heard[fresh] = True
        return some(~delivered & (delivered_ns < LOST_NS))

    def _take_in_backlog(self, report: ServerReport) -> None:
        self._backlog_slot[report.node] = report.slot
        self._node_backlog_bytes[report.node] = self._backlog_bytes = report.backlog_bytes
        self._node_flow_cycles[report.node] = report.flow_backlog_cycles
        self._flow_waits = report.flow_backlog_cycles is not None
        if len(self._backlog_slot) > 1:
            self._flow_waits = any(cycles is not None for cycles in self._node_flow_cycles)
            self._backlog_bytes = np.sum(self._node_backlog_bytes, axis=0)
            freeze(self._backlog_bytes)

    def snapshot(self, slot: int, now_ns: int) -> TwinSnapshot:
        """Estimate the present from what has been delivered."""
        states = self._states
        # A late decision may know reports of slots after its own: those are not extrapolated backwards.
        num_missed = np.maximum(slot - self._report_slot, 0)
        size_bytes, x_m, y_m, gain = self._estimator.estimate(Heard(slot, states, num_missed))
        biases = self._biases
        age_s = (now_ns - self._sampled_ns) / NS_PER_S
        if not biases.task_size_bytes.is_zero:
            biased = np.maximum(size_bytes + biases.task_size_bytes.at(slot)[:, np.newaxis], 1.0)
            size_bytes = np.where(size_bytes > 0, biased, 0.0)  # that there is no task is no estimate
        if not biases.position_m.is_zero:
            x_m = x_m + biases.position_m.at(slot)
        if not biases.channel_gain_db.is_zero:
            factor = units.db_to_linear(np.clip(biases.channel_gain_db.at(slot), -_BIAS_DB_MAX, _BIAS_DB_MAX))
            gain = quantize(units.bounded_gain(gain * factor))
        backlog_bytes, flow_cycles = self._backlog_bytes, None
        if self._flow_waits:
            flow_cycles = self._flow_backlog_cycles(states.serving_node)
        if not biases.server_backlog_bytes.is_zero:
            backlog_bytes = _biased(backlog_bytes, biases.server_backlog_bytes, slot)
            if flow_cycles is not None:
                flow_cycles = flow_cycles * _part(backlog_bytes, self._backlog_bytes)
        freeze(size_bytes, x_m, y_m, gain, age_s)
        if flow_cycles is not None:
            freeze(flow_cycles)
        return TwinSnapshot(
            slot=slot,
            time_ns=now_ns,
            system=self._system,
            size_bytes=size_bytes,
            x_m=x_m,
            y_m=y_m,
            speed_mps=states.speed_mps,
            heading_rad=states.heading_rad,
            serving_node=states.serving_node,
            channel_gain=gain,
            age_of_information_s=age_s,
            backlog_bytes=backlog_bytes,
            estimation_bias_hz=biases.cpu_frequency_hz(slot) if biases.known else self._nothing,
            cpu_backlog_cycles=_biased(states.cpu_backlog_cycles, biases.cpu_backlog_cycles, slot),
            uplink_backlog_bytes=_biased(states.uplink_backlog_bytes, biases.uplink_backlog_bytes, slot),
            flow_backlog_cycles=flow_cycles,  # type: ignore[arg-type]  # None: nothing waits
        )

    def _flow_backlog_cycles(self, serving_node: Ints) -> Floats:
        """Return the backlog of every flow, [N, K], as the node that is believed to serve its vehicle has reported it.

        Work moves with its vehicle, so that what other nodes have reported of it is out of date.
        """
        if len(self._node_flow_cycles) == 1 and serving_node.min() >= 0:
            return self._node_flow_cycles[0] if self._node_flow_cycles[0] is not None else self._nothing
        flow_cycles = np.zeros_like(self._nothing)
        for node, reported in enumerate(self._node_flow_cycles):
            if reported is not None:
                here = serving_node == node
                flow_cycles[here] = reported[here]
        return flow_cycles


def _biased(backlog: Floats, bias: BiasProcess, slot: int) -> Floats:
    """Return a backlog as the twin estimates it, >= 0; [N] or [K]."""
    if bias.is_zero:
        return backlog
    estimated = np.maximum(backlog + bias.at(slot), 0.0)
    freeze(estimated)
    return estimated


def _part(estimated_bytes: Floats, reported_bytes: Floats) -> Floats:
    """Return what the estimated backlog of each class is of the reported one, [K]; 1 where nothing was reported."""
    waits = reported_bytes > 0
    return np.where(waits, estimated_bytes / np.where(waits, reported_bytes, 1.0), 1.0)


def _replace_some(states: VehicleStates, newer: VehicleStates, vehicle: Ints) -> VehicleStates:
    return VehicleStates._make(
        known if known is new else _replaced(known, new, vehicle) for known, new in zip(states, newer, strict=True)
    )


def _replaced(known: NDArray[Any], new: NDArray[Any], vehicle: Ints) -> NDArray[Any]:
    values = known.copy()
    values[vehicle] = new[vehicle]
    freeze(values)
    return values
