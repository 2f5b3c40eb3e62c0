"""The radio channels between vehicles and nodes: Gauss-Markov shadowing and fading, or a trace of rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from physical import drawn
from physical.arrays import Floats, Ints, Mask
from physical.errors import InputError
from physical.model import channel, mobility, rate, units
from physical.params import Radio
from physical.quantize import quantize
from physical.system import System
from physical.ticks import NS_PER_S
from sim.inputs.association import Association
from sim.inputs.draws import draw_normal
from sim.inputs.streams import Streams
from sim.scenario.mobility import Course
from sim.scenario.tables import ServingNode

if TYPE_CHECKING:
    from traces.exogenous import LinkTrace

_BITS_PER_HZ_MAX = 500.0  # more needs a gain beyond any double


class Channels:
    """Makes the gains of a run, slot after slot.

    Parameters
    ----------
    radio : channel, and how vehicles choose a node
    nodes : the serving nodes
    system : constants
    streams : random streams
    typical_speed_mps : [N], m/s, of the vehicles over the run
    rates : trace of uplink rates that takes the place of fading; None without one
    """

    def __init__(
        self,
        radio: Radio,
        nodes: Sequence[ServingNode],
        system: System,
        streams: Streams,
        typical_speed_mps: Floats,
        rates: LinkTrace | None,
    ) -> None:
        self._radio = radio
        self._system = system
        self.node_m = np.array([node.position_m for node in nodes])
        self._count = system.num_vehicle
        # A stream for every link: another node changes none of the others.
        names = ["channel", *(f"channel-{node.name}" for node in nodes[1:])]
        self._generators = [streams.of_vehicles(name, self._count) for name in names]
        self._state: Floats | None = None
        self._speed_mps: Floats = np.empty(0)
        self._correlation: Floats = np.empty(0)
        self.association = Association(radio, self.node_m, self._count)
        self.fading_correlation = self._correlations(typical_speed_mps)[:, 1]
        self._rates = None if rates is None else _Rates(rates, system, streams)

    def _correlations(self, speed_mps: Floats) -> Floats:
        """Return the correlations from slot to slot of shadowing and both parts of the fading, [..., N, 3]."""
        slot_s = self._system.slot_duration_s
        fading = quantize(drawn.fading_correlation(self._radio, speed_mps, slot_s))
        shadowing = quantize(drawn.shadowing_correlation(self._radio, speed_mps, slot_s))
        return np.stack([shadowing, fading, fading], axis=-1)

    def large_scale_gain(self, position_m: Floats, shadowing: Floats | float) -> Floats:
        """Return the gains to all nodes without fading, [..., N, M]; `shadowing` is standard normal."""
        least_m = self._radio.distance_m_min
        per_node = [mobility.distance_m(position_m, station_m, least_m) for station_m in self.node_m]
        return quantize(drawn.large_scale_gain(self._radio, np.stack(per_node, axis=-1), shadowing))

    def gains(self, course: Course, first_slot: int, down: Mask | None) -> tuple[Ints, Floats, Floats]:
        """Return serving nodes, large-scale and channel gains of the next slots, [B, N].

        Shadowing and fading are Gauss-Markov from slot to slot, on each of the links to the M nodes. A vehicle
        without a node has the gain to the first one.
        """
        radio, num_node, num_slot = self._radio, len(self.node_m), len(course.position_m)
        states = self._walk(course.speed_mps).reshape(num_slot, self._count, num_node, 3)
        all_gains = self.large_scale_gain(course.position_m, states[..., 0])
        node = self.association.attach(course.position_m, all_gains, down, course.present)
        if self._rates is not None:
            gain = self._rates.gains(first_slot, num_slot)
            return node, gain, gain.copy()
        link = np.maximum(node, 0)[..., np.newaxis]
        large_scale_gain = np.take_along_axis(all_gains, link, axis=-1)[..., 0]
        if radio.fading == "none":
            return node, large_scale_gain, large_scale_gain.copy()
        states = np.take_along_axis(states, link[..., np.newaxis], axis=2)[:, :, 0]
        fading = drawn.rayleigh_power(states[..., 1], states[..., 2])
        return node, large_scale_gain, quantize(channel.channel_gain(large_scale_gain, fading))

    def _walk(self, speed_mps: Floats) -> Floats:
        """Return the Gaussian states of the next slots, [B, N, 3 M]."""
        num_node = len(self.node_m)
        per_node = [draw_normal(generators, len(speed_mps), 3) for generators in self._generators]
        innovation = per_node[0] if num_node == 1 else np.concatenate(per_node, axis=-1)
        states = np.empty_like(innovation)
        state = self._state
        correlation = self._correlation_of(speed_mps)
        for row, new in enumerate(innovation):
            state = new if state is None else channel.gauss_markov(state, correlation[row], new)
            states[row] = state
        self._state = state
        return states

    def _correlation_of(self, speed_mps: Floats) -> Floats:
        """Return the correlations of the states of the next slots with those before, [B, N, 3 M]."""
        num_node = len(self.node_m)
        if speed_mps.strides[0]:
            return np.tile(self._correlations(speed_mps), num_node)
        if not np.array_equal(speed_mps[0], self._speed_mps):  # the same speeds in all slots, as in many runs
            self._speed_mps = speed_mps[0].copy()
            self._correlation = np.tile(self._correlations(self._speed_mps), num_node)
        return np.broadcast_to(self._correlation, (len(speed_mps), *self._correlation.shape))


class _Rates:
    """Turns the rates of a link trace into gains: each vehicle follows one link of the trace, again and again."""

    def __init__(self, trace: LinkTrace, system: System, streams: Streams) -> None:
        self._system = system
        self._slot_duration_s = system.slot_duration_s
        link = trace.column("link_id").astype(np.int64)
        names = trace.names("link_id")
        time_s = trace.column("t_ns") / NS_PER_S
        rate_bps = trace.column("uplink_rate_bps")
        self._links = [(time_s[link == index], rate_bps[link == index]) for index in range(len(names))]
        self._check(rate_bps)
        places = np.stack([generator.random(2) for generator in streams.of_vehicles("link-trace", system.num_vehicle)])
        self._link = np.floor(places[:, 0] * len(names)).astype(np.int64)
        self._offset = places[:, 1]

    def _check(self, rate_bps: Floats) -> None:
        """Refuse rates that no channel gain can give; the least rate is 1 bit/s."""
        for wanted_bps in (max(float(rate_bps.max()), 1.0), max(float(rate_bps.min()), 1.0)):
            if wanted_bps / self._system.bandwidth_hz.min() < _BITS_PER_HZ_MAX:
                gain = self._gain_for(np.array([wanted_bps]))
                if gain.min() >= units.GAIN_MIN and gain.max() <= units.GAIN_MAX:
                    continue
            problem = f"no channel gives the {wanted_bps:g} bit/s of radio.rate_file"
            accepted = "a bandwidth, with power and noise, at which a gain of 1e-36 to 1e36 does"
            raise InputError(problem, key="radio.bandwidth_hz", accepted=accepted)

    def _gain_for(self, rate_bps: Floats) -> Floats:
        system = self._system
        gain: Floats = rate.gain_for_rate(rate_bps, system.bandwidth_hz, system.transmit_power_w, system.noise_w)
        return gain

    def gains(self, first_slot: int, num_slot: int) -> Floats:
        """Return the gains [B, N] at which eq. 2 of 'dtecn' gives the rates of the trace, at least 1 bit/s."""
        at_s = np.arange(first_slot, first_slot + num_slot) * self._slot_duration_s
        rate_bps = np.empty((num_slot, len(self._link)))
        for vehicle, (index, offset) in enumerate(zip(self._link, self._offset, strict=True)):
            time_s, values = self._links[index]
            length_s = time_s[-1] - time_s[0] + self._slot_duration_s
            place_s = time_s[0] + (offset * length_s + at_s) % length_s
            rate_bps[:, vehicle] = values[np.searchsorted(time_s, place_s, side="right") - 1]
        return quantize(self._gain_for(np.maximum(rate_bps, 1.0)))
