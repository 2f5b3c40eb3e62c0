"""The vehicles' radios: which kind of uplink a system has, and at what rate each vehicle sends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physical.model import energy
from physical.model.split import literal_upload_s
from physical.plane.columns import Rows, TaskColumns
from physical.plane.ticks import Floats, Ints
from physical.plane.turns import UplinkInTurn
from physical.plane.uplink import Uplink
from physical.system import System

_STANDSTILL_BPS = 1e-200
Settings = dict[str, Floats]
"""What a command sets, by the names of `Decision`: ratios [N, K], and with joint allocation three arrays [N]."""


class Radio:
    """Rates of all uplinks: fixed by channel and hardware, or following the power and bandwidth in force."""

    def __init__(self, columns: TaskColumns, system: System) -> None:
        count = system.num_vehicle
        self._columns = columns
        self._system = system
        self._joint = system.joint
        self._literal = system.model.mode == "paper"
        self._power_w: Floats = system.transmit_power_w
        self.bandwidth_hz: Floats = np.zeros(count)
        self._channel_gain: Floats = np.zeros(count)
        self._in_turn = UplinkInTurn(columns, count, metered=not self._literal) if self._joint else None
        self._at_once = None if self._joint else Uplink(columns, np.full(count, _STANDSTILL_BPS))

    @property
    def uplink(self) -> Uplink | UplinkInTurn:
        """Uploads in progress."""
        uplink = self._in_turn or self._at_once
        assert uplink is not None
        return uplink

    def follow(self, now: int, uplink_rate_bps: Floats, channel_gain: Floats, moved: NDArray[np.bool_] | None) -> None:
        """Send over other channels from `now` on; who `moved` to another node has no share of its bandwidth yet."""
        if self._at_once is not None:
            # Who has no node sends nothing; such a rate lets no upload end, and nothing divide by zero.
            rate_bps = uplink_rate_bps if moved is None else np.maximum(uplink_rate_bps, _STANDSTILL_BPS)
            self._at_once.set_rate(now, rate_bps)
            return
        self._channel_gain = channel_gain
        if moved is not None and moved.any():
            self.bandwidth_hz = np.where(moved, 0.0, self.bandwidth_hz)
        self._set_rate(now)

    def cut_off(self, now: int, vehicles: NDArray[np.bool_]) -> None:
        """Stop some vehicles' sending at `now`, until they have a node again."""
        if self._at_once is not None:
            self._at_once.set_rate(now, np.where(vehicles, _STANDSTILL_BPS, self._at_once.rate_bps))
            return
        self.bandwidth_hz = np.where(vehicles, 0.0, self.bandwidth_hz)
        self._set_rate(now)

    def tune(self, vehicles: NDArray[np.bool_], at: Ints, power_w: Floats, bandwidth_hz: Floats) -> None:
        """Change power and bandwidth of some vehicles, each at its own time."""
        assert self._in_turn is not None
        until = np.where(vehicles, at, -1)
        self._in_turn.advance(until)
        self._power_w = np.where(vehicles, power_w, self._power_w)
        self.bandwidth_hz = np.where(vehicles, bandwidth_hz, self.bandwidth_hz)
        self._set_rate(until)

    def _set_rate(self, at: int | Ints) -> None:
        assert self._in_turn is not None
        rate_bps = self._system.decided_rate_bps(self.bandwidth_hz, self._power_w, self._channel_gain)
        self._in_turn.set_rate(at, rate_bps, self._power_w)

    def charge_literally(self, rows: Rows) -> None:
        """Charge starting tasks as eq. 4 of 'llm6g' has it, in mode "paper": tokens for bits, whatever is sent.

        The rate is the one in force, which is that of the command that starts them unless its share is of another node.
        """
        if self._joint and self._literal:
            columns, system = self._columns, self._system
            vehicle = columns.vehicle[rows]
            rate_bps = system.decided_rate_bps(self.bandwidth_hz, self._power_w, self._channel_gain)[vehicle]
            num_token = columns.size_bytes[rows] / system.bytes_per_token[columns.task_class[rows]]
            charged_s = literal_upload_s(num_token, rate_bps)
            columns.transmit_j[rows] = energy.transmit_energy_j(self._power_w[vehicle], charged_s)

    def settle(self, now: int) -> None:
        """Charge uploads in progress for the time up to `now`."""
        if self._in_turn is not None:
            self._in_turn.settle(now)
