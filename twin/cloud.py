"""The cloud twin: collects reports, decides once per slot, sends commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.random import Generator as RandomGenerator
from simpy.events import Event

from physical.phase import Phase
from physical.slots import EventClock
from physical.system import System
from physical.ticks import HORIZON_S, to_ns
from twin.belief import Belief
from twin.decision import Ruling
from twin.messages import LOST_NS, ReportCohort
from twin.params import DecisionTime, Twin
from twin.snapshot import TwinSnapshot


class Decider(Protocol):
    """Who decides in a run: a policy behind its guard, what was recorded, or one after the other."""

    def reset(self, system: System, seed: int) -> None:
        """Get ready for a run."""

    def rule(self, snapshot: TwinSnapshot) -> Ruling:
        """Return a feasible decision, the fallback's if the policy fails."""

    def rule_by_fallback(self, snapshot: TwinSnapshot, reason: str, wall_s: float) -> Ruling:
        """Return the fallback's decision, and record why."""

    @property
    def wants_outcomes(self) -> bool:
        """Whether it wants to be told what slots realised."""

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Be told what slots realised, (slot, objective), once all their tasks have ended."""

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says about who decides, beside the name."""

    def close(self) -> str:
        """Let go of processes and models, as the run has ended; return what went wrong, if anything did."""


class Deliberation(NamedTuple):
    """One decision with its circumstances, as it is recorded."""

    snapshot: TwinSnapshot
    ruling: Ruling
    latency_ns: int


class Observer(Protocol):
    """Somebody who is told of every decision."""

    def decided(self, deliberation: Deliberation) -> None:
        """Take note of a decision that leaves the cloud now."""


class CloudProcess(ABC):
    """The twin's process: it waits for reports, decides, and sends; subclasses know when a slot's reports are in.

    Parameters
    ----------
    clock : event clock
    belief : what the twin knows
    params : sync window and decision latency
    decider : who decides
    send : called with each decision when it leaves the cloud
    observers : told of each decision just before it is sent, in this order
    generator : random numbers of the decision latency

    Attributes
    ----------
    asked : happens when the twin is about to decide, if anybody waits for it; its value is the snapshot. Simulate until
        then, look, and call `answer`
    answered : happens when the twin has decided after that
    """

    def __init__(
        self,
        clock: EventClock,
        belief: Belief,
        params: Twin,
        decider: Decider,
        send: Callable[[Deliberation], None],
        observers: Sequence[Observer],
        generator: RandomGenerator,
    ) -> None:
        self.belief = belief
        self.asked = Event(clock.env)
        self.answered = Event(clock.env)
        self._decider = decider
        self._observers = observers
        self._clock = clock
        self._window_ns = to_ns(params.sync_window_s)
        self._time = params.decision
        self._send = send
        self._generator = generator

    @abstractmethod
    def _await_reports(self) -> Generator[Event, Any, int]:
        """Wait until the newest slot that is not decided has all its reports, or its window closes; return it."""

    def answer(self) -> None:
        """Let the twin decide, after `asked` has happened."""
        self._clock.trigger(self.answered, self._clock.now, Phase.DECIDE)

    def run(self) -> Generator[Event, Any, None]:
        """Decide slot after slot; a decision that takes longer than a slot makes the twin skip to the newest one."""
        while True:
            slot = yield from self._await_reports()
            now_ns = self._clock.now
            self.belief.update(now_ns)
            snapshot = self.belief.snapshot(slot, now_ns)
            if self.asked.callbacks:
                yield self._ask(snapshot)
            deliberation = self._deliberate(snapshot)
            if deliberation.latency_ns:
                yield self._clock.at(now_ns + deliberation.latency_ns, Phase.SEND_COMMAND)
            for observer in self._observers:
                observer.decided(deliberation)
            self._send(deliberation)

    def _ask(self, snapshot: TwinSnapshot) -> Event:
        """Show the snapshot to whoever waits for it; return the event of the answer."""
        asked, self.asked, self.answered = self.asked, Event(self._clock.env), Event(self._clock.env)
        self._clock.trigger(asked, self._clock.now, Phase.DECIDE, snapshot)
        return self.answered

    def _deliberate(self, snapshot: TwinSnapshot) -> Deliberation:
        ruling = self._decider.rule(snapshot)
        # Drawn in any case: who decides later, after a replayed beginning, takes the time that it always would.
        # A distribution may give any number, infinity too; beyond the clock, all are alike.
        latency_ns = to_ns(min(decision_latency_s(self._time, ruling.wall_s, self._generator), HORIZON_S))
        if ruling.latency_ns is not None:
            return Deliberation(snapshot, ruling, ruling.latency_ns)
        deadline_s = self._time.deadline_s
        if deadline_s is not None and latency_ns > to_ns(deadline_s):
            reason = f"decision took {latency_ns / 1e6:.3g} ms of {deadline_s * 1e3:.3g} ms"
            ruling = self._decider.rule_by_fallback(snapshot, reason, ruling.wall_s)
            latency_ns = to_ns(deadline_s)
        return Deliberation(snapshot, ruling, min(latency_ns, LOST_NS))


@dataclass
class _AwaitedSlot:
    """A slot that is to be decided, and when: as late as the last of its reports, or when the window closes."""

    slot: int
    time_ns: int


class Cloud(CloudProcess):
    """The cloud of the columns: when reports are sent it is known when they will arrive, so it wakes up once a slot."""

    def __init__(self, clock: EventClock, *args: Any) -> None:
        super().__init__(clock, *args)
        self._wake = Event(clock.env)
        self._deciding = False
        self._newest = _AwaitedSlot(-1, 0)
        self._next = self._newest

    def expect(self, cohort: ReportCohort) -> None:
        """Learn that reports have been sent: the twin will decide when they are in, or when the window closes.

        Every station sends a cohort in every slot, an empty one too.
        """
        self.belief.expect(cohort)
        due_ns = min(cohort.last_ns(), cohort.sent_ns + self._window_ns)
        if cohort.slot > self._newest.slot:
            self._newest = _AwaitedSlot(cohort.slot, due_ns)
            if not self._deciding:
                self._go_on_with_newest()
        else:
            self._newest.time_ns = max(self._newest.time_ns, due_ns)

    def _go_on_with_newest(self) -> None:
        self._deciding = True
        self._next = self._newest
        self._wake_up()

    def _wake_up(self) -> None:
        """Wake up when the next decision is due, as far as that is known by now."""
        self._clock.trigger(self._wake, max(self._next.time_ns, self._clock.now), Phase.DECIDE)

    def _await_reports(self) -> Generator[Event, Any, int]:
        self._deciding = False
        if self._newest.slot > self._next.slot:
            self._go_on_with_newest()
        while True:
            yield self._wake
            self._wake = Event(self._clock.env)
            if self._clock.now >= self._next.time_ns:
                return self._next.slot
            self._wake_up()  # another station's reports take longer


def decision_latency_s(time: DecisionTime, wall_s: float, generator: RandomGenerator) -> float:
    """Return how long a decision takes in simulated time, s."""
    if time.latency == "zero":
        return 0.0
    if time.latency == "measured":
        return wall_s
    return float(time.latency.quantile(generator.random()))
