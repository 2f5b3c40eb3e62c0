"""Timed events of a scenario: outages, changes of links and bias, bursts, vehicles that come and go, policy swaps."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from physical.arrays import Floats, Mask
from physical.delay import Delay
from physical.params import Params
from physical.quantity import BiasHertz, Factor, Period, Probability, Seconds, VehicleIndex
from physical.ticks import to_ns


class TimedEvent(Params):
    """What all events have: a time, and with `every_s` further ones, up to `until_s` or the end of the run."""

    # Not in the docstring: each kind of event has its own, and these keys, too.
    at_s: Annotated[Seconds, Field(description="time of the run at which it happens")]
    every_s: Annotated[Period | None, Field(description="it happens again and again, with this period")] = None
    until_s: Annotated[Period | None, Field(description="last time at which it may happen again")] = None

    @model_validator(mode="after")
    def _check(self) -> TimedEvent:
        if self.until_s is not None and self.every_s is None:
            raise ValueError("until_s needs every_s; a period")
        return self


class NodeDown(TimedEvent):
    """A serving node fails at this very moment.

    Its vehicles look for another one at the next slot start.

    node : name of the node that fails: an RSU's, or "base-station"
    """

    kind: Literal["node-down"] = "node-down"
    node: str


class NodeUp(TimedEvent):
    """A serving node is back, and serves from the next slot start on.

    node : name of the node that is back: an RSU's, or "base-station"
    """

    kind: Literal["node-up"] = "node-up"
    node: str


class LinkChange(TimedEvent):
    """A link behaves differently from the next slot start on.

    link : which link changes; what is not given of it stays
    latency_s : latency of the link from then on, as in `network`
    jitter_s : jitter of the link from then on
    loss : probability of losing a message on the link from then on
    """

    kind: Literal["link"] = "link"
    link: Literal["access", "backhaul", "lan"]
    latency_s: Delay | None = None
    jitter_s: Seconds | None = None
    loss: Probability | None = None


class BiasJump(TimedEvent):
    """The estimation bias of the edge frequencies is larger from the next slot start on.

    cpu_frequency_hz : what is added to the bias of the edge frequencies; jumps add up
    """

    kind: Literal["bias"] = "bias"
    cpu_frequency_hz: BiasHertz


class TaskBurst(TimedEvent):
    """Tasks are larger for a while.

    size_factor : tasks are this much as large; bursts at the same time multiply
    duration_s : how long the burst lasts
    task : name of the class that bursts; by default all do
    """

    kind: Literal["burst"] = "burst"
    size_factor: Factor
    duration_s: Period
    task: str | None = None


class VehicleLeaves(TimedEvent):
    """A vehicle leaves the scene at the next slot start, and its unfinished tasks are dropped.

    vehicle : number of the vehicle that leaves, from 0 on
    """

    kind: Literal["vehicle-leaves"] = "vehicle-leaves"
    vehicle: VehicleIndex


class VehicleEnters(TimedEvent):
    """A vehicle enters the scene at the next slot start.

    vehicle : number of the vehicle that enters, from 0 on; one that has not left was never there before
    """

    kind: Literal["vehicle-enters"] = "vehicle-enters"
    vehicle: VehicleIndex


class PolicySwap(TimedEvent):
    """Another policy takes the decisions from this time on.

    name : policy that decides from then on, with its options
    """

    kind: Literal["policy"] = "policy"
    name: Annotated[str, Field(min_length=1)]


Event = Annotated[
    NodeDown | NodeUp | LinkChange | BiasJump | TaskBurst | VehicleLeaves | VehicleEnters | PolicySwap,
    Field(discriminator="kind"),
]


class Happening(NamedTuple):
    """One occurrence of an event."""

    time_ns: int
    event: Any

    def describe(self) -> str:
        """Return what the event says besides its time, in one line."""
        told = self.event.model_dump(exclude={"at_s", "every_s", "until_s", "kind"}, exclude_none=True, mode="json")
        return ", ".join(f"{key} {value}" for key, value in told.items())


@dataclass(frozen=True)
class Timeline:
    """The events of one run, in order of time, then as the scenario lists them.

    happenings : all occurrences before the end of the run
    slot_ns : ns, length of a slot
    """

    happenings: tuple[Happening, ...]
    slot_ns: int

    @classmethod
    def of(cls, events: Sequence[TimedEvent], slot_ns: int, num_slot: int) -> Timeline:
        """Spell out periodic events."""
        end_ns = num_slot * slot_ns
        found = [happening for event in events for happening in _occurrences(event, end_ns)]
        return cls(tuple(sorted(found, key=lambda happening: happening.time_ns)), slot_ns)

    def select(self, *kinds: type[TimedEvent]) -> list[Happening]:
        """Return the occurrences of some kinds."""
        if kinds not in self._selected:
            self._selected[kinds] = [happening for happening in self.happenings if isinstance(happening.event, kinds)]
        return self._selected[kinds]

    @cached_property
    def _selected(self) -> dict[tuple[type[TimedEvent], ...], list[Happening]]:
        """What has been selected so far. A run asks in every slot, and there may be 100 000 occurrences."""
        return {}

    def slot_of(self, time_ns: int) -> int:
        """Return the first slot that begins at a time or after it."""
        return -(-time_ns // self.slot_ns)

    def down(self, names: Sequence[str], first_slot: int, num_slot: int) -> Mask | None:
        """Return which nodes are down at slot starts, [B, M]; None if none ever is."""
        changes = self.select(NodeDown, NodeUp)
        if not changes:
            return None
        down = np.zeros((num_slot, len(names)), dtype=np.bool_)
        column = {name: index for index, name in enumerate(names)}
        for row, event in self._until(changes, first_slot, num_slot, lambda event: event.node):
            down[row:, column[event.node]] = isinstance(event, NodeDown)
        return down

    def away(self, num_vehicle: int, first_slot: int, num_slot: int) -> Mask | None:
        """Return which vehicles are not in the scene, [B, N]; None if nobody ever leaves or enters."""
        changes = self.select(VehicleLeaves, VehicleEnters)
        if not changes:
            return None
        away = np.zeros((num_slot, num_vehicle), dtype=np.bool_)
        away[:, self._entering_first] = True
        for row, event in self._until(changes, first_slot, num_slot, lambda event: event.vehicle):
            away[row:, event.vehicle] = isinstance(event, VehicleLeaves)
        return away

    @cached_property
    def _entering_first(self) -> list[int]:
        """Vehicles that enter before they leave, or enter only: they are absent at first."""
        first: dict[int, Any] = {}
        for _, event in self.select(VehicleLeaves, VehicleEnters):
            first.setdefault(event.vehicle, event)
        return [vehicle for vehicle, event in first.items() if isinstance(event, VehicleEnters)]

    def _until(
        self, changes: list[Happening], first_slot: int, num_slot: int, whose: Callable[[Any], Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield events with the rows of a block from which on they hold; of earlier ones, the last of each object."""
        begin = bisect_right(changes, first_slot, key=lambda change: self.slot_of(change.time_ns))
        end = bisect_left(changes, first_slot + num_slot, key=lambda change: self.slot_of(change.time_ns))
        before = {whose(event): event for _, event in changes[:begin]}
        yield from ((0, event) for event in before.values())
        yield from ((self.slot_of(time_ns) - first_slot, event) for time_ns, event in changes[begin:end])

    def size_factor(self, task_names: Sequence[str], first_slot: int, num_slot: int) -> Floats | None:
        """Return by how much tasks are larger than usual, [B, K]; None without bursts."""
        bursts = self.select(TaskBurst)
        if not bursts:
            return None
        factor = np.ones((num_slot, len(task_names)))
        longest_ns = self._longest_burst_ns
        begin = bisect_left(bursts, first_slot * self.slot_ns - longest_ns, key=lambda burst: burst.time_ns)
        end = bisect_right(bursts, (first_slot + num_slot) * self.slot_ns, key=lambda burst: burst.time_ns)
        for time_ns, event in bursts[begin:end]:
            first = self.slot_of(time_ns) - first_slot
            last = self.slot_of(time_ns + to_ns(event.duration_s)) - first_slot
            columns = slice(None) if event.task is None else task_names.index(event.task)
            factor[max(first, 0) : max(last, 0), columns] *= event.size_factor
        return factor

    @cached_property
    def _longest_burst_ns(self) -> int:
        return max(to_ns(event.duration_s) for _, event in self.select(TaskBurst))

    def bias_jump_hz(self, slot: int) -> float:
        """Return by how much the bias of the edge frequencies has jumped up to a slot, Hz."""
        if not self.happenings:
            return 0.0
        jumps = self.select(BiasJump)
        num = bisect_right(jumps, slot, key=lambda jump: self.slot_of(jump.time_ns))
        return self._jumped_hz[num]

    @cached_property
    def _jumped_hz(self) -> list[float]:
        """By how much the bias has jumped after each number of jumps, Hz."""
        return list(accumulate((float(event.cpu_frequency_hz) for _, event in self.select(BiasJump)), initial=0.0))

    def link_changes(self, slot: int) -> list[LinkChange]:
        """Return one change for each link that has changed up to a slot: all its changes put together."""
        num = bisect_right(self.select(LinkChange), slot, key=lambda change: self.slot_of(change.time_ns))
        return list(self._changed_links[num].values())

    @cached_property
    def _changed_links(self) -> list[dict[str, LinkChange]]:
        """The links that have changed, after each number of changes."""
        found: list[dict[str, LinkChange]] = [{}]
        for _, change in self.select(LinkChange):
            before = found[-1].get(change.link)
            told = {key: value for key, value in change if value is not None}
            merged = change if before is None else before.model_copy(update=told)
            found.append({**found[-1], change.link: merged})
        return found

    def next_link_change(self, slot: int) -> int | None:
        """Return the first slot after `slot` from which on a link is different."""
        changes = self.select(LinkChange)
        num = bisect_right(changes, slot, key=lambda change: self.slot_of(change.time_ns))
        return self.slot_of(changes[num].time_ns) if num < len(changes) else None


def _occurrences(event: TimedEvent, end_ns: int) -> Iterator[Happening]:
    period_ns = None if event.every_s is None else max(to_ns(event.every_s), 1)
    last_ns = end_ns - 1 if event.until_s is None else min(to_ns(event.until_s), end_ns - 1)
    time_ns = to_ns(event.at_s)
    while time_ns <= last_ns:
        yield Happening(time_ns, event)
        if period_ns is None:
            return
        time_ns += period_ns
