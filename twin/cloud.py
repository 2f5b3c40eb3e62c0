"""The cloud twin: collects reports, decides once per slot, sends commands."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

from numpy.random import Generator as RandomGenerator
from simpy.core import Environment
from simpy.events import Event

from physical.phase import Phase
from physical.ticks import HORIZON_S, to_ns
from twin.belief import Belief
from twin.decision import Ruling
from twin.messages import LOST_NS, ReportCohort
from twin.params import DecisionTime, Twin
from twin.snapshot import TwinSnapshot


class Clock(Protocol):
    """What the cloud needs of the event clock."""

    @property
    def now(self) -> int:
        """Current time, ns."""

    @property
    def env(self) -> Environment:
        """SimPy's environment."""

    def at(self, time_ns: int, phase: Phase, value: object = None) -> Event:
        """Return an event of `time_ns`, ordered by `phase` among those of the same instant."""

    def trigger(self, event: Event, time_ns: int, phase: Phase, value: object = None) -> None:
        """Let an event that somebody already waits for happen at `time_ns`."""


class DecisionMaker(Protocol):
    """A policy behind its guard."""

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision, the fallback's if the policy fails."""

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision, and record why."""


class Deliberation(NamedTuple):
    """One decision with its circumstances, as it is recorded."""

    snapshot: TwinSnapshot
    ruling: Ruling
    latency_ns: int


class Cloud:
    """The twin's process.

    Parameters
    ----------
    clock : event clock
    belief : what the twin knows
    params : sync window and decision latency
    policy : who decides
    send : called with each decision when it leaves the cloud
    generator : random numbers of the decision latency
    """

    def __init__(
        self,
        clock: Clock,
        belief: Belief,
        params: Twin,
        policy: DecisionMaker,
        send: Callable[[Deliberation], None],
        generator: RandomGenerator,
    ) -> None:
        self.belief = belief
        self.policy = policy
        self._clock = clock
        self._window_ns = to_ns(params.sync_window_s)
        self._time = params.decision
        self._send = send
        self._generator = generator
        self._wake = Event(clock.env)
        self._deciding = False
        self._newest: ReportCohort | None = None

    def expect(self, cohort: ReportCohort) -> None:
        """Learn that reports have been sent: the twin will decide when they are in, or when the window closes."""
        self.belief.expect(cohort)
        self._newest = cohort
        if not self._deciding:
            self._schedule(cohort)

    def _schedule(self, cohort: ReportCohort) -> None:
        last_ns = cohort.delivered_ns
        if not isinstance(last_ns, int):
            last_ns = int(last_ns.max(initial=cohort.sent_ns))
        wake_ns = min(last_ns, cohort.sent_ns + self._window_ns)
        self._deciding = True
        self._clock.trigger(self._wake, max(wake_ns, self._clock.now), Phase.DECIDE, cohort.slot)

    def run(self) -> Generator[Event, int, None]:
        """Decide slot after slot; a decision that takes longer than a slot makes the twin skip to the newest one."""
        while True:
            slot = yield self._wake
            self._wake = Event(self._clock.env)
            self.belief.update(self._clock.now)
            snapshot = self.belief.snapshot(slot, self._clock.now)
            deliberation = self._deliberate(snapshot)
            if deliberation.latency_ns:
                yield self._clock.at(self._clock.now + deliberation.latency_ns, Phase.SEND_COMMAND)
            self._send(deliberation)
            self._deciding = False
            if self._newest is not None and self._newest.slot > slot:
                self._schedule(self._newest)

    def _deliberate(self, snapshot: TwinSnapshot) -> Deliberation:
        ruling = self.policy.rule(snapshot)
        # Drawn in any case: who decides later, after a replayed beginning, takes the time that it always would.
        # A distribution may give any number, infinity too; beyond the clock, all are alike.
        latency_ns = to_ns(min(decision_latency_s(self._time, ruling.wall_s, self._generator), HORIZON_S))
        if ruling.latency_ns is not None:
            return Deliberation(snapshot, ruling, ruling.latency_ns)
        deadline_s = self._time.deadline_s
        if deadline_s is not None and latency_ns > to_ns(deadline_s):
            reason = f"decision took {latency_ns / 1e6:.3g} ms of {deadline_s * 1e3:.3g} ms"
            ruling = self.policy.rule_by_fallback(snapshot, reason, ruling.wall_s)
            latency_ns = to_ns(deadline_s)
        return Deliberation(snapshot, ruling, min(latency_ns, LOST_NS))


def decision_latency_s(time: DecisionTime, wall_s: float, generator: RandomGenerator) -> float:
    """Return how long a decision takes in simulated time, s."""
    if time.latency == "zero":
        return 0.0
    if time.latency == "measured":
        return wall_s
    return float(time.latency.quantile(generator.random()))
