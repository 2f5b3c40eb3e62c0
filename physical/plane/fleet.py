"""All vehicles as one: their state, the tasks that wait for a command, and the commands on their way.

This is the small interface between the processes (vehicles, base station, world) and the columns of the data plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.plane.plane import DataPlane
from physical.plane.radio import Settings
from physical.plane.ticks import NEVER, Floats, Ints

MissingCommand = Literal["previous", "local", "wait"]


class VehicleStates(NamedTuple):
    """True states of vehicles at the start of a slot; arrays [N] unless noted, read-only."""

    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: Ints
    large_scale_gain: Floats
    channel_gain: Floats
    uplink_rate_bps: Floats
    size_bytes: Floats  # [N, K]


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
        """Note the first and the last arrival."""
        if isinstance(self.arrive, int):
            self.first = self.last = self.arrive
        else:
            self.first, self.last = int(self.arrive.min()), int(self.arrive.max())


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
        self._reporting: list[int] = []
        self.report = self._reporting.append
        """Let a vehicle's state be part of the reports of this instant; takes the vehicle's index."""
        self._missing_command = missing_command
        self._patience = patience
        self._held: list[_HeldSlot] = []
        self._cohorts: list[CommandCohort] = []
        self._settings: Settings = {"offloading_ratio": np.zeros(shape)}
        if plane.system.joint:
            self._settings["local_frequency_hz"] = plane.system.cpu_hz.copy()
            self._settings["transmit_power_w"] = plane.system.transmit_power_w.copy()
            self._settings["bandwidth_hz"] = np.zeros(shape[0])
        self._command_slot = np.full(shape[0], -1)
        self._shape = shape
        self._next_row = 0

    def begin_slot(self, slot: int, now: int, states: VehicleStates) -> None:
        """Move to the states of `slot` at ticks `now`; its tasks, the next rows of the plane, are held from now on."""
        self.states = states
        self.plane.begin_slot(now, states.uplink_rate_bps, states.channel_gain, states.serving_node)
        self._held.append(_HeldSlot(slot, now + self._patience, self._next_row, self._shape))
        self._next_row += self._shape[0] * self._shape[1]

    def take_reporting(self, node: int) -> list[int]:
        """Return the vehicles that have reported to a serving node since the last call, in order."""
        reporting, self._reporting[:] = self._reporting.copy(), []
        if self.plane.system.num_node == 1:
            return reporting
        serving_node = self.states.serving_node
        self._reporting[:] = [index for index in reporting if serving_node[index] != node]
        return [index for index in reporting if serving_node[index] == node]

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
                if held.waiting.any():
                    self._lose_patience(held)
        self._obey(now - 1)
        self.plane.advance(now)

    def _obey(self, now: int) -> None:
        """Apply the commands that arrive by `now`."""
        if all(cohort.first > now for cohort in self._cohorts):
            return
        if len(self._cohorts) == 1 and len(self._held) == 1 and self._obey_at_once(now):
            return
        arrivals = [np.broadcast_to(np.asarray(cohort.arrive), self._command_slot.shape) for cohort in self._cohorts]
        arrived = [arrive <= now for arrive in arrivals]
        if self.plane.system.joint:
            self._retune(arrivals, now)
        for held in self._held:
            first = np.full(self._command_slot.shape, NEVER)
            settings = {name: values.copy() for name, values in self._settings.items()}
            for cohort, arrive, has_arrived in zip(self._cohorts, arrivals, arrived, strict=True):
                earlier = has_arrived & (arrive < first) & held.waiting
                if cohort.slot >= held.slot and earlier.any():
                    first[earlier] = arrive[earlier]
                    _take_over(settings, cohort.settings, earlier)
            self._release(held, first <= now, first, settings)
        for cohort, has_arrived in zip(self._cohorts, arrived, strict=True):
            newer = has_arrived & (cohort.slot > self._command_slot)
            _take_over(self._settings, cohort.settings, newer)
            self._command_slot[newer] = cohort.slot
        self._held = [held for held in self._held if held.waiting.any()]
        still = [bool((~has & (at < NEVER)).any()) for has, at in zip(arrived, arrivals, strict=True)]
        self._cohorts = [cohort for cohort, pending in zip(self._cohorts, still, strict=True) if pending]

    def _retune(self, arrivals: list[Ints], now: int) -> None:
        """Let every vehicle follow the power and bandwidth of each newer command from its arrival on."""
        everyone = np.arange(self._shape[0])
        coming = np.where(np.stack(arrivals) <= now, np.stack(arrivals), NEVER)
        slots = np.array([cohort.slot for cohort in self._cohorts])
        obeyed = self._command_slot.copy()
        for _ in self._cohorts:
            next_one = coming.argmin(axis=0)
            at = coming[next_one, everyone]
            newer = (at < NEVER) & (slots[next_one] > obeyed)
            for index, cohort in enumerate(self._cohorts):
                told = newer & (next_one == index)
                if told.any():
                    # A share of another node's spectrum is of no use.
                    attached = cohort.serving_node == self.states.serving_node
                    bandwidth_hz = np.where(attached, cohort.settings["bandwidth_hz"], 0.0)
                    self.plane.set_radio(told, at, cohort.settings["transmit_power_w"], bandwidth_hz)
            obeyed[newer] = slots[next_one][newer]
            coming[next_one, everyone] = NEVER

    def _obey_at_once(self, now: int) -> bool:
        """Handle the common case, and tell whether it is: one slot is held by all, and its command has reached all."""
        held, cohort = self._held[0], self._cohorts[0]
        rows = held.slice_of_all()
        if cohort.last > now or cohort.slot < held.slot or rows is None:
            return False
        if self.plane.system.joint:
            self._retune([np.broadcast_to(np.asarray(cohort.arrive), self._command_slot.shape)], now)
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
            if self.plane.system.joint:
                settings["local_frequency_hz"] = self.plane.system.cpu_hz
        at = np.full(self._command_slot.shape, held.patience_ends)
        self._release(held, held.waiting, at, settings)
        self._held = [other for other in self._held if other is not held]

    def _release(self, held: _HeldSlot, released: NDArray[np.bool_], at: Ints, settings: Settings) -> None:
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

    def take_finished(self, now: int) -> dict[str, NDArray[np.generic]]:
        """Hand out the tasks that have ended by `now` (ticks)."""
        rows, renumbered = self.plane.take_finished(now)
        for held in self._held:
            held.renumber(renumbered)
        self._next_row = self.plane.columns.num_row - (len(renumbered) - 1 - self._next_row)
        return rows

    def take_unfinished(self) -> dict[str, NDArray[np.generic]]:
        """Hand out what is in flight or held at the end of a run, to which the plane has been advanced and settled."""
        return self.plane.take_unfinished(self._next_row)


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
        """Return the rows of some vehicles, which wait no longer."""
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


def _take_over(settings: Settings, newer: Settings, vehicles: NDArray[np.bool_]) -> None:
    """Overwrite the settings of some vehicles, a mask [N]."""
    for name, values in settings.items():
        values[vehicles] = newer[name][vehicles]
