"""The inputs of B environments, which no decision changes: uplink rates, task sizes and biases.

Arrays have the batch axis last here, [T, N, K, B] for T slots: that is how they lie in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator

from physical import drawn
from physical.arrays import Floats, Ints
from physical.model import channel, mobility
from physical.system import System
from sim.inputs.blocks import Block, Inputs
from sim.inputs.checked_motion import checked
from sim.inputs.streams import Streams
from sim.inputs.workload import BurstChains
from sim.scenario.mobility import Draw, DrawnMobility, Motion
from sim.scenario.resolved import Resolved
from sim.scenario.tables import ScenarioTables
from twin.bias import BiasProcess
from twin.params import BiasParams

_MOTION_DRAWN = 5
"""Numbers of a vehicle's motion that are drawn at once, as many as our kinds need."""

_MAX_DRAWN = 1 << 16
"""Numbers that are drawn before they are transposed: they fit into the cache."""


class InputBlock(NamedTuple):
    """Inputs of T slots.

    size_bytes : [T, N, K, B], bytes
    rate_bps : [T, N, B], bit/s
    """

    size_bytes: Floats
    rate_bps: Floats


class JointBlock(NamedTuple):
    """Inputs of T slots where policies decide what the rates are.

    size_bytes : [T, N, K, B], bytes
    channel_gain : [T, N, B], linear power ratio
    serving_node : [T, N, B], index of the node, negative without one
    """

    size_bytes: Floats
    channel_gain: Floats
    serving_node: Ints


class BatchInputs(Protocol):
    """A source of inputs."""

    def block(self, first_slot: int, num_slot: int) -> InputBlock:
        """Make the next slots; blocks must be asked for in order, and their lengths change nothing."""


class EventInputs:
    """Exactly the inputs of the event simulator: environment b is a run with the seed ``seeds[b]``."""

    def __init__(self, resolved: Resolved, seeds: Sequence[int]) -> None:
        self._inputs = [Inputs(resolved, Streams(seed)) for seed in seeds]

    def block(self, first_slot: int, num_slot: int) -> InputBlock:
        """Make the next slots."""
        blocks = [inputs.block(first_slot, num_slot) for inputs in self._inputs]
        return InputBlock(*_stacked(blocks, "size_bytes", "uplink_rate_bps"))

    def joint_block(self, first_slot: int, num_slot: int) -> JointBlock:
        """Make the next slots."""
        blocks = [inputs.block(first_slot, num_slot) for inputs in self._inputs]
        return JointBlock(*_stacked(blocks, *JointBlock._fields))


def _stacked(blocks: Sequence[Block], *names: str) -> list[Any]:
    """Return some arrays of the environments' blocks with the batch axis last."""
    return [np.stack([getattr(block, name) for block in blocks], axis=-1) for name in names]


class FastInputs:
    """The same processes as the event simulator's, with two streams per environment instead of several per vehicle.

    Numbers are drawn for all vehicles of an environment at once, and all formulas run over all environments at once.
    """

    def __init__(self, resolved: Resolved, seeds: Sequence[int]) -> None:
        scenario, system = resolved.tables, resolved.system
        self._system = system
        self._radio = scenario.radio
        self._station_m = resolved.nodes[0].position_m
        streams = [Streams(seed) for seed in seeds]
        self._shape = (system.num_vehicle, len(seeds))
        self._motion = self._spread(scenario, streams)
        self._channel = [stream.generator("batch-channel", "environment") for stream in streams]
        self._tasks = [stream.generator("batch-tasks", "environment") for stream in streams]
        self._correlation = self._correlations()
        self._state: Floats | None = None
        self._low, self._high = np.array([task.units for task in scenario.tasks]).T[..., np.newaxis]
        self._bytes_per_unit = np.array([float(task.bytes_per_unit) for task in scenario.tasks])[:, np.newaxis]
        self._bursts = None if scenario.bursts is None else BurstChains(scenario.bursts, len(seeds), self._shape)

    def _spread(self, scenario: ScenarioTables, streams: Sequence[Streams]) -> Motion:
        """Return the motion of all vehicles as one fleet: vehicle n of environment b is number ``n B + b``."""
        num_vehicle, num_environment = self._shape
        kind, run = scenario.mobility, replace(scenario.run_size(), num_vehicle=num_vehicle * num_environment)
        assert isinstance(kind, DrawnMobility)  # see `check_supported`
        generators = [stream.generator("batch-mobility", "environment") for stream in streams]
        return checked(kind, run.num_vehicle, lambda: kind.drawn(run, _of_fleet(generators, num_vehicle)))

    def _correlations(self) -> Floats:
        """Return those of shadowing and both parts of the fading from slot to slot, [3, N, B]; speeds do not change."""
        radio, slot_s = self._radio, self._system.slot_duration_s
        speed_mps = self._motion.typical_speed_mps.reshape(self._shape)
        fading = drawn.fading_correlation(radio, speed_mps, slot_s)
        shadowing = drawn.shadowing_correlation(radio, speed_mps, slot_s)
        return np.stack([shadowing, fading, fading])

    def block(self, first_slot: int, num_slot: int) -> InputBlock:
        """Make the next slots."""
        gain = self._gain(first_slot, num_slot).swapaxes(1, 2)
        rate_bps = self._system.uplink_rate_bps(gain).swapaxes(1, 2)
        return InputBlock(self._size_bytes(num_slot), rate_bps)

    def _gain(self, first_slot: int, num_slot: int) -> Floats:
        """Return the gains of the next slots, [T, N, B]."""
        radio, shape = self._radio, (num_slot, *self._shape)
        position_m = self._motion.course(first_slot, num_slot).position_m
        distance_m = mobility.distance_m(position_m, self._station_m, radio.distance_m_min).reshape(shape)
        states = self._walk(num_slot)
        large_scale_gain = drawn.large_scale_gain(radio, distance_m, states[:, 0])
        if radio.fading == "none":
            return large_scale_gain
        gain: Floats = channel.channel_gain(large_scale_gain, drawn.rayleigh_power(states[:, 1], states[:, 2]))
        return gain

    def _walk(self, num_slot: int) -> Floats:
        """Return the Gaussian states of the next slots, [T, 3, N, B]."""
        num_vehicle, num_environment = self._shape
        normal = _draw(self._channel, "standard_normal", num_slot * 3 * num_vehicle)
        states = normal.reshape(num_slot, 3, num_vehicle, num_environment)
        for row, innovation in enumerate(states):
            if self._state is not None:
                states[row] = channel.gauss_markov(self._state, self._correlation, innovation)
            self._state = states[row]
        self._state = states[-1].copy()  # a view would keep the whole block alive
        return states

    def _size_bytes(self, num_slot: int) -> Floats:
        """Return the sizes of the next slots' tasks, [T, N, K, B]."""
        num_vehicle, num_environment = self._shape
        num_size = num_vehicle * self._system.num_class
        num_burst = 0 if self._bursts is None else num_vehicle + 1
        uniform = _draw(self._tasks, "random", num_slot * (num_size + num_burst))
        uniform = uniform.reshape(num_slot, num_size + num_burst, num_environment)
        of_sizes = uniform[:, :num_size].reshape(num_slot, num_vehicle, self._system.num_class, num_environment)
        units = drawn.num_unit(self._low, self._high, of_sizes)
        if self._bursts is not None:
            factor = self._bursts.factors(uniform[:, num_size], uniform[:, num_size + 1 :])
            units = drawn.enlarged(units, factor[:, :, np.newaxis])
        size_bytes: Floats = units * self._bytes_per_unit
        return size_bytes


