"""What separates the twin from its physical counterpart: the bias processes of a run."""

from __future__ import annotations

from functools import partial

import numpy as np

from physical.arrays import Floats
from physical.quantize import freeze
from physical.system import System
from sim.inputs.streams import Streams
from sim.scenario.timeline import Timeline
from twin.belief import Biases
from twin.bias import BiasProcess
from twin.params import Bias, BiasParams, ServerBiasParams


def biases_of(params: Bias, system: System, timeline: Timeline, streams: Streams) -> Biases:
    """Return the biases of one twin.

    Parameters
    ----------
    params : the kind of each bias
    system : numbers of vehicles and of task classes
    timeline : jumps of the frequency bias
    streams : random streams; the same seed gives the same biases again
    """

    def of_vehicles(name: str, kind: BiasParams) -> BiasProcess:
        return _of_vehicles(name, kind, system, streams)

    return Biases(
        FrequencyBias(params, system, timeline, streams).at,
        of_vehicles("task-size", params.task_size_bytes),
        of_vehicles("position", params.position_m),
        of_vehicles("channel-gain", params.channel_gain_db),
        of_vehicles("cpu-backlog", params.cpu_backlog_cycles),
        of_vehicles("uplink-backlog", params.uplink_backlog_bytes),
        _of_classes("server-backlog", params.server_backlog_bytes, system, streams),
        params.known,
    )


class FrequencyBias:
    """The bias of the edge frequencies, of every flow: that of its vehicle, and what has been added by timed events.

    The twin and every server have one of their own: the twin may still decide a slot that the servers have left behind,
    and a bias only goes forward.
    """

    def __init__(self, params: Bias, system: System, timeline: Timeline, streams: Streams) -> None:
        self._of_vehicles = _of_vehicles("cpu-frequency", params.cpu_frequency_hz, system, streams)
        self._timeline = timeline
        self._num_class = system.num_class
        self._vehicle_hz: Floats | None = None
        self._jump_hz = 0.0
        self._flow_hz: Floats = np.zeros((system.num_vehicle, system.num_class))

    def at(self, slot: int) -> Floats:
        """Return the bias in `slot`, [N, K], Hz; the same object until it changes. Slots only go forward."""
        vehicle_hz, jump_hz = self._of_vehicles.at(slot), self._timeline.bias_jump_hz(slot)
        if vehicle_hz is not self._vehicle_hz or jump_hz != self._jump_hz:
            self._vehicle_hz, self._jump_hz = vehicle_hz, jump_hz
            self._flow_hz = np.repeat((vehicle_hz + jump_hz)[:, np.newaxis], self._num_class, axis=1)
            freeze(self._flow_hz)
        return self._flow_hz


def _of_vehicles(name: str, kind: BiasParams, system: System, streams: Streams) -> BiasProcess:
    count = system.num_vehicle
    return BiasProcess(kind, count, system.slot_duration_s, partial(streams.of_vehicles, f"bias-{name}", count))


def _of_classes(name: str, kind: ServerBiasParams, system: System, streams: Streams) -> BiasProcess:
    count = system.num_class
    return BiasProcess(kind, count, system.slot_duration_s, partial(streams.of_classes, f"bias-{name}", count))
