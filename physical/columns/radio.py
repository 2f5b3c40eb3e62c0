"""The vehicles' radios: which kind of uplink a system has, and at what rate each vehicle sends."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.closed_form.split import literal_upload_s
from physical.columns.shared_uplink import SharedUplink
from physical.columns.tasks import Rows, TaskColumns
from physical.columns.uplink import Uplink
from physical.model import energy
from physical.model.arrays import some
from physical.system import System

_STANDSTILL_BPS = 1e-200
Settings = dict[str, Floats]
"""What a command sets, by the names of `Decision`: ratios [N, K], and with joint allocation three arrays [N]."""


class Radio:
    """Rates of all uplinks: fixed by channel and hardware, or following the power and bandwidth in force.

    bandwidth_hz : [N], what each vehicle may use of its node's pool at present
    """

    def __init__(self, columns: TaskColumns, system: System) -> None:
        count = system.num_vehicle
        self._columns = columns
        self._system = system
        self._joint = system.joint
        self._literal = system.model.mode == "paper"
        self._power_w: Floats = system.transmit_power_w
        self._granted_hz: Floats = np.zeros(count)
        self.bandwidth_hz: Floats = self._granted_hz
        self._serving_node: Ints = np.zeros(count, dtype=np.int64)
        self._channel_gain: Floats = np.zeros(count)
        self._rate_bps: Floats = np.zeros(count)  # a node may fail before the first slot's channels are known
        self._at_once: Uplink | None = None
        self._shared: SharedUplink | None = None
        if system.uplink == "each" and not system.joint:
            self._at_once = Uplink(columns, np.full(count, _STANDSTILL_BPS))
        else:
            metered = system.joint and not self._literal
            self._shared = SharedUplink(columns, count, system.uplink, system.model.order, metered=metered)

    @property
    def uplink(self) -> Uplink | SharedUplink:
        """Uploads in progress."""
        uplink = self._shared or self._at_once
        assert uplink is not None
        return uplink

    def follow(self, now: int, uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints) -> None:
        """Send over other channels from `now` on; who has moved to another node has no share of its bandwidth yet."""
        if not self._joint:
            self._set_fixed_rate(now, uplink_rate_bps)
            return
        self._channel_gain = channel_gain
        moved = serving_node != self._serving_node
        if some(moved):
            self._granted_hz = np.where(moved, 0.0, self._granted_hz)
            self._serving_node = serving_node
        self._set_decided_rate(now)

    def cut_off(self, now: int, vehicles: Mask) -> None:
        """Stop some vehicles' sending at `now`, until they have a node again."""
        if not self._joint:
            self._set_fixed_rate(now, np.where(vehicles, 0.0, self._rate_bps))
            return
        self._granted_hz = np.where(vehicles, 0.0, self._granted_hz)
        self._set_decided_rate(now)

    def _set_fixed_rate(self, now: int, rate_bps: Floats) -> None:
        self._rate_bps = rate_bps
        if self._at_once is not None:
            # Who has no node sends nothing; such a rate lets no upload end, and nothing divide by zero.
            self._at_once.set_rate(now, np.maximum(rate_bps, _STANDSTILL_BPS))
        elif self._shared is not None:
            self._shared.set_rate(now, rate_bps, self._power_w)

    def tune(self, at: int, power_w: Floats, bandwidth_hz: Floats) -> None:
        """Change powers and granted bandwidths, [N], at `at`."""
        assert self._shared is not None
        self._shared.advance(at)
        self._power_w, self._granted_hz = power_w, bandwidth_hz
        self._set_decided_rate(at)

    @property
    def granted(self) -> tuple[Floats, Floats]:
        """Powers, W, and bandwidths, Hz, as vehicles were last told, [N]."""
        return self._power_w, self._granted_hz

    def _set_decided_rate(self, at: int) -> None:
        """Follow powers, grants and channels from `at` on; who was told an old share may not overbook the pool."""
        assert self._shared is not None
        self.bandwidth_hz = self._system.within_pool_hz(self._granted_hz, self._serving_node)
        rate_bps = self._system.decided_rate_bps(self.bandwidth_hz, self._power_w, self._channel_gain)
        self._shared.set_rate(at, rate_bps, self._power_w)

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
        if self._shared is not None:
            self._shared.settle(now)
