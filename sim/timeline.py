"""Timed events of a scenario: outages, changes of links and bias, bursts, vehicles that come and go, policy swaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physical.delay import Delay
from physical.params import Params
from physical.plane.ticks import to_ns
from physical.quantity import BiasHertz, Factor, Period, Probability, Seconds, VehicleIndex

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class TimedEvent(Params):
    """What all events have: a time, and with `every_s` further ones, up to `until_s` or the end of the run."""

    at_s: Seconds
    every_s: Period | None = None
    until_s: Period | None = None

    @model_validator(mode="after")
    def _check(self) -> TimedEvent:
        if self.until_s is not None and self.every_s is None:
            raise ValueError("until_s needs every_s; a period")
        return self


class NodeDown(TimedEvent):
    """A serving node fails, at this very moment; its vehicles look for another one at the next slot start."""

    kind: Literal["node-down"] = "node-down"
    node: str


class NodeUp(TimedEvent):
    """A serving node is back; vehicles may attach to it from the next slot start on."""

    kind: Literal["node-up"] = "node-up"
    node: str


class LinkChange(TimedEvent):
    """A link behaves differently from the next slot start on; what is not given stays."""

    kind: Literal["link"] = "link"
    link: Literal["access", "backhaul", "lan"]
    latency_s: Delay | None = None
    jitter_s: Seconds | None = None
    loss: Probability | None = None


class BiasJump(TimedEvent):
    """The estimation bias of the edge frequencies is larger by this from the next slot start on."""

    kind: Literal["bias"] = "bias"
    cpu_frequency_hz: BiasHertz


class TaskBurst(TimedEvent):
    """Tasks are `size_factor` as large for a while, those of one class or of all."""

    kind: Literal["burst"] = "burst"
    size_factor: Factor
    duration_s: Period
    task: str | None = None


class VehicleLeaves(TimedEvent):
    """A vehicle leaves the scene at the next slot start; its unfinished tasks are dropped."""

    kind: Literal["vehicle-leaves"] = "vehicle-leaves"
    vehicle: VehicleIndex


class VehicleEnters(TimedEvent):
    """A vehicle enters the scene at the next slot start; one that has not left was never there before."""

    kind: Literal["vehicle-enters"] = "vehicle-enters"
    vehicle: VehicleIndex


class PolicySwap(TimedEvent):
    """Another policy takes the decisions from this time on."""

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
        return [happening for happening in self.happenings if isinstance(happening.event, kinds)]

    def slot_of(self, time_ns: int) -> int:
        """Return the first slot that begins at a time or after it."""
        return -(-time_ns // self.slot_ns)

    def down(self, names: Sequence[str], first_slot: int, num_slot: int) -> Mask | None:
        """Return which nodes are down at slot starts, [B, M]; None if none ever is."""
        changes = self.select(NodeDown, NodeUp)
        if not changes:
            return None
        down = np.zeros((num_slot, len(names)), dtype=np.bool_)
        for time_ns, event in changes:
            row = max(self.slot_of(time_ns) - first_slot, 0)
            down[row:, names.index(event.node)] = isinstance(event, NodeDown)
        return down

    def away(self, num_vehicle: int, first_slot: int, num_slot: int) -> Mask | None:
        """Return which vehicles are not in the scene, [B, N]; None if nobody ever leaves or enters."""
        changes = self.select(VehicleLeaves, VehicleEnters)
        if not changes:
            return None
        away = np.zeros((num_slot, num_vehicle), dtype=np.bool_)
        seen: set[int] = set()
        for time_ns, event in changes:
            if event.vehicle not in seen:
                away[:, event.vehicle] = isinstance(event, VehicleEnters)
                seen.add(event.vehicle)
            row = max(self.slot_of(time_ns) - first_slot, 0)
            away[row:, event.vehicle] = isinstance(event, VehicleLeaves)
        return away

    def size_factor(self, task_names: Sequence[str], first_slot: int, num_slot: int) -> Floats | None:
        """Return by how much tasks are larger than usual, [B, K]; None without bursts."""
        bursts = self.select(TaskBurst)
        if not bursts:
            return None
        factor = np.ones((num_slot, len(task_names)))
        for time_ns, event in bursts:
            first = self.slot_of(time_ns) - first_slot
            last = self.slot_of(time_ns + to_ns(event.duration_s)) - first_slot
            columns = slice(None) if event.task is None else task_names.index(event.task)
            factor[max(first, 0) : max(last, 0), columns] *= event.size_factor
        return factor

    def bias_jump_hz(self, slot: int) -> float:
        """Return by how much the bias of the edge frequencies has jumped up to a slot, Hz."""
        if not self.happenings:
            return 0.0
        jumps = self.select(BiasJump)
        return float(sum(event.cpu_frequency_hz for time_ns, event in jumps if self.slot_of(time_ns) <= slot))

    def link_changes(self, slot: int) -> list[LinkChange]:
        """Return the changes of links up to a slot, in order."""
        return [event for time_ns, event in self.select(LinkChange) if self.slot_of(time_ns) <= slot]

    def next_link_change(self, slot: int) -> int | None:
        """Return the first slot after `slot` from which on a link is different."""
        later = [self.slot_of(time_ns) for time_ns, _ in self.select(LinkChange)]
        return min((found for found in later if found > slot), default=None)


def _occurrences(event: TimedEvent, end_ns: int) -> Iterator[Happening]:
    period_ns = None if event.every_s is None else max(to_ns(event.every_s), 1)
    last_ns = end_ns - 1 if event.until_s is None else min(to_ns(event.until_s), end_ns - 1)
    time_ns = to_ns(event.at_s)
    while time_ns <= last_ns:
        yield Happening(time_ns, event)
        if period_ns is None:
            return
        time_ns += period_ns
