"""The radio between vehicles and stations: who sends at what rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physical.arrays import Floats
from physical.entities.agenda import Agenda
from physical.entities.vehicle import Vehicle
from physical.phase import Phase
from physical.spectrum import Spectrum


class FixedAir:
    """The radio where power and bandwidth are the hardware's: rates follow the channel."""

    def __init__(self, vehicles: Sequence[Vehicle]) -> None:
        self._vehicles = vehicles

    def change(self, rate_bps: Floats, _channel_gain: Floats, /) -> None:
        """Let all vehicles send over other channels, [N], from now on."""
        for vehicle, rate in zip(self._vehicles, rate_bps.tolist(), strict=True):
            vehicle.rate_bps = rate
            vehicle.uplink.set_rate(rate / 8)

    def follow_commands(self) -> None:
        """Change nothing: commands do not tell how to send."""

    def settle(self) -> None:
        """Stop the sending of those who have lost their node."""
        for vehicle in self._vehicles:
            if vehicle.node < 0:
                vehicle.rate_bps = 0.0
                vehicle.uplink.set_rate(0.0)


class DecidedAir:
    """The radio where policies decide: the rate of each follows power, channel and its part of its node's spectrum.

    What is in force at one node never sums to more than it has.
    """

    def __init__(self, agenda: Agenda, spectrum: Spectrum, vehicles: Sequence[Vehicle]) -> None:
        self._agenda = agenda
        self._spectrum = spectrum
        self._vehicles = vehicles
        self._channel_gain = np.zeros(len(vehicles))
        self._is_changing = False

    def change(self, _rate_bps: Floats, channel_gain: Floats, /) -> None:
        """Let all vehicles send over other channels, [N], from now on."""
        self._channel_gain = channel_gain
        self.settle()

    def follow_commands(self) -> None:
        """Let rates follow the commands of this instant, all together."""
        if not self._is_changing:
            self._is_changing = True
            self._agenda.call_at_ticks(self._agenda.ticks, Phase.RATES, self._follow)

    def _follow(self) -> None:
        self._is_changing = False
        self.settle()

    def settle(self) -> None:
        """Give all vehicles their rates."""
        vehicles, spectrum = self._vehicles, self._spectrum
        granted_hz = np.array([vehicle.granted_hz for vehicle in vehicles])
        power_w = np.array([vehicle.power_w for vehicle in vehicles])
        in_force_hz = spectrum.within_pool_hz(granted_hz, np.array([vehicle.node for vehicle in vehicles]))
        rates_bps = spectrum.rate_bps(in_force_hz, power_w, self._channel_gain).tolist()
        for vehicle, rate_bps in zip(vehicles, rates_bps, strict=True):
            vehicle.rate_bps = rate_bps
            # Where shares are held by all, tasks are charged when they start.
            is_charged = rate_bps > 0.0 and not spectrum.held_by_all
            vehicle.uplink.set_rate(rate_bps / 8, vehicle.power_w if is_charged else 0.0)
