"""All vehicles as one: their state, the tasks that wait for a command, and the commands on their way.

This is the small interface between the processes (vehicles, base station, world) and the columns of the data plane.
"""

from __future__ import annotations

import numpy as np

from physical.arrays import Ints
from physical.columns.commands import CommandCohort, HeldTasks
from physical.columns.pipeline import DataPlane
from physical.model.arrays import every, some
from physical.params_base import MissingCommand
from physical.states import AWAY, VehicleStates
from physical.task_rows import Outcome, TaskRows
from physical.ticks import NO_ROWS


class Fleet:
    """The vehicles' second plane.

    Parameters
    ----------
    plane : task columns
    missing_command : what a vehicle does when its patience ends: the previous command, everything local, or wait on
    patience : ticks that a vehicle waits for the command of a slot
    """

    def __init__(self, plane: DataPlane, missing_command: MissingCommand, patience: int) -> None:
        self.plane = plane
        self.states: VehicleStates
        self._held = HeldTasks(plane, missing_command, patience)
        self._away: Ints = NO_ROWS
        self._lost: Ints = NO_ROWS
        self._lost_by: Ints = NO_ROWS
        self._rows_per_slot = plane.system.num_vehicle * plane.system.num_class
        self._next_row = 0

    def begin_slot(self, slot: int, now: int, states: VehicleStates) -> None:
        """Move to the states of `slot` at ticks `now`; its tasks, the next rows of the plane, are held from now on."""
        serving_node = states.serving_node
        if slot == 0:
            self._away = np.flatnonzero(serving_node == AWAY)
        elif some(serving_node != self.states.serving_node):
            self._let_go(now, serving_node)
        elif self._lost.size:
            self._lost = self._lost_by = NO_ROWS
        self.states = states
        self.plane.begin_slot(now, states.uplink_rate_bps, states.channel_gain, serving_node)
        self._held.hold(slot, now, self._next_row)
        self._next_row += self._rows_per_slot
        if self._away.size:
            self.plane.columns.done[self._held.take_newest(self._away)] = now

    def _let_go(self, now: int, serving_node: Ints) -> None:
        """Drop everything of the vehicles that leave the scene, and remember who has lost its node."""
        before = self.states.serving_node
        self._lost = np.flatnonzero((before >= 0) & (serving_node < 0))
        self._lost_by = before[self._lost]
        away = serving_node == AWAY
        self._away = np.flatnonzero(away)
        left = away & (before != AWAY)
        if some(left):
            self._held.let_go(left)
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
        self._held.command(cohort)

    def advance(self, now: int) -> None:
        """Bring commands, impatience and tasks up to `now` (ticks).

        Commands and impatience of `now` itself come after whatever calls this at `now` (see `Phase`): they wait for the
        next call.
        """
        self._held.advance(now)
        self.plane.advance(now)

    def take_finished(self, now: int) -> TaskRows:
        """Hand out the tasks that have ended by `now` (ticks)."""
        rows, renumbered = self.plane.take_finished(now)
        self._held.renumber(renumbered)
        self._next_row = self.plane.columns.num_row - (len(renumbered) - 1 - self._next_row)
        return rows

    def take_unfinished(self, now: int) -> TaskRows:
        """Hand out what is in flight or held at the end `now` of a run, to which the plane has been settled."""
        return self.plane.take_unfinished(self._next_row, now)
