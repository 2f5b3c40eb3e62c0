"""The pools of bandwidth of the oracle's nodes: what is in force at one of them never sums to more than it has."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
from simpy.events import Event

from physical.phase import Phase
from physical.system import System
from tests.oracle.task import Clock

if TYPE_CHECKING:
    from tests.oracle.vehicle import Vehicle

RATES_SETTLED = Phase.VEHICLE_COMMAND + 0.5
"""Commands of one instant take effect together: rates follow when the last one has come."""


class Spectrum:
    """With joint allocation it gives every vehicle the rate that power, channel and its part of the pool allow."""

    def __init__(self, clock: Clock, system: System) -> None:
        self.vehicles: list[Vehicle] = []
        self._clock = clock
        self._system = system
        self._is_changing = False

    def change(self) -> None:
        """Let rates follow what changes at this instant."""
        if self._system.joint and not self._is_changing:
            self._is_changing = True
            self._clock.env.process(self._follow())

    def _follow(self) -> Generator[Event, None, None]:
        yield self._clock.at(self._clock.now, RATES_SETTLED)
        self._is_changing = False
        self.settle()

    def settle(self) -> None:
        """Give all vehicles their rates."""
        if not self._system.joint:
            return
        is_metered = self._system.model.mode != "paper"
        for vehicle in self.vehicles:
            rate_bps = self.rate_bps(vehicle)
            vehicle.uplink.set_rate(rate_bps / 8, vehicle.power_w if is_metered and rate_bps > 0 else 0.0)

    def rate_bps(self, vehicle: Vehicle) -> float:
        """Return the rate of a vehicle with what is in force now."""
        bandwidth_hz = vehicle.bandwidth_hz * self._factor(vehicle.node)
        args = (bandwidth_hz, vehicle.power_w, vehicle.gain)
        assert self._system.spectrum is not None
        return float(self._system.spectrum.rate_bps(*(np.array([value]) for value in args))[0])

    def _factor(self, node: int) -> float:
        """Return by how much the shares at a node are scaled down."""
        if node < 0:
            return 1.0
        in_force_hz = sum(vehicle.bandwidth_hz for vehicle in self.vehicles if vehicle.node == node)
        pool_hz = float(self._system.node_bandwidth_hz[node])
        return pool_hz / in_force_hz if in_force_hz > pool_hz * (1 + 1e-12) else 1.0
