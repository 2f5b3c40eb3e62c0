"""What several tasks want at once: a CPU, an uplink, a queue of a server; one SimPy process each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from simpy.events import Event

from physical.params import CpuRule, UplinkRule
from physical.phase import Phase
from physical.ticks import seconds
from tests.oracle.task import Clock, execution_ticks


@dataclass(eq=False)
class Job:
    """What a resource has to do for a task.

    work : seconds of a CPU, bytes of an upload, cycles of a server
    finished : happens when the work is done
    begun : ticks, when it has begun; None while it waits
    joules : what has been spent on it so far
    """

    work: float
    finished: Event
    begun: int | None = None
    joules: float = 0.0


class Resource(ABC):
    """Works on its jobs at `rate` (work per second), with a power of `watts` while there is something to do."""

    def __init__(self, clock: Clock, done_phase: Phase) -> None:
        self.rate = 0.0
        self.watts = 0.0
        self._clock = clock
        self._done_phase = done_phase
        self._changed = clock.env.event()

    def admit(self, work: float) -> Job:
        """Take in a job."""
        job = Job(work, self._clock.env.event())
        self._join(job)
        return job

    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        """Go on at another rate and power from now on; the same ones change nothing."""
        if (rate, watts) != (self.rate, self.watts):
            self.settle()
            self.rate, self.watts = rate, watts
            self._wake()

    @abstractmethod
    def left(self, job: Job) -> float:
        """Return how much work of a job is still to do; nobody notices that it was asked."""

    @abstractmethod
    def settle(self) -> None:
        """Bring jobs up to now: what they have got, and what it has cost."""

    @abstractmethod
    def _join(self, job: Job) -> None:
        """Let a job be among those that are served."""

    def _wake(self) -> None:
        """Let the process think again about what ends next."""
        changed, self._changed = self._changed, self._clock.env.event()
        changed.succeed()

    def _elapsed_s(self, since: int) -> float:
        return float(seconds(self._clock.now - since))


class InTurn(Resource):
    """First come, first served: the head of the queue has the whole rate."""

    def __init__(self, clock: Clock, done_phase: Phase) -> None:
        super().__init__(clock, done_phase)
        self._queue: list[Job] = []  # its head is in service
        self._left = 0.0  # of the head
        self._since = 0
        clock.env.process(self._run())

    def _join(self, job: Job) -> None:
        self._queue.append(job)
        if len(self._queue) == 1:
            self._begin()
            self._wake()

    def _begin(self) -> None:
        head = self._queue[0]
        head.begun = self._since = self._clock.now
        self._left = head.work

    def left(self, job: Job) -> float:
        if job not in self._queue:
            return 0.0
        if job is not self._queue[0]:
            return job.work
        return max(self._left - self.rate * self._elapsed_s(self._since), 0.0)

    @property
    def waiting(self) -> list[Job]:
        """The jobs behind the one in service."""
        return self._queue[1:]

    @property
    def left_in_service(self) -> float:
        """How much work of the job in service is still to do."""
        return self.left(self._queue[0]) if self._queue else 0.0

    def settle(self) -> None:
        if self._queue:
            head = self._queue[0]
            self._left = self.left(head)
            head.joules += self.watts * self._elapsed_s(self._since)
            self._since = self._clock.now

    def _run(self) -> Generator[Event, None, None]:
        while True:
            if not self._queue:
                yield self._changed
                continue
            done = self._clock.at(self._since + execution_ticks(self._left, self.rate), self._done_phase)
            yield done | self._changed
            if done.processed:
                self.settle()
                self._queue.pop(0).finished.succeed()
                if self._queue:
                    self._begin()


@dataclass(eq=False)
class _Share:
    """A job of a shared resource: it joined when a job's work was `tag - work`, and leaves when that is `tag`."""

    job: Job
    tag: float
    joined_j: float


