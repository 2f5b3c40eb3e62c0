"""Uploads in progress: every task of a vehicle has its whole rate r_n (eq. 9), which changes from slot to slot."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.columns.tasks import Rows, TaskColumns, as_slice
from physical.model import rate
from physical.model.arrays import every
from physical.ticks import NO_ROWS, seconds, ticks_from_s

_STANDSTILL_BPS = 1e-200
"""What stands for no rate: it lets no upload end, and nothing divide by zero."""


class Uploads(Protocol):
    """Rows on their way to a server; times `now` are ticks."""

    def add(self, rows: Ints, since_column: Ints, upload_bytes: Floats, /) -> None:
        """Let the uploads of ascending `rows` begin at the ticks that a column has for them."""

    @property
    def busy(self) -> bool:
        """Whether anything is on its way, or waits for it."""

    def set_rate(self, now: int, rate_bps: Floats, watts: Floats, /) -> None:
        """Change all rates and powers, [N], at `now`: what is already sent stays sent, the rest goes at the new rate.

        rate_bps : 0 of those who send nothing
        """

    def take_arrived(self, now: int) -> Ints:
        """Remove and return the rows that have reached the server by `now`, in ascending order."""

    def remove(self, vehicles: Mask, now: int, *, coming: bool) -> Ints:
        """Take out the rows of some vehicles, a mask [N], at `now`: those on their way, and those still `coming`."""

    def backlog_bytes(self, now: int) -> Floats:
        """Return what waits to be sent or is being sent at `now`, [N], bytes."""

    def settle(self, now: int, /) -> None:
        """Charge the uploads in progress for the time up to `now`, where uploads are metered."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""


class Uplink:
    """The rows, in ascending order, that are being uploaded, or will be when their local part ends."""

    def __init__(self, columns: TaskColumns) -> None:
        self._columns = columns
        self._rate_bps: Floats = np.full(columns.num_vehicle, _STANDSTILL_BPS)
        self._rows = NO_ROWS

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        return self._rows.size > 0

    def add(self, rows: Ints, since_column: Ints, upload_bytes: Floats) -> None:
        """Let the uploads of ascending `rows` begin at the ticks that a column has for them."""
        columns = self._columns
        index = as_slice(rows)
        columns.upload_since[index] = since_column[index]
        columns.upload_left_bytes[index] = upload_bytes
        self._predict(index, since_column[index], upload_bytes)
        if self._rows.size:
            rows = np.sort(np.concatenate([self._rows, rows]))
        self._rows = rows

    def _predict(self, rows: Rows, since: Ints, left_bytes: Floats) -> None:
        columns = self._columns
        upload_s = rate.upload_delay_s(left_bytes, self._rate_bps[columns.vehicle[rows]])
        end = since + ticks_from_s(upload_s)
        columns.upload_end[rows] = end
        columns.arrive[rows] = end + columns.uplink_latency[rows]

    def set_rate(self, now: int, rate_bps: Floats, _watts: Floats, /) -> None:
        """Change all rates at `now`: what is already sent stays sent, the rest goes at the new rate.

        Uploads of vehicles whose rate stays the same go on as if nobody had asked.
        """
        before, self._rate_bps = self._rate_bps, np.maximum(rate_bps, _STANDSTILL_BPS)
        rows = self._rows
        if not rows.size:
            return
        columns = self._columns
        rows = rows[columns.upload_end[rows] > now]
        vehicle = columns.vehicle[rows]
        changed = self._rate_bps[vehicle] != before[vehicle]
        if not every(changed):
            rows, vehicle = rows[changed], vehicle[changed]
        if rows.size:
            since, left = columns.upload_since[rows], columns.upload_left_bytes[rows]
            sent_s = seconds(np.maximum(now - since, 0))
            left = np.maximum(left - before[vehicle] / 8 * sent_s, 0.0)
            since = np.maximum(since, now)
            columns.upload_since[rows] = since
            columns.upload_left_bytes[rows] = left
            self._predict(rows, since, left)

    def take_arrived(self, now: int) -> Ints:
        """Remove and return the rows that have reached the server by `now`, in ascending order."""
        rows = self._rows
        if not rows.size:
            return rows
        arrived = self._columns.arrive[as_slice(rows)] <= now
        if every(arrived):
            self._rows = NO_ROWS
            return rows
        self._rows = rows[~arrived]
        return rows[arrived]

    def remove(self, vehicles: Mask, now: int, *, coming: bool) -> Ints:
        """Take out the rows of some vehicles, a mask [N], at `now`: those on their way, and those still `coming`."""
        rows = self._rows
        gone = vehicles[self._columns.vehicle[rows]]
        if not coming:
            gone &= self._columns.upload_since[rows] <= now
        self._rows = rows[~gone]
        return rows[gone]

    def backlog_bytes(self, now: int) -> Floats:
        """Return what is being sent at `now`, [N], bytes."""
        columns = self._columns
        rows = self._rows
        rows = rows[(columns.upload_since[rows] <= now) & (columns.upload_end[rows] > now)]
        vehicle = columns.vehicle[rows]
        sent_bytes = self._rate_bps[vehicle] / 8 * seconds(now - columns.upload_since[rows])
        left_bytes = np.maximum(columns.upload_left_bytes[rows] - sent_bytes, 0.0)
        backlog_bytes: Floats = np.bincount(vehicle, weights=left_bytes, minlength=columns.num_vehicle).astype(
            np.float64
        )
        return backlog_bytes

    def settle(self, _now: int, /) -> None:
        """Do nothing: nobody meters these uploads."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        if self._rows.size:
            self._rows = renumbered[self._rows]
