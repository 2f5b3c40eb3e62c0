"""The static description of the physical system as arrays: what slot_step, the processes and the policies share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from physical.model import rate, workload
from physical.model.arrays import Array, namespace
from physical.params import Bursts, Model, Objective, Radio, Server, TaskClass, Time, Vehicles
from physical.quantize import freeze


@dataclass(frozen=True)
class System:
    """Constants of one system; N vehicles, K task classes.

    Parameters
    ----------
    cpu_hz : [N], vehicle CPU frequency f_v
    kappa_vehicle : [N], W/Hz^3, switching capacitance of the vehicles
    transmit_power_w : [N]
    bandwidth_hz : [N], bandwidth of one vehicle's uplink
    noise_w : noise power on that bandwidth
    size_bytes_mean : [K], mean task size
    cycles_per_byte, deadline_s : [K]
    server : capacity, cores, switching capacitance
    model : reading of the equations
    objective : weights of P2, with V folded into those of the penalty
    slot_duration_s : s
    """

    cpu_hz: Array
    kappa_vehicle: Array
    transmit_power_w: Array
    bandwidth_hz: Array
    noise_w: float
    size_bytes_mean: Array
    cycles_per_byte: Array
    deadline_s: Array
    server: Server
    model: Model
    objective: Objective
    slot_duration_s: float

    @property
    def num_vehicle(self) -> int:
        """Number of vehicles N."""
        return int(self.cpu_hz.shape[-1])

    @property
    def num_class(self) -> int:
        """Number of task classes K."""
        return int(self.deadline_s.shape[-1])

    @property
    def backlog_unit_bytes(self) -> float:
        """Q0 of notes: mean arrivals of one class in one slot, the unit in which the drift counts backlog."""
        return float(self.num_vehicle * self.size_bytes_mean.mean())

    def uplink_rate_bps(self, channel_gain: Array) -> Array:
        """Return the uplink rates of all vehicles (eq. 2) in whole bit/s, [..., N].

        Whole, because the logarithm differs in its last digit from processor to processor, and traces must not.
        """
        rate_bps = rate.uplink_rate_bps(self.bandwidth_hz, self.transmit_power_w, channel_gain, self.noise_w)
        return namespace(rate_bps).round(rate_bps)

    def map_arrays(self, convert: Callable[[Array], Array]) -> System:
        """Return the system with every array converted, for example by ``torch.tensor``."""
        arrays = {
            field.name: convert(value)
            for field in dataclasses.fields(self)
            if hasattr(value := getattr(self, field.name), "shape")
        }
        return dataclasses.replace(self, **arrays)


def build_system(
    time: Time,
    model: Model,
    vehicles: Vehicles,
    radio: Radio,
    server: Server,
    tasks: tuple[TaskClass, ...],
    objective: Objective,
    bursts: Bursts | None = None,
) -> System:
    """Lay the parameter tables out as arrays."""
    count = vehicles.num_vehicle
    bandwidth_hz = radio.bandwidth_hz / (count if radio.bandwidth_sharing == "equal" else 1)
    noise_w = radio.noise_w
    if noise_w is None:
        noise_w = float(rate.noise_power_w(radio.noise_density_dbm_hz, bandwidth_hz, radio.noise_figure_db))
    burst_factor = 1.0
    if bursts is not None:
        ratio = workload.burst_ratio(
            bursts.event_begin,
            bursts.event_end,
            bursts.burst_begin,
            bursts.burst_begin_in_event,
            bursts.burst_end,
        )
        burst_factor += (bursts.size_factor - 1.0) * ratio
    system = System(
        cpu_hz=np.resize(np.array(vehicles.cpu_hz, dtype=float), count),
        kappa_vehicle=np.resize(np.array(vehicles.kappa, dtype=float), count),
        transmit_power_w=np.full(count, vehicles.transmit_power_w),
        bandwidth_hz=np.full(count, bandwidth_hz),
        noise_w=noise_w,
        size_bytes_mean=np.array([0.5 * sum(task.size_bytes) for task in tasks]) * burst_factor,
        cycles_per_byte=np.array([task.cycles_per_byte for task in tasks]),
        deadline_s=np.array([task.deadline_s for task in tasks]),
        server=server,
        model=model,
        objective=objective.with_v_folded_in(),
        slot_duration_s=time.slot_duration_s,
    )
    freeze(
        *(value for field in dataclasses.fields(System) if isinstance(value := getattr(system, field.name), np.ndarray))
    )
    return system