class Sharing(Resource):
    """Processor sharing: n jobs get an n-th of the rate (and are charged an n-th of the power) each.

    What one job that was always there would have got is the virtual work V, and its energy E.
    """

    def __init__(self, clock: Clock, done_phase: Phase) -> None:
        super().__init__(clock, done_phase)
        self._shares: list[_Share] = []
        self._virtual = 0.0
        self._virtual_j = 0.0
        self._since = 0
        clock.env.process(self._run())

    def _join(self, job: Job) -> None:
        self.settle()
        if not self._shares:
            self._virtual, self._since = 0.0, self._clock.now
        job.begun = self._clock.now
        self._shares.append(_Share(job, self._virtual + job.work, self._virtual_j))
        self._wake()

    def _next(self) -> _Share:
        """Return who leaves next."""
        return min(self._shares, key=lambda share: share.tag)

    @property
    def _num_part(self) -> int:
        """Into how many parts the rate is cut."""
        return len(self._shares)

    def _virtual_now(self) -> float:
        grown = self.rate * self._elapsed_s(self._since) / self._num_part
        return min(self._virtual + grown, self._next().tag)

    def left(self, job: Job) -> float:
        for share in self._shares:
            if share.job is job:
                return share.tag - self._virtual_now()
        return 0.0

    def settle(self) -> None:
        if self._shares:
            self._virtual, self._virtual_j = self._virtual_now(), self._virtual_j + self._spent_j()
            self._since = self._clock.now
            for share in self._shares:
                share.job.joules = self._virtual_j - share.joined_j

    def _spent_j(self) -> float:
        return self.watts * self._elapsed_s(self._since) / self._num_part

    def _run(self) -> Generator[Event, None, None]:
        while True:
            if not self._shares:
                yield self._changed
                continue
            left = (self._next().tag - self._virtual) * self._num_part
            done = self._clock.at(self._since + execution_ticks(left, self.rate), self._done_phase)
            yield done | self._changed
            if done.processed:
                self._let_go(self._next())

    def _let_go(self, share: _Share) -> None:
        self.settle()
        self._virtual = share.tag  # by definition, whatever rounding says
        self._shares.remove(share)
        share.job.finished.succeed()


class Whole(Sharing):
    """Every job has the whole rate, and they have one V in common; rounding apart, this is `Each`."""

    @property
    def _num_part(self) -> int:
        return 1


class Each(Resource):
    """Every job has the whole rate, as if it were alone: a queue of its own."""

    def __init__(self, clock: Clock, done_phase: Phase) -> None:
        super().__init__(clock, done_phase)
        self._alone: dict[Job, InTurn] = {}

    def _join(self, job: Job) -> None:
        alone = InTurn(self._clock, self._done_phase)
        alone.set_rate(self.rate, self.watts)
        alone._join(job)
        self._alone = {known: queue for known, queue in self._alone.items() if not known.finished.triggered}
        self._alone[job] = alone

    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        self.rate, self.watts = rate, watts
        for alone in self._alone.values():
            alone.set_rate(rate, watts)

    def left(self, job: Job) -> float:
        return self._alone[job].left(job) if job in self._alone else 0.0

    def settle(self) -> None:
        for alone in self._alone.values():
            alone.settle()


def make_cpu(clock: Clock, rule: CpuRule) -> Resource:
    """Return a vehicle's CPU, which works off a second of work per second."""
    kinds: dict[str, type[Resource]] = {"per-task": Each, "in-turn": InTurn, "sharing": Sharing}
    cpu = kinds[rule](clock, Phase.UPLOAD_DONE)
    cpu.set_rate(1.0)
    return cpu


def make_uplink(clock: Clock, rule: UplinkRule, *, joint: bool) -> Resource:
    """Return a vehicle's uplink, which sends bytes."""
    kinds: dict[str, type[Resource]] = {"each": Whole if joint else Each, "in-turn": InTurn, "sharing": Sharing}
    return kinds[rule](clock, Phase.UPLOAD_DONE)
