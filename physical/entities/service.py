"""What several tasks want at once: a CPU, an uplink, a queue of a server.

A job is what one of them has to do for a task. What has been done is counted when somebody's rate changes, and when
a job comes or leaves and that changes somebody's rate; looking changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from simpy.events import Event

from physical.entities.time import Time
from physical.model import computing
from physical.params import CpuRule, UplinkRule
from physical.phase import Phase
from physical.ticks import NEVER, seconds, ticks_from_s

Row = tuple[int, int, int]
"""Slot, vehicle and class of a task: what orders tasks that come at the same instant."""


class Job:
    """What is to be done for a task.

    Parameters
    ----------
    time : the clock
    work : seconds of a CPU, bytes of an upload, cycles of a server; of a job that was taken out, what is left

    Attributes
    ----------
    finished : happens when the work is done
    begun, ended : ticks; None before
    joules : J, what has been spent on it so far
    resource : where it is
    """

    __slots__ = ("begun", "ended", "finished", "joules", "resource", "work")

    def __init__(self, time: Time, work: float) -> None:
        self.work = work
        self.finished = Event(time.env)
        self.begun: int | None = None
        self.ended: int | None = None
        self.joules = 0.0
        self.resource: Resource | None = None

    def left(self) -> float:
        """Return how much work is still to do; nobody notices that it was asked."""
        return 0.0 if self.ended is not None or self.resource is None else self.resource.left(self)

    def withdraw(self) -> None:
        """Take it from where it is, if it is not done."""
        if self.ended is None and self.resource is not None:
            self.resource.withdraw(self)
            self.resource = None


class Resource(ABC):
    """Works on its jobs at `rate`, work per second, and uses `watts` while it has any.

    Parameters
    ----------
    time : the clock
    done : phase in which jobs end
    """

    def __init__(self, time: Time, done: Phase) -> None:
        self.rate = 0.0
        self.watts = 0.0
        self._time = time
        self._done = done
        self._next: Event | None = None
        self._since = 0

    def admit(self, job: Job) -> None:
        """Take a job in."""
        job.resource = self
        self._join(job)

    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        """Go on at another rate and power from now on; the same ones change nothing."""
        if rate != self.rate or watts != self.watts:
            self.settle()
            self.rate, self.watts = rate, watts
            self._plan()

    def _plan(self) -> None:
        """Let the next end be an event; one that was planned before counts no longer."""
        self._next = None
        work = self._work_to_next_end()
        if work is None:
            return
        end = self._since + ticks_from_s(computing.execution_delay_s(work, self.rate))
        if end < NEVER:
            self._next = self._time.at_ticks(end, self._done)
            self._next.callbacks = [self._end_if_valid]

    def _end_if_valid(self, event: Event) -> None:
        if event is self._next:
            self._end()

    def _elapsed_s(self) -> float:
        elapsed_s: float = seconds(self._time.ticks - self._since)
        return elapsed_s

    def _finish(self, job: Job) -> None:
        job.ended = self._time.ticks
        job.finished.succeed()

    @abstractmethod
    def left(self, job: Job) -> float:
        """Return how much work of a job is still to do."""

    @abstractmethod
    def settle(self) -> None:
        """Bring jobs up to now: what has been done, and what it has cost."""

    @abstractmethod
    def withdraw(self, job: Job) -> None:
        """Take a job out; its work is what is left of it."""

    @abstractmethod
    def _join(self, job: Job) -> None:
        """Let a job be among those that are worked on."""

    @abstractmethod
    def _work_to_next_end(self) -> float | None:
        """Return how much this does, counted since it was settled, until the next job ends; None without a job."""

    @abstractmethod
    def _end(self) -> None:
        """End the job that was to end now."""


class InTurn(Resource):
    """First come, first served: the head of the queue has the whole rate."""

    def __init__(self, time: Time, done: Phase) -> None:
        super().__init__(time, done)
        self.queue: list[Job] = []
        self._left = 0.0

    def _join(self, job: Job) -> None:
        self.queue.append(job)
        if len(self.queue) == 1:
            self._begin()

    def _begin(self) -> None:
        """Serve the head; of a job that has been served elsewhere, too, the first beginning counts."""
        head = self.queue[0]
        self._since = self._time.ticks
        self._left = head.work
        if head.begun is None:
            head.begun = self._since
        self._plan()

    def left(self, job: Job) -> float:
        """Return how much work of a job is still to do."""
        if job is not self.queue[0]:
            return job.work
        return max(self._left - self.rate * self._elapsed_s(), 0.0)

    def settle(self) -> None:
        """Bring jobs up to now: what has been done, and what it has cost."""
        if self.queue:
            head = self.queue[0]
            head.joules += self.watts * self._elapsed_s()
            self._left = self.left(head)
            self._since = self._time.ticks

    def withdraw(self, job: Job) -> None:
        """Take a job out; its work is what is left of it."""
        if job is not self.queue[0]:
            self.queue.remove(job)
            return
        self.settle()
        job.work = self._left
        self._serve_next()

    def take_all(self) -> list[Job]:
        """Take all jobs out, in their order."""
        self.settle()
        jobs, self.queue = self.queue, []
        if jobs:
            jobs[0].work = self._left
        self._next = None
        return jobs

    def _work_to_next_end(self) -> float | None:
        return self._left if self.queue else None

    def _end(self) -> None:
        head = self.queue[0]
        head.joules += self.watts * self._elapsed_s()
        self._finish(head)
        self._serve_next()

    def _serve_next(self) -> None:
        del self.queue[0]
        self._next = None
        if self.queue:
            self._begin()


class Sharing(Resource):
    """Processor sharing: each of n jobs has an n-th of the rate, and is charged an n-th of the power.

    What a job that was always there would have got is the virtual work V, which grows by ``rate dt / n``; what it would
    have been charged is E. A job with work W that comes at V is done when V is V + W, its goal.
    """

    def __init__(self, time: Time, done: Phase) -> None:
        super().__init__(time, done)
        self._goals: dict[Job, float] = {}
        self._charged_j: dict[Job, float] = {}
        self._virtual = 0.0
        self._virtual_j = 0.0

    def _join(self, job: Job) -> None:
        if self._goals:
            self.settle()
        else:
            self._virtual, self._since = 0.0, self._time.ticks
        job.begun = self._time.ticks
        self._goals[job] = self._virtual + job.work
        self._charged_j[job] = self._virtual_j
        self._plan()

    @property
    def _num_part(self) -> int:
        """Into how many parts the rate is cut."""
        return len(self._goals)

    def _virtual_now(self) -> float:
        grown = self.rate * self._elapsed_s() / self._num_part
        return min(self._virtual + grown, *self._goals.values())

    def left(self, job: Job) -> float:
        """Return how much work of a job is still to do."""
        return self._goals[job] - self._virtual_now()

    def settle(self) -> None:
        """Bring jobs up to now: what has been done, and what it has cost."""
        if self._goals:
            self._virtual, self._virtual_j = self._virtual_now(), self._virtual_j + self._spent_j()
            self._since = self._time.ticks
            for job, before_j in self._charged_j.items():
                job.joules = self._virtual_j - before_j

    def _spent_j(self) -> float:
        return self.watts * self._elapsed_s() / self._num_part

    def withdraw(self, job: Job) -> None:
        """Take a job out; its work is what is left of it."""
        self.settle()
        job.work = self._goals[job] - self._virtual
        self._forget(job)

    def _work_to_next_end(self) -> float | None:
        return (min(self._goals.values()) - self._virtual) * self._num_part if self._goals else None

    def _end(self) -> None:
        job = min(self._goals, key=self._goals.__getitem__)
        self.settle()
        self._virtual = self._goals[job]  # by definition, whatever rounding says
        self._finish(job)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._goals[job], self._charged_j[job]
        self._plan()


class Whole(Sharing):
    """Every job has the whole rate, and they have one V in common."""

    @property
    def _num_part(self) -> int:
        return 1


class Each(Resource):
    """Every job has the whole rate, as if it were alone: a queue of its own."""

    def __init__(self, time: Time, done: Phase) -> None:
        super().__init__(time, done)
        self._alone: dict[Job, InTurn] = {}

    def _join(self, job: Job) -> None:
        alone = self._alone[job] = InTurn(self._time, self._done)
        alone.set_rate(self.rate, self.watts)
        alone._join(job)
        assert job.finished.callbacks is not None  # it has not happened
        job.finished.callbacks.append(lambda _: self._forget(job))

    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        """Go on at another rate and power from now on; the same ones change nothing."""
        self.rate, self.watts = rate, watts
        for alone in self._alone.values():
            alone.set_rate(rate, watts)

    def left(self, job: Job) -> float:
        """Return how much work of a job is still to do."""
        return self._alone[job].left(job)

    def settle(self) -> None:
        """Bring jobs up to now: what has been done, and what it has cost."""
        for alone in self._alone.values():
            alone.settle()

    def withdraw(self, job: Job) -> None:
        """Take a job out; its work is what is left of it."""
        self._alone.pop(job).withdraw(job)

    def _forget(self, job: Job) -> None:
        del self._alone[job]

    def _work_to_next_end(self) -> float | None:
        return None  # the queues plan

    def _end(self) -> None:
        raise AssertionError("nothing was planned")


def make_cpu(time: Time, rule: CpuRule) -> Resource:
    """Return a vehicle's CPU, which works off a second of work per second."""
    kinds: dict[str, type[Resource]] = {"per-task": Each, "in-turn": InTurn, "sharing": Sharing}
    cpu = kinds[rule](time, Phase.UPLOAD_DONE)
    cpu.set_rate(1.0)
    return cpu


def make_uplink(time: Time, rule: UplinkRule, *, joint: bool) -> Resource:
    """Return a vehicle's uplink, which sends bytes."""
    kinds: dict[str, type[Resource]] = {"each": Whole if joint else Each, "in-turn": InTurn, "sharing": Sharing}
    return kinds[rule](time, Phase.UPLOAD_DONE)


class Door:
    """Lets those in together who come at the same instant, in the order of their rows.

    Parameters
    ----------
    time : the clock
    phase : when it opens: after what ends at that instant
    """

    def __init__(self, time: Time, phase: Phase) -> None:
        self._time = time
        self._phase = phase
        self._waiting: list[tuple[Row, Event]] = []

    def come(self, row: Row) -> Event:
        """Return the event of being let in."""
        entered = Event(self._time.env)
        if not self._waiting:
            self._time.call_at_ticks(self._time.ticks, self._phase, self._open)
        self._waiting.append((row, entered))
        return entered

    def _open(self) -> None:
        waiting, self._waiting = sorted(self._waiting, key=lambda entry: entry[0]), []
        for _, entered in waiting:
            entered.succeed()
