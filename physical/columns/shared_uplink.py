"""Uploads over an uplink that the tasks of a vehicle share, at a rate that follows channel, power and bandwidth."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.resource import UPLINK
from physical.columns.rules import make_resource
from physical.columns.tasks import TaskColumns
from physical.params import TaskOrder, UplinkRule
from physical.ticks import NO_ROWS


class SharedUplink:
    """Rows on their way to a server: those that wait or are being sent, then those that the network delays.

    metered : charge each upload, in the column `transmit_j`
    """

    def __init__(self, columns: TaskColumns, rule: UplinkRule, order: TaskOrder, *, metered: bool = False) -> None:
        use = UPLINK if metered else UPLINK._replace(joules="")
        if order == "parallel":
            use = use._replace(ready="start")
        self._columns = columns
        self._resource = make_resource(rule, columns, columns.num_vehicle, use)
        self._metered = metered
        self._sent = NO_ROWS

    def add(self, rows: Ints, _since_column: Ints, upload_bytes: Floats, /) -> None:
        """Let the uploads of `rows` come when they are ready: at their start, or after their local part."""
        self._columns.upload_left_bytes[rows] = upload_bytes
        self._resource.add(rows)

    @property
    def busy(self) -> bool:
        """Whether anything is being sent, or waits for it."""
        return self._resource.busy

    def advance(self, now: int) -> None:
        """Send up to `now`."""
        columns = self._columns
        rows = self._resource.advance(now)
        if rows.size:
            columns.arrive[rows] = columns.upload_end[rows] + columns.uplink_latency[rows]
            self._sent = np.sort(np.concatenate([self._sent, rows]))

    def set_rate(self, now: int, rate_bps: Floats, watts: Floats) -> None:
        """Change all rates and powers, [N], at `now`, to which uploads have been advanced."""
        at_work = np.where(rate_bps > 0, watts, 0.0) if self._metered else None
        self._resource.change_rates(now, rate_bps / 8, at_work)

    def settle(self, now: int) -> None:
        """Charge the uploads in progress for the time up to `now`."""
        self._resource.settle(now)

    def take_arrived(self, now: int) -> Ints:
        """Remove and return the rows that have reached the server by `now`, in ascending order."""
        self.advance(now)
        rows = self._sent
        if not rows.size:
            return rows
        arrived = self._columns.arrive[rows] <= now
        self._sent = rows[~arrived]
        return rows[arrived]

    def remove(self, vehicles: Mask, now: int, *, coming: bool) -> Ints:
        """Take out the rows of some vehicles, a mask [N], at `now`: those on their way, and those still `coming`."""
        self.advance(now)
        gone = vehicles[self._columns.vehicle[self._sent]]
        removed = [self._resource.remove(vehicles, now, coming=coming), self._sent[gone]]
        self._sent = self._sent[~gone]
        return np.concatenate(removed)

    def backlog_bytes(self, now: int) -> Floats:
        """Return what waits to be sent or is being sent at `now`, [N], bytes."""
        rows, left_bytes = self._resource.left(now)
        vehicle = self._columns.vehicle[rows]
        backlog_bytes: Floats = np.bincount(vehicle, weights=left_bytes, minlength=self._columns.num_vehicle).astype(
            np.float64
        )
        return backlog_bytes

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._sent = renumbered[self._sent]
        self._resource.renumber(renumbered)
