"""All vehicles as one: their state, the tasks that wait for a command, and the commands on their way.

This is the small interface between the processes (vehicles, base station, world) and the columns of the data plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.pipeline import DataPlane
from physical.columns.radio import DecidedRadios, Settings
from physical.columns.tasks import Outcome, TaskRows
from physical.model.arrays import every, some
from physical.ticks import NEVER, NO_ROWS

NO_NODE, AWAY = -1, -2
"""Serving nodes of vehicles out of range, and of those that are not in the scene."""
MissingCommand = Literal["previous", "local", "wait"]


class VehicleStates(NamedTuple):
    """True states of vehicles at the start of a slot; arrays [N] unless noted, read-only.

    cpu_backlog_cycles : local work that waits or runs, cycles
    uplink_backlog_bytes : what waits to be sent or is being sent, bytes
    """

    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: Ints
    large_scale_gain: Floats
    channel_gain: Floats
    uplink_rate_bps: Floats
    size_bytes: Floats  # [N, K]
    cpu_backlog_cycles: Floats
    uplink_backlog_bytes: Floats


@dataclass
class CommandCohort:
    """The commands of one decision on their way to all vehicles.

    arrive : [N] or one for all, ticks; NEVER for a lost one
    settings : what the vehicles are told
    serving_node : [N], the nodes on whose bandwidth the settings rest
    """

    slot: int
    arrive: Ints | int
    settings: Settings
    serving_node: Ints

    def __post_init__(self) -> None:
        """Note the first and the last arrival, and the last one that is not lost."""
        if isinstance(self.arrive, int):
            self.first = self.last = self.arrive
        else:
            self.first, self.last = int(self.arrive.min()), int(self.arrive.max())
        self.last_heard = self.last
        if self.last >= NEVER:
            self.last_heard = int(np.max(self.arrive, initial=-1, where=np.asarray(self.arrive) < NEVER))

    def arrivals(self, num_vehicle: int) -> Ints:
        """Return when each vehicle gets its command, [N], ticks."""
        return np.full(num_vehicle, self.arrive) if isinstance(self.arrive, int) else self.arrive


class Fleet:
    """The vehicles' second plane.

    Parameters
    ----------
    plane : task columns
    missing_command : what a vehicle does when its patience ends: the previous command, everything local, or wait on
    patience : ticks that a vehicle waits for the command of a slot
    """

    def __init__(self, plane: DataPlane, missing_command: MissingCommand, patience: int) -> None:
        shape = (plane.system.num_vehicle, plane.system.num_class)
        self.plane = plane
        self.states: VehicleStates
        self._missing_command = missing_command
        self._patience = patience
        self._away: Ints = NO_ROWS
        self._lost: Ints = NO_ROWS
        self._lost_by: Ints = NO_ROWS
        self._held: list[_HeldSlot] = []
        self._cohorts: list[CommandCohort] = []
        self._settings: Settings = {"offloading_ratio": np.zeros(shape)}
        self._radios = plane.decided_radios
        if self._radios is not None:
            self._settings["local_frequency_hz"] = plane.system.cpu_hz.copy()
            self._settings["transmit_power_w"] = plane.system.transmit_power_w.copy()
            self._settings["bandwidth_hz"] = np.zeros(shape[0])
        self._command_slot = np.full(shape[0], -1)
        self._shape = shape
        self._next_row = 0

    def begin_slot(self, slot: int, now: int, states: VehicleStates) -> None:
        """Move to the states of `slot` at ticks `now`; its tasks, the next rows of the plane, are held from now on."""
        if slot == 0:
            self._away = np.flatnonzero(states.serving_node == AWAY)
        elif some(states.serving_node != self.states.serving_node):
            self._let_go(now, states.serving_node)
        elif self._lost.size:
            self._lost = self._lost_by = NO_ROWS
        self.states = states
        self.plane.begin_slot(now, states.uplink_rate_bps, states.channel_gain, states.serving_node)
        self._held.append(_HeldSlot(slot, now + self._patience, self._next_row, self._shape))
        self._next_row += self._shape[0] * self._shape[1]
        if self._away.size:
            self.plane.columns.done[self._held[-1].take(self._away)] = now

    def _let_go(self, now: int, serving_node: Ints) -> None:
        """Drop everything of the vehicles that leave the scene, and remember who has lost its node."""
        before = self.states.serving_node
        self._lost = np.flatnonzero((before >= 0) & (serving_node < 0))
        self._lost_by = before[self._lost]
        away = serving_node == AWAY
        self._away = np.flatnonzero(away)
        left = away & (before != AWAY)
        if some(left):
            for held in self._held:
                held.take(np.flatnonzero(left & held.waiting))
            self._held = [held for held in self._held if some(held.waiting)]
            self.plane.drop_all(now, left, Outcome.DROPPED_LEFT, self._next_row)

    def known_to(self, node: int, *, has_heard: bool) -> Ints | None:
        """Return the vehicles of which a serving node can tell in this slot, ascending; None: all.

        has_heard : the vehicles that are attached to the node have reported to it

        Even if they have not, the node tells of the vehicles that it has lost with the start of this slot.
        """
        lost = self._lost[self._lost_by == node] if self._lost.size else self._lost
        if not has_heard:
            return lost
        here = self.states.serving_node == node
        if every(here):
            return None
        attached = np.flatnonzero(here)
        return np.sort(np.concatenate([attached, lost])) if lost.size else attached

    def command(self, cohort: CommandCohort) -> None:
        """Send commands on their way; they take effect when they arrive."""
        self._cohorts.append(cohort)

    def advance(self, now: int) -> None:
        """Bring commands, impatience and tasks up to `now` (ticks).

        Commands and impatience of `now` itself come after whatever calls this at `now` (see `Phase`): they wait for the
        next call.
        """
        if self._missing_command != "wait":
            for held in [held for held in self._held if held.patience_ends < now]:
                self._obey(held.patience_ends)
                if some(held.waiting):
                    self._lose_patience(held)
        self._obey(now - 1)
        self.plane.advance(now)

    def _obey(self, now: int) -> None:
        """Apply the commands that arrive by `now`: at each vehicle in the order of their arrival."""
        arriving = [cohort for cohort in self._cohorts if cohort.first <= now]
        if not arriving:
            return
        if len(self._cohorts) == 1 and len(self._held) == 1 and self._obey_at_once(now):
            return
        arrivals = [cohort.arrivals(self._shape[0]) for cohort in arriving]
        if self._radios is not None:
            self._follow_in_order(self._radios, arriving, arrivals, now)
        elif len(arriving) == 1:
            told = (arrivals[0] <= now) & (arriving[0].slot > self._command_slot)
            if some(told):
                self._follow(arriving[0], told, arrivals[0])
        else:
            self._follow_each(arriving, arrivals, now)
        # Some vehicles may still hold a slot, and some commands have not reached everybody.
        self._held = [held for held in self._held if some(held.waiting)]
        self._cohorts = [cohort for cohort in self._cohorts if cohort.last_heard > now]

    def _follow_each(self, cohorts: list[CommandCohort], arrivals: list[Ints], now: int) -> None:
        """Let commands reach each vehicle in the order of their arrivals there; those of `now` are the last."""
        coming = np.array(arrivals)
        coming[coming > now] = NEVER
        everyone = np.arange(self._shape[0])
        for _ in cohorts:
            next_one = coming.argmin(axis=0)
            at = coming[next_one, everyone]
            coming[next_one, everyone] = NEVER
            for index, cohort in enumerate(cohorts):
                told = (next_one == index) & (at < NEVER) & (cohort.slot > self._command_slot)
                if some(told):
                    self._follow(cohort, told, at)

    def _follow_in_order(
        self, radios: DecidedRadios, cohorts: list[CommandCohort], arrivals: list[Ints], now: int
    ) -> None:
        """Let commands arrive by `now`, one instant after the other: they divide what nodes have."""
        coming = np.array(arrivals)
        for at in np.unique(coming[coming <= now]).tolist():
            told = []
            for cohort, arrive in zip(cohorts, coming, strict=True):
                told.append((cohort, (arrive == at) & (cohort.slot > self._command_slot)))
            if not any(some(vehicles) for _, vehicles in told):
                continue  # commands of before that stay known until they have reached everybody
            # First the radio: uploads of the tasks that this command starts may end before the next one comes.
            self._retune(radios, at, told)
            for cohort, vehicles in told:
                self._follow(cohort, vehicles & (cohort.slot > self._command_slot), np.full(self._shape[0], at))

    def _follow(self, cohort: CommandCohort, told: Mask, at: Ints) -> None:
        """Let the vehicles in the mask `told`, [N], follow a newer command, each from its time `at` on."""
        for held in self._held:
            if held.slot <= cohort.slot:
                self._release(held, told, at, cohort.settings)
        _take_over(self._settings, cohort.settings, told)
        self._command_slot[told] = cohort.slot

    def _retune(self, radios: DecidedRadios, at: int, told: list[tuple[CommandCohort, Mask]]) -> None:
        """Change the radios of the vehicles that are told at one instant; of two commands the newer one counts."""
        power_w, bandwidth_hz = radios.granted
        for cohort, vehicles in sorted(told, key=lambda entry: entry[0].slot):
            # A share of another node's spectrum is of no use.
            attached = cohort.serving_node == self.states.serving_node
            share_hz = np.where(attached, cohort.settings["bandwidth_hz"], 0.0)
            bandwidth_hz = np.where(vehicles, share_hz, bandwidth_hz)
            power_w = np.where(vehicles, cohort.settings["transmit_power_w"], power_w)
        self.plane.set_radio(at, power_w, bandwidth_hz)

    def _obey_at_once(self, now: int) -> bool:
        """Handle the common case, and tell whether it is: one slot is held by all, and its command has reached all."""
        held, cohort = self._held[0], self._cohorts[0]
        rows = held.slice_of_all()
        if cohort.last > now or cohort.slot < held.slot or rows is None:
            return False
        if self._radios is not None:
            if not isinstance(cohort.arrive, int):
                return False
            self._retune(self._radios, cohort.arrive, [(cohort, np.ones(self._shape[0], dtype=np.bool_))])
        start = cohort.arrive if isinstance(cohort.arrive, int) else np.repeat(cohort.arrive, self._shape[1])
        self.plane.start(rows, start, self._per_task(cohort.settings))
        self._settings = {name: values.copy() for name, values in cohort.settings.items()}
        self._command_slot[:] = cohort.slot
        held.waiting[:] = False
        self._held.clear()
        self._cohorts.clear()
        return True

    def _lose_patience(self, held: _HeldSlot) -> None:
        settings = self._settings
        if self._missing_command == "local":
            settings = settings | {"offloading_ratio": np.zeros(self._shape)}
            if "local_frequency_hz" in settings:
                settings["local_frequency_hz"] = self.plane.system.cpu_hz
        at = np.full(self._command_slot.shape, held.patience_ends)
        self._release(held, held.waiting, at, settings)
        self._held = [other for other in self._held if other is not held]

    def _release(self, held: _HeldSlot, released: Mask, at: Ints, settings: Settings) -> None:
        vehicle = np.flatnonzero(released & held.waiting)
        if vehicle.size:
            start = np.repeat(at[vehicle], self._shape[1])
            chosen = {name: values[vehicle] for name, values in settings.items()}
            self.plane.start(held.take(vehicle), start, self._per_task(chosen))

    def _per_task(self, settings: Settings) -> Settings:
        """Repeat what holds for a vehicle for each of its tasks."""
        return {
            name: values.reshape(-1) if values.ndim > 1 else np.repeat(values, self._shape[1])
            for name, values in settings.items()
        }

    def take_finished(self, now: int) -> TaskRows:
        """Hand out the tasks that have ended by `now` (ticks)."""
        rows, renumbered = self.plane.take_finished(now)
        for held in self._held:
            held.renumber(renumbered)
        self._next_row = self.plane.columns.num_row - (len(renumbered) - 1 - self._next_row)
        return rows

    def take_unfinished(self, now: int) -> TaskRows:
        """Hand out what is in flight or held at the end `now` of a run, to which the plane has been settled."""
        return self.plane.take_unfinished(self._next_row, now)


class _HeldSlot:
    """Tasks of one slot that wait for a command at the vehicles in `waiting`, [N]."""

    def __init__(self, slot: int, patience_ends: int, first_row: int, shape: tuple[int, int]) -> None:
        self.slot = slot
        self.patience_ends = patience_ends
        self.waiting = np.ones(shape[0], dtype=np.bool_)
        self._shape = shape
        self._first_row = first_row
        # While all vehicles wait, their rows are one slice; the index is made when the first one goes.
        self._rows: Ints | None = None

    def slice_of_all(self) -> slice | None:
        """Return the rows if all vehicles wait."""
        if self._rows is not None:
            return None
        return slice(self._first_row, self._first_row + self._shape[0] * self._shape[1])

    def take(self, vehicle: Ints) -> Ints:
        """Return the rows of some vehicles, in order, which wait no longer."""
        if self._rows is None:
            self._rows = self._first_row + np.arange(self._shape[0] * self._shape[1]).reshape(self._shape)
        self.waiting[vehicle] = False
        return self._rows[vehicle].reshape(-1)

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        if self._rows is None:
            self._first_row = int(renumbered[self._first_row])
        else:
            self._rows = renumbered[self._rows]


def _take_over(settings: Settings, newer: Settings, vehicles: Mask) -> None:
    """Overwrite the settings of some vehicles, a mask [N]."""
    for name, values in settings.items():
        values[vehicles] = newer[name][vehicles]
