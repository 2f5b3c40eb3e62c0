"""The cloud of the entities: every report is an event, and the cloud waits for those of a slot or for its window."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from simpy.events import Event

from physical.phase import Phase
from physical.slots import EventClock
from physical.states import VehicleStates
from twin.cloud import CloudProcess
from twin.messages import ReportCohort, ServerReport


class VehicleReport(NamedTuple):
    """What one vehicle reports.

    slot : whose start it describes
    sent_ns : when it was sent
    vehicle : whose it is
    states : states of all vehicles; the report tells those of its own
    """

    slot: int
    sent_ns: int
    vehicle: int
    states: VehicleStates


class HearingCloud(CloudProcess):
    """A cloud to which reports come one by one; it reads them when it decides."""

    def __init__(self, clock: EventClock, *args: Any) -> None:
        super().__init__(clock, *args)
        self._mail: list[VehicleReport] = []
        self._newest = -1
        self._decided = -1
        self._begun_ns: dict[int, int] = {}
        self._outstanding: dict[int, int] = {}
        self._new_slot = Event(clock.env)
        self._complete = Event(clock.env)

    def expect(self, slot: int, num_report: int) -> None:
        """Learn from a station that a slot has begun, and how many of its reports are on their way."""
        self._outstanding[slot] = self._outstanding.get(slot, 0) + num_report
        if slot > self._newest:
            self._newest = slot
            self._begun_ns[slot] = self._clock.now
            begun, self._new_slot = self._new_slot, Event(self._clock.env)
            begun.succeed()

    def hear(self, report: VehicleReport) -> None:
        """Receive a report."""
        self._mail.append(report)
        if report.slot in self._outstanding:
            self._outstanding[report.slot] -= 1
            if not self._outstanding[report.slot]:
                complete, self._complete = self._complete, Event(self._clock.env)
                complete.succeed()

    def hear_server(self, report: ServerReport) -> None:
        """Receive a report of a server."""
        self.belief.expect_server(report)

    def _await_reports(self) -> Generator[Event, Any, int]:
        if self._newest == self._decided:
            yield self._new_slot
        slot = self._newest
        yield self._clock.at(self._clock.now, Phase.DECIDE)  # when all stations have said how many there are
        closes_ns = max(self._begun_ns[slot] + self._window_ns, self._clock.now)
        closed = self._clock.at(closes_ns, Phase.DECIDE)
        while self._outstanding[slot] and not closed.processed:
            yield self._complete | closed
        yield self._clock.at(self._clock.now, Phase.DECIDE)
        self._decided = slot
        for known in [known for known in self._outstanding if known <= slot]:
            del self._outstanding[known], self._begun_ns[known]
        self._read()
        return slot

    def _read(self) -> None:
        """Take in what has come since the last decision, slot by slot."""
        mail, self._mail = sorted(self._mail, key=lambda report: (report.slot, report.vehicle)), []
        for slot in dict.fromkeys(report.slot for report in mail):
            reports = [report for report in mail if report.slot == slot]
            vehicles = np.array([report.vehicle for report in reports])
            self.belief.expect(ReportCohort(slot, reports[0].sent_ns, vehicles, self._clock.now, reports[0].states))
