"""The radios of vehicles: at what rate each one sends."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.closed_form.split import literal_upload_s
from physical.columns.shared_uplink import SharedUplink
from physical.columns.tasks import Rows, TaskColumns
from physical.columns.uplink import Uplink, Uploads
from physical.model import energy
from physical.model.arrays import some
from physical.spectrum import Spectrum
from physical.system import System


class Radios(Protocol):
    """What the pipeline asks of the radios of all vehicles; times are ticks.

    uplink : uploads in progress
    """

    uplink: Uploads

    def follow(self, now: int, uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints, /) -> None:
        """Send over other channels and to other nodes, all [N], from `now` on; who has no node has a rate of 0."""

    def cut_off(self, now: int, vehicles: Mask) -> None:
        """Stop the sending of some vehicles, a mask [N], at `now`, until they have a node again."""

    def charge(self, rows: Rows, /) -> None:
        """Charge the tasks in `rows`, which start, for what is charged by task and not by upload."""


class FixedRadios:
    """Power and bandwidth are the hardware's: the rate follows the channel.

    uplink : uploads in progress
    """

    def __init__(self, columns: TaskColumns, system: System) -> None:
        self.uplink: Uploads
        if system.uplink == "each":
            self.uplink = Uplink(columns)
        else:
            self.uplink = SharedUplink(columns, system.uplink, system.model.order)
        self._power_w: Floats = system.transmit_power_w
        self._rate_bps: Floats = np.zeros(system.num_vehicle)  # a node may fail before the first channels are known

    def follow(self, now: int, uplink_rate_bps: Floats, _channel_gain: Floats, _serving_node: Ints, /) -> None:
        """Send at other rates from `now` on; who has no node has a rate of 0."""
        self._set_rate(now, uplink_rate_bps)

    def cut_off(self, now: int, vehicles: Mask) -> None:
        """Stop some vehicles' sending at `now`, until they have a node again."""
        self._set_rate(now, np.where(vehicles, 0.0, self._rate_bps))

    def _set_rate(self, now: int, rate_bps: Floats) -> None:
        self._rate_bps = rate_bps
        self.uplink.set_rate(now, rate_bps, self._power_w)

    def charge(self, _rows: Rows, /) -> None:
        """Charge nothing for starting tasks: nobody meters these radios."""


class DecidedRadios:
    """Power and bandwidth are decided, and so is the rate, together with the channel.

    uplink : uploads in progress
    bandwidth_hz : [N], what each vehicle may use of its node's pool at present
    """

    def __init__(self, columns: TaskColumns, system: System, spectrum: Spectrum) -> None:
        count = system.num_vehicle
        self._columns = columns
        self._system = system
        self._spectrum = spectrum
        # Where who does not send holds a share, too, tasks are charged when they start.
        self._charges_at_start = spectrum.held_by_all
        self._uplink = SharedUplink(columns, system.uplink, system.model.order, metered=not self._charges_at_start)
        self.uplink: Uploads = self._uplink
        self._power_w: Floats = system.transmit_power_w
        self._granted_hz: Floats = np.zeros(count)
        self.bandwidth_hz: Floats = self._granted_hz
        self._serving_node: Ints = np.zeros(count, dtype=np.int64)
        self._channel_gain: Floats = np.zeros(count)

    def follow(self, now: int, _uplink_rate_bps: Floats, channel_gain: Floats, serving_node: Ints, /) -> None:
        """Send over other channels from `now` on; who has moved to another node has no share of its bandwidth yet."""
        self._channel_gain = channel_gain
        moved = serving_node != self._serving_node
        if some(moved):
            self._granted_hz = np.where(moved, 0.0, self._granted_hz)
            self._serving_node = serving_node
        self._set_rate(now)

    def cut_off(self, now: int, vehicles: Mask) -> None:
        """Stop some vehicles' sending at `now`, until they have a node again."""
        self._granted_hz = np.where(vehicles, 0.0, self._granted_hz)
        self._set_rate(now)

    def tune(self, at: int, power_w: Floats, bandwidth_hz: Floats) -> None:
        """Change powers and granted bandwidths, [N], at `at`."""
        self._uplink.advance(at)
        self._power_w, self._granted_hz = power_w, bandwidth_hz
        self._set_rate(at)

    @property
    def granted(self) -> tuple[Floats, Floats]:
        """Powers, W, and bandwidths, Hz, as vehicles were last told, [N]."""
        return self._power_w, self._granted_hz

    def _set_rate(self, at: int) -> None:
        """Follow powers, grants and channels from `at` on; who was told an old share may not overbook the pool."""
        self.bandwidth_hz = self._spectrum.within_pool_hz(self._granted_hz, self._serving_node)
        self._uplink.set_rate(at, self._rate_bps(), self._power_w)

    def _rate_bps(self) -> Floats:
        rate_bps: Floats = self._spectrum.rate_bps(self.bandwidth_hz, self._power_w, self._channel_gain)
        return rate_bps

    def charge(self, rows: Rows) -> None:
        """Charge starting tasks as eq. 4 of 'llm6g' has it, in mode "paper": tokens for bits, whatever is sent.

        The rate is the one in force, which is that of the command that starts them unless its share is of another node.
        """
        if self._charges_at_start:
            columns, system = self._columns, self._system
            vehicle = columns.vehicle[rows]
            num_token = columns.size_bytes[rows] / system.bytes_per_token[columns.task_class[rows]]
            charged_s = literal_upload_s(num_token, self._rate_bps()[vehicle])
            columns.transmit_j[rows] = energy.transmit_energy_j(self._power_w[vehicle], charged_s)
