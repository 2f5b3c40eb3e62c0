"""Uploads in turn: a vehicle sends one task after the other, at a rate that follows channel, power and bandwidth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physical.plane.columns import TaskColumns
from physical.plane.flows import FlowQueues, Stage
from physical.plane.ticks import NO_ROWS, Floats, Ints

UPLINK = Stage(flow="vehicle", ready="local_end", work="upload_left_bytes", begin="upload_since", joules="transmit_j")


class UplinkInTurn:
    """Rows on their way to a server: waiting for the end of their local part, then for their turn, then sent.

    The interface of `Uplink`, with a power beside the rate; `now` may differ from vehicle to vehicle, [N].
    """

    def __init__(self, columns: TaskColumns, num_vehicle: int, *, metered: bool) -> None:
        stage = UPLINK if metered else UPLINK._replace(joules="")
        self._columns = columns
        self._queues = FlowQueues(columns, num_vehicle, stage)
        self._coming = NO_ROWS
        self._sent = NO_ROWS

    def add(self, rows: Ints, since_column: Ints, upload_bytes: Floats) -> None:  # noqa: ARG002 - as `Uplink.add`
        """Let the uploads of ascending `rows` come after their local part."""
        self._columns.upload_left_bytes[rows] = upload_bytes
        self._coming = np.sort(np.concatenate([self._coming, rows]))

    def advance(self, now: int | Ints) -> None:
        """Send up to `now`."""
        columns = self._columns
        coming = self._coming
        if coming.size:
            limit = now if isinstance(now, int) else now[columns.vehicle[coming]]
            ready = columns.local_end[coming] <= limit
            if ready.any():
                self._coming = coming[~ready]
                self._queues.admit(coming[ready])
        rows, ends = self._queues.advance(now)
        if rows.size:
            columns.upload_end[rows] = ends
            columns.arrive[rows] = ends + columns.uplink_latency[rows]
            columns.next[rows] = -1  # the links of the edge queue begin anew
            self._sent = np.sort(np.concatenate([self._sent, rows]))

    def set_rate(self, now: int | Ints, rate_bps: Floats, watts: Floats) -> None:
        """Change all rates and powers, [N], at `now`, to which uploads have been advanced."""
        self._queues.change_rates(now, rate_bps / 8, np.where(rate_bps > 0, watts, 0.0))

    def settle(self, now: int) -> None:
        """Charge the uploads in progress for the time up to `now`."""
        self._queues.settle(now)

    def take_arrived(self, now: int) -> Ints:
        """Remove and return the rows that have reached the server by `now`, in ascending order."""
        self.advance(now)
        rows = self._sent
        if not rows.size:
            return rows
        arrived = self._columns.arrive[rows] <= now
        self._sent = rows[~arrived]
        return rows[arrived]

    def remove(self, vehicles: NDArray[np.bool_], now: int, *, coming: bool) -> Ints:
        """Take out the rows of some vehicles, a mask [N], at `now`: those on their way, and those still `coming`."""
        self.advance(now)
        vehicle = self._columns.vehicle
        removed = [self._queues.remove(np.flatnonzero(vehicles), now), self._sent[vehicles[vehicle[self._sent]]]]
        self._sent = self._sent[~vehicles[vehicle[self._sent]]]
        if coming:
            gone = vehicles[vehicle[self._coming]]
            removed.append(self._coming[gone])
            self._coming = self._coming[~gone]
        return np.concatenate(removed)

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
        self._coming = renumbered[self._coming]
        self._sent = renumbered[self._sent]
        self._queues.renumber(renumbered)