class FrequencyBiases:
    """The estimation biases of all environments: the event simulator's, and a spread that each vehicle keeps.

    Parameters
    ----------
    params : law of the bias
    system : constants
    seeds : [B], one per environment
    spread_hz : Hz, each vehicle adds a uniform number between minus and plus this to its bias
    """

    def __init__(self, params: BiasParams, system: System, seeds: Sequence[int], spread_hz: float) -> None:
        num_vehicle, num_environment = system.num_vehicle, len(seeds)
        self._shape = (num_vehicle, num_environment)

        def generators() -> list[Generator]:
            of_each = [Streams(seed).of_vehicles("bias-cpu-frequency", num_vehicle) for seed in seeds]
            return [generator for vehicles in zip(*of_each, strict=True) for generator in vehicles]

        self._process = BiasProcess(params, num_vehicle * num_environment, system.slot_duration_s, generators)
        self._values = params.values if params.kind == "per-vehicle" else ()
        self._spread_hz: Floats = np.zeros(self._shape)
        if spread_hz:
            uniform = [Streams(seed).generator("batch-bias", "environment").random(num_vehicle) for seed in seeds]
            self._spread_hz = spread_hz * (2.0 * np.stack(uniform, axis=-1) - 1.0)

    def at(self, slot: int) -> Floats:
        """Return the biases in a slot, [N, B], Hz; slots only go forward."""
        num_vehicle, num_environment = self._shape
        if self._values:  # given in turn for the vehicles of one environment, not for the fleet of all
            per_vehicle = np.resize(np.array(self._values), num_vehicle)
            return np.repeat(per_vehicle[:, np.newaxis], num_environment, axis=1) + self._spread_hz
        return self._process.at(slot).reshape(self._shape) + self._spread_hz


def _of_fleet(generators: Sequence[Generator], num_vehicle: int) -> Draw:
    """Return what draws uniform numbers of all vehicles, [N B, count]: those of vehicle n of environment b in turn."""

    def drawn_now(count: int) -> Floats:
        of_each = [generator.random((num_vehicle, count)) for generator in generators]
        return np.stack(of_each, axis=1).reshape(num_vehicle * len(generators), count)

    left = drawn_now(_MOTION_DRAWN)

    def draw(count: int) -> Floats:
        nonlocal left
        if left.shape[1] < count:
            left = np.concatenate([left, drawn_now(count)], axis=1)
        taken, left = left[:, :count], left[:, count:]
        return taken

    return draw


def _draw(generators: Sequence[Generator], method: str, count: int) -> Floats:
    """Return [count, B] numbers, column b from generator b."""
    numbers = np.empty((count, len(generators)))
    size = min(max(_MAX_DRAWN // count, 16), len(generators))
    group = np.empty((size, count))
    for begin in range(0, len(generators), size):
        some = generators[begin : begin + size]
        for row, generator in enumerate(some):
            fill: Any = getattr(generator, method)
            fill(out=group[row])
        numbers[:, begin : begin + len(some)] = group[: len(some)].T
    return numbers
