"""What several tasks want at once: a CPU, an uplink, a queue of a server.

A request is what one of them has to do for a task. What has been done is counted when somebody's rate changes, and when
a request comes or leaves and that changes somebody's rate; looking changes nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from simpy.events import Event

from physical.entities.agenda import Agenda
from physical.model import computing
from physical.params import CpuRule, UplinkRule
from physical.phase import Phase
from physical.ticks import NEVER, seconds, ticks_from_s

Row = tuple[int, int, int]
"""Slot, vehicle and class of a task: what orders tasks that come at the same instant."""


class Request:
    """What is to be done for a task.

    Parameters
    ----------
    agenda : the clock
    work : seconds of a CPU, bytes of an upload, cycles of a server; of a request that was taken out, what is left

    Attributes
    ----------
    finished : happens when the work is done
    begun, ended : ticks; None before
    joules : J, what has been spent on it so far
    resource : where it is
    """

    __slots__ = ("begun", "ended", "finished", "joules", "resource", "work")

    def __init__(self, agenda: Agenda, work: float) -> None:
        self.work = work
        self.finished = Event(agenda.env)
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
    """Works on its requests at `rate`, work per second, and uses `watts` while it has any.

    Parameters
    ----------
    agenda : the clock
    done : phase in which requests end
    """

    def __init__(self, agenda: Agenda, done: Phase) -> None:
        self.rate = 0.0
        self.watts = 0.0
        self._agenda = agenda
        self._done = done

    def admit(self, request: Request) -> None:
        """Take a request in."""
        request.resource = self
        self._join(request)

    def _finish(self, request: Request) -> None:
        request.ended = self._agenda.ticks
        request.finished.succeed()

    @abstractmethod
    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        """Go on at another rate and power from now on; the same ones change nothing."""

    @abstractmethod
    def left(self, request: Request) -> float:
        """Return how much work of a request is still to do."""

    @abstractmethod
    def settle(self) -> None:
        """Bring requests up to now: what has been done, and what it has cost."""

    @abstractmethod
    def withdraw(self, request: Request) -> None:
        """Take a request out; its work is what is left of it."""

    @abstractmethod
    def _join(self, request: Request) -> None:
        """Let a request be among those that are worked on."""


class CommonResource(Resource):
    """Has one rate for all its requests together, so that one of them ends next: that end is planned."""

    def __init__(self, agenda: Agenda, done: Phase) -> None:
        super().__init__(agenda, done)
        self._next: Event | None = None
        self._since = 0

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
            self._next = self._agenda.at_ticks(end, self._done)
            self._next.callbacks = [self._end_if_valid]

    def _end_if_valid(self, event: Event) -> None:
        if event is self._next:
            self._end()

    def _elapsed_s(self) -> float:
        elapsed_s: float = seconds(self._agenda.ticks - self._since)
        return elapsed_s

    @abstractmethod
    def _work_to_next_end(self) -> float | None:
        """Return how much this does, from when it was settled until the next request ends; None without one."""

    @abstractmethod
    def _end(self) -> None:
        """End the request that was to end now."""


class InTurn(CommonResource):
    """First come, first served: the head of the queue has the whole rate."""

    def __init__(self, agenda: Agenda, done: Phase) -> None:
        super().__init__(agenda, done)
        self.queue: list[Request] = []
        self._left = 0.0

    def _join(self, request: Request) -> None:
        self.queue.append(request)
        if len(self.queue) == 1:
            self._begin()

    def _begin(self) -> None:
        """Serve the head; of a request that has been served elsewhere, too, the first beginning counts."""
        head = self.queue[0]
        self._since = self._agenda.ticks
        self._left = head.work
        if head.begun is None:
            head.begun = self._since
        self._plan()

    def left(self, request: Request) -> float:
        """Return how much work of a request is still to do."""
        if request is not self.queue[0]:
            return request.work
        return max(self._left - self.rate * self._elapsed_s(), 0.0)

    def settle(self) -> None:
        """Bring requests up to now: what has been done, and what it has cost."""
        if self.queue:
            head = self.queue[0]
            head.joules += self.watts * self._elapsed_s()
            self._left = self.left(head)
            self._since = self._agenda.ticks

    def withdraw(self, request: Request) -> None:
        """Take a request out; its work is what is left of it."""
        if request is not self.queue[0]:
            self.queue.remove(request)
            return
        self.settle()
        request.work = self._left
        self._serve_next()

    def take_all(self) -> list[Request]:
        """Take all requests out, in their order."""
        self.settle()
        requests, self.queue = self.queue, []
        if requests:
            requests[0].work = self._left
        self._next = None
        return requests

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


class Sharing(CommonResource):
    """Processor sharing: each of n requests has an n-th of the rate, and is charged an n-th of the power.

    What a request that was always there would have got is the virtual work V, which grows by ``rate dt / n``; what it
    would have been charged is E. A request with work W that comes at V is done when V is V + W, its goal.
    """

    def __init__(self, agenda: Agenda, done: Phase) -> None:
        super().__init__(agenda, done)
        self._goals: dict[Request, float] = {}
        self._least_goal = math.inf
        self._charged_j: dict[Request, float] = {}
        self._virtual = 0.0
        self._virtual_j = 0.0

    def _join(self, request: Request) -> None:
        if self._goals:
            self.settle()
        else:
            self._virtual, self._since = 0.0, self._agenda.ticks
        request.begun = self._agenda.ticks
        self._goals[request] = goal = self._virtual + request.work
        self._least_goal = min(self._least_goal, goal)
        self._charged_j[request] = self._virtual_j
        self._plan()

    @property
    def _num_part(self) -> int:
        """Into how many parts the rate is cut."""
        return len(self._goals)

    def _virtual_now(self) -> float:
        grown = self.rate * self._elapsed_s() / self._num_part
        return min(self._virtual + grown, self._least_goal)

    def left(self, request: Request) -> float:
        """Return how much work of a request is still to do."""
        return self._goals[request] - self._virtual_now()

    def settle(self) -> None:
        """Bring requests up to now: what has been done, and what it has cost."""
        if self._goals:
            self._virtual, self._virtual_j = self._virtual_now(), self._virtual_j + self._spent_j()
            self._since = self._agenda.ticks
            for request, before_j in self._charged_j.items():
                request.joules = self._virtual_j - before_j

    def _spent_j(self) -> float:
        return self.watts * self._elapsed_s() / self._num_part

    def withdraw(self, request: Request) -> None:
        """Take a request out; its work is what is left of it."""
        self.settle()
        request.work = self._goals[request] - self._virtual
        self._forget(request)

    def _work_to_next_end(self) -> float | None:
        return (self._least_goal - self._virtual) * self._num_part if self._goals else None

    def _end(self) -> None:
        request = min(self._goals, key=self._goals.__getitem__)
        self.settle()
        self._virtual = self._goals[request]  # by definition, whatever rounding says
        self._finish(request)
        self._forget(request)

    def _forget(self, request: Request) -> None:
        del self._goals[request], self._charged_j[request]
        self._least_goal = min(self._goals.values(), default=math.inf)
        self._plan()


class Whole(Sharing):
    """Every request has the whole rate, and they have one V in common."""

    @property
    def _num_part(self) -> int:
        return 1


class _Stretch(NamedTuple):
    """How a request that is alone goes on at one rate: what was left when, and the event of its end, if it will end."""

    left: float
    since: int
    end: Event | None


class Each(Resource):
    """Every request has the whole rate, as if it were alone; nobody meters it."""

    def __init__(self, agenda: Agenda, done: Phase) -> None:
        super().__init__(agenda, done)
        self._stretches: dict[Request, _Stretch] = {}

    def _join(self, request: Request) -> None:
        request.begun = self._agenda.ticks
        self._go_on(request, request.work)

    def _go_on(self, request: Request, left: float) -> None:
        now = self._agenda.ticks
        end_ticks = now + ticks_from_s(computing.execution_delay_s(left, self.rate))
        end = None
        if end_ticks < NEVER:
            end = self._agenda.at_ticks(end_ticks, self._done)
            end.callbacks = [lambda event: self._end_if_valid_for(request, event)]
        self._stretches[request] = _Stretch(left, now, end)

    def _end_if_valid_for(self, request: Request, event: Event) -> None:
        if request in self._stretches and self._stretches[request].end is event:
            del self._stretches[request]
            self._finish(request)

    def set_rate(self, rate: float, watts: float = 0.0) -> None:
        """Go on at another rate and power from now on; the same ones change nothing."""
        if rate != self.rate:
            left = {request: self.left(request) for request in self._stretches}
            self.rate = rate
            for request, work in left.items():
                self._go_on(request, work)
        self.watts = watts

    def left(self, request: Request) -> float:
        """Return how much work of a request is still to do."""
        left, since, _ = self._stretches[request]
        return max(left - self.rate * float(seconds(self._agenda.ticks - since)), 0.0)

    def settle(self) -> None:
        """Do nothing: what is left follows from the beginning, and nothing is charged."""

    def withdraw(self, request: Request) -> None:
        """Take a request out; its work is what is left of it."""
        request.work = self.left(request)
        del self._stretches[request]


def make_cpu(agenda: Agenda, rule: CpuRule) -> Resource:
    """Return a vehicle's CPU, which works off a second of work per second."""
    kinds: dict[str, type[Resource]] = {"per-task": Each, "in-turn": InTurn, "sharing": Sharing}
    cpu = kinds[rule](agenda, Phase.UPLOAD_DONE)
    cpu.set_rate(1.0)
    return cpu


def make_uplink(agenda: Agenda, rule: UplinkRule, *, joint: bool) -> Resource:
    """Return a vehicle's uplink, which sends bytes."""
    kinds: dict[str, type[Resource]] = {"each": Whole if joint else Each, "in-turn": InTurn, "sharing": Sharing}
    return kinds[rule](agenda, Phase.UPLOAD_DONE)


class Door:
    """Lets those in together who come at the same instant, in the order of their rows.

    Parameters
    ----------
    agenda : the clock
    phase : when it opens: after what ends at that instant
    """

    def __init__(self, agenda: Agenda, phase: Phase) -> None:
        self._agenda = agenda
        self._phase = phase
        self._waiting: list[tuple[Row, Event]] = []

    def come(self, row: Row) -> Event:
        """Return the event of being let in."""
        entered = Event(self._agenda.env)
        if not self._waiting:
            self._agenda.call_at_ticks(self._agenda.ticks, self._phase, self._open)
        self._waiting.append((row, entered))
        return entered

    def _open(self) -> None:
        waiting, self._waiting = sorted(self._waiting, key=lambda entry: entry[0]), []
        for _, entered in waiting:
            entered.succeed()
