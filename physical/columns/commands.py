"""Commands on their way to vehicles, and the tasks that wait for them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.pipeline import DataPlane
from physical.columns.radio import DecidedRadios
from physical.model.arrays import some
from physical.params_base import MissingCommand
from physical.ticks import NEVER


class HardwareSettings(NamedTuple):
    """How vehicles are to use their hardware, where policies decide that, too; [N] each."""

    local_frequency_hz: Floats
    transmit_power_w: Floats
    bandwidth_hz: Floats


class Settings(NamedTuple):
    """What a command tells vehicles: ratios, [N, K], and how to use their hardware, or None where that is fixed."""

    offloading_ratio: Floats
    hardware: HardwareSettings | None = None

    def copy(self) -> Settings:
        """Return the same numbers in arrays of their own."""
        hardware = None if self.hardware is None else HardwareSettings(*(values.copy() for values in self.hardware))
        return Settings(self.offloading_ratio.copy(), hardware)

    def take_over(self, newer: Settings, vehicles: Mask) -> None:
        """Overwrite the settings of some vehicles, a mask [N]."""
        self.offloading_ratio[vehicles] = newer.offloading_ratio[vehicles]
        if self.hardware is not None and newer.hardware is not None:
            for values, others in zip(self.hardware, newer.hardware, strict=True):
                values[vehicles] = others[vehicles]


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


class HeldTasks:
    """Tasks that vehicles hold until a command comes, or until their patience ends.

    Parameters
    ----------
    plane : starts the tasks
    missing_command : what a vehicle does when its patience ends
    patience : ticks that a vehicle waits for the command of a slot
    """

    def __init__(self, plane: DataPlane, missing_command: MissingCommand, patience: int) -> None:
        count, num_class = plane.system.num_vehicle, plane.system.num_class
        self._plane = plane
        self._missing_command = missing_command
        self._patience = patience
        self._shape = (count, num_class)
        self._held: list[_HeldSlot] = []
        self._cohorts: list[CommandCohort] = []
        self._radios = plane.decided_radios
        own = plane.system.cpu_hz.copy(), plane.system.transmit_power_w.copy(), np.zeros(count)
        hardware = None if self._radios is None else HardwareSettings(*own)
        self._settings = Settings(np.zeros(self._shape), hardware)
        self._command_slot = np.full(count, -1)

    def hold(self, slot: int, now: int, first_row: int) -> None:
        """Hold the tasks of a slot that begins at `now`, whose rows begin with `first_row`."""
        self._held.append(_HeldSlot(slot, now + self._patience, first_row, self._shape))

    def take_newest(self, vehicle: Ints) -> Ints:
        """Return the rows of some vehicles in the slot that was held last; they wait no longer."""
        return self._held[-1].take(vehicle)

    def let_go(self, vehicles: Mask) -> None:
        """Forget the tasks of some vehicles, a mask [N]."""
        for held in self._held:
            held.take(np.flatnonzero(vehicles & held.waiting))
        self._held = [held for held in self._held if some(held.waiting)]

    def command(self, cohort: CommandCohort) -> None:
        """Send commands on their way; they take effect when they arrive."""
        self._cohorts.append(cohort)

    def advance(self, now: int) -> None:
        """Start the tasks whose command comes, or whose vehicles lose patience, before `now`."""
        if self._missing_command != "wait":
            for held in [held for held in self._held if held.patience_ends < now]:
                self._obey(held.patience_ends)
                if some(held.waiting):
                    self._lose_patience(held)
        self._obey(now - 1)

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
        self._settings.take_over(cohort.settings, told)
        self._command_slot[told] = cohort.slot

    def _retune(self, radios: DecidedRadios, at: int, told: list[tuple[CommandCohort, Mask]]) -> None:
        """Change the radios of the vehicles that are told at one instant; of two commands the newer one counts."""
        power_w, bandwidth_hz = radios.granted
        for cohort, vehicles in sorted(told, key=lambda entry: entry[0].slot):
            hardware = cohort.settings.hardware
            assert hardware is not None  # radios that are decided are part of every command
            # A share of the spectrum of another node, or of one that has failed since, is of no use.
            attached = cohort.serving_node == self._plane.serving_node
            share_hz = np.where(attached, hardware.bandwidth_hz, 0.0)
            bandwidth_hz = np.where(vehicles, share_hz, bandwidth_hz)
            power_w = np.where(vehicles, hardware.transmit_power_w, power_w)
        self._plane.set_radio(at, power_w, bandwidth_hz)

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
        ratio, hardware = cohort.settings
        cpu_hz = None if hardware is None else np.repeat(hardware.local_frequency_hz, self._shape[1])
        self._plane.start(rows, start, ratio.reshape(-1), cpu_hz)
        self._settings = cohort.settings.copy()
        self._command_slot[:] = cohort.slot
        held.waiting[:] = False
        self._held.clear()
        self._cohorts.clear()
        return True

    def _lose_patience(self, held: _HeldSlot) -> None:
        settings = self._settings
        if self._missing_command == "local":
            hardware = settings.hardware
            if hardware is not None:
                hardware = hardware._replace(local_frequency_hz=self._plane.system.cpu_hz)
            settings = Settings(np.zeros(self._shape), hardware)
        at = np.full(self._command_slot.shape, held.patience_ends)
        self._release(held, held.waiting, at, settings)
        self._held = [other for other in self._held if other is not held]

    def _release(self, held: _HeldSlot, released: Mask, at: Ints, settings: Settings) -> None:
        vehicle = np.flatnonzero(released & held.waiting)
        if vehicle.size:
            num_class = self._shape[1]
            ratio, hardware = settings
            cpu_hz = None if hardware is None else np.repeat(hardware.local_frequency_hz[vehicle], num_class)
            start = np.repeat(at[vehicle], num_class)
            self._plane.start(held.take(vehicle), start, ratio[vehicle].reshape(-1), cpu_hz)

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        for held in self._held:
            held.renumber(renumbered)


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
