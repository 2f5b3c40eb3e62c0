"""The static description of the physical system as arrays: what slot_step, the processes and the policies share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from physical.model import computing, energy, rate, units, workload
from physical.model.arrays import Array, namespace
from physical.nodes import at_own
from physical.params import (
    Bursts,
    Cost,
    CpuRule,
    Discipline,
    Gpu,
    Model,
    Objective,
    Radio,
    Server,
    TaskClass,
    Time,
    UplinkRule,
    Vehicles,
)
from physical.quantize import freeze
from physical.spectrum import Spectrum
from physical.work import ByteWork, LayerWork


class Crowd(NamedTuple):
    """How many vehicles there are.

    num_vehicle : in the whole run, N
    mean, most : at once
    """

    num_vehicle: int
    mean: float
    most: int

    @classmethod
    def steady(cls, num_vehicle: int) -> Crowd:
        """Return what holds where nobody enters or leaves."""
        return cls(num_vehicle, float(num_vehicle), num_vehicle)


@dataclass(frozen=True)
class System:
    """Constants of one system; N vehicles, K task classes, M serving nodes.

    Parameters
    ----------
    num_present : vehicles that are there at once, mean over a run; fewer than N where vehicles enter and leave
    cpu_hz : [N], vehicle CPU or GPU frequency f_v; with joint allocation the greatest
    kappa_vehicle : [N], W/Hz^3, switching capacitance of the vehicles
    transmit_power_w : [N]; with joint allocation the greatest, and `transmit_power_w_min` the least
    bandwidth_hz : [N], bandwidth of one vehicle's uplink; with joint allocation `node_bandwidth_hz` is what nodes share
    noise_w : noise power on `bandwidth_hz`
    noise_density_w_hz : W/Hz, noise power where the bandwidth is decided
    size_bytes_mean : [K], mean task size
    cycles_per_byte : [K]; of a transformer class those of its mean task at the first node
    deadline_s : [K]
    num_layer : [K], layers of a transformer class; 0 for other classes
    hidden_size, batch_size, bytes_per_token : [K]
    vehicle_flop_per_cycle, node_flop_per_cycle : [N], [M]
    node_hz : [M], capacity of each node's server
    node_kappa : [M], W/Hz^3
    node_num_core : [M]
    node_bandwidth_hz : [M], pool of each node
    servers : of the nodes
    model : reading of the equations
    cpu, uplink : how tasks of a vehicle share its CPU and its uplink, see `physical.params`
    objective : weights of P2, with V folded into those of the penalty
    cost : the objective in place of P2, or None
    time_unit_s, energy_unit_j : units T0, E0 in which `cost` counts
    slot_duration_s : s
    """

    num_present: float
    cpu_hz: Array
    kappa_vehicle: Array
    transmit_power_w: Array
    bandwidth_hz: Array
    noise_w: float
    noise_density_w_hz: float
    transmit_power_w_min: float
    size_bytes_mean: Array
    cycles_per_byte: Array
    deadline_s: Array
    num_layer: Array
    hidden_size: Array
    batch_size: Array
    bytes_per_token: Array
    vehicle_flop_per_cycle: Array
    node_flop_per_cycle: Array
    node_hz: Array
    node_kappa: Array
    node_num_core: Array
    node_bandwidth_hz: Array
    servers: tuple[Server, ...]
    model: Model
    cpu: CpuRule
    uplink: UplinkRule
    objective: Objective
    cost: Cost | None
    time_unit_s: float
    energy_unit_j: float
    slot_duration_s: float

    @property
    def num_vehicle(self) -> int:
        """Number of vehicles N."""
        return int(self.cpu_hz.shape[-1])

    @property
    def num_class(self) -> int:
        """Number of task classes K."""
        return int(self.deadline_s.shape[-1])

    @cached_property
    def num_node(self) -> int:
        """Number of serving nodes M."""
        return int(self.node_hz.shape[-1])

    @cached_property
    def server(self) -> Server:
        """The server that every node has.

        Raises
        ------
        ValueError : nodes have different servers; `node_hz`, `node_kappa` and `node_num_core` tell them apart
        """
        first = self.servers[0]
        if any(server != first for server in self.servers):
            raise ValueError("nodes have different servers; take what holds at each, such as node_hz")
        return first

    @property
    def discipline(self) -> Discipline:
        """Discipline of all servers: where there are several, they serve flows apart, "slices"."""
        return self.servers[0].discipline

    @cached_property
    def has_transformer(self) -> bool:
        """Whether some class is a transformer, which is split at whole layers."""
        return bool((self.num_layer > 0).any())

    @cached_property
    def work(self) -> ByteWork:
        """How tasks are cut, and what their parts take: anywhere, or between layers if some class is a transformer."""
        if not self.has_transformer:
            return ByteWork(self.cycles_per_byte, self.model.upload_rule)
        return LayerWork(
            self.cycles_per_byte,
            self.model.upload_rule,
            self.num_layer,
            self.hidden_size,
            self.batch_size,
            self.bytes_per_token,
            self.vehicle_flop_per_cycle,
            self.node_flop_per_cycle,
            literal=self.model.mode == "paper",
        )

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """What policies divide where they decide frequency, power and bandwidth of vehicles, too; else None."""
        if self.model.allocation != "joint":
            return None
        return Spectrum(
            self.node_bandwidth_hz,
            self.transmit_power_w_min,
            self.transmit_power_w,
            self.noise_density_w_hz,
            held_by_all=self.model.mode == "paper",
        )

    @property
    def joint(self) -> bool:
        """Whether policies decide the radio, too: there is a `spectrum`."""
        return self.spectrum is not None

    @property
    def cost_weights(self) -> tuple[float, float]:
        """Weights omega_t / T0 (1/s) and omega_e / E0 (1/J) of the weighted cost."""
        time_weight = 0.0 if self.cost is None else self.cost.time_weight
        return time_weight / self.time_unit_s, (1.0 - time_weight) / self.energy_unit_j

    @property
    def backlog_unit_bytes(self) -> float:
        """Q0 of notes: mean arrivals of one class in one slot, the unit in which the drift counts backlog."""
        return float(self.num_present * self.size_bytes_mean.mean())

    def uplink_rate_bps(self, channel_gain: Array) -> Array:
        """Return the uplink rates of all vehicles (eq. 2) in whole bit/s, [..., N].

        Whole, because the logarithm differs in its last digit from processor to processor, and traces must not.
        """
        rate_bps = rate.uplink_rate_bps(self.bandwidth_hz, self.transmit_power_w, channel_gain, self.noise_w)
        return namespace(rate_bps).round(rate_bps)

    def work_cycles(self, size_bytes: Array, node: Array | None) -> tuple[Array, Array]:
        """Return the work of whole tasks in cycles of their vehicle and of an edge server (`ByteWork.work_cycles`)."""
        return self.work.work_cycles(size_bytes, node)

    def upload_bytes(self, size_bytes: Array, offloading_ratio: Array, task_class: Array | None = None) -> Array:
        """Return what is sent of tasks (`ByteWork.upload_bytes`)."""
        return self.work.upload_bytes(size_bytes, offloading_ratio, task_class)

    def edge_speed_hz(self, compute_allocation_hz: Array, estimation_bias_hz: Array, node: Array | None) -> Array:
        """Return the speeds at which servers really run flows, [..., N, K], Hz.

        By the capacity rule "effective" those at a node sum to at most its capacity; by "alloc" they need not.

        compute_allocation_hz, estimation_bias_hz : [..., N, K], Hz
        node : [..., N], index of the serving node; None: there is one node
        """
        speed_hz = computing.edge_frequency_hz(compute_allocation_hz, estimation_bias_hz)
        if self.model.capacity_rule == "alloc":
            return speed_hz
        if node is None or self.num_node == 1:
            return computing.within_capacity_hz(speed_hz, self.server.frequency_hz)
        xp = namespace(speed_hz)
        for index in range(self.num_node):
            here = (node == index)[..., None]
            own_hz = computing.within_capacity_hz(xp.where(here, speed_hz, 0.0 * speed_hz), float(self.node_hz[index]))
            speed_hz = xp.where(here, own_hz, speed_hz)
        return speed_hz

    def edge_job_energy_j(self, cycles: Array, frequency_hz: Array, node: Array | None) -> Array:
        """Return the energy of jobs at the servers of their nodes, [..., N, K], J.

        cycles, frequency_hz : [..., N, K]
        node : [..., N], index of the serving node; None: there is one node
        """
        num_core, kappa = at_own(self.node_num_core, node), at_own(self.node_kappa, node)
        return energy.edge_job_energy_j(cycles, frequency_hz, num_core, kappa)

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
    servers: tuple[Server, ...],
    tasks: tuple[TaskClass, ...],
    objective: Objective,
    bursts: Bursts | None = None,
    cost: Cost | None = None,
    *,
    crowd: Crowd | None = None,
    sizes: Mapping[int, Array] | None = None,
) -> System:
    """Lay the parameter tables out as arrays.

    servers : those of the nodes
    crowd : how many vehicles there are; by default as many as `vehicles` tells, all the time
    sizes : class index -> equally likely sizes in its units, where they are not uniform in the class's range
    """
    crowd = crowd or Crowd.steady(vehicles.num_vehicle or 0)
    count = crowd.num_vehicle
    samples = {index: _sizes_of(task) for index, task in enumerate(tasks)} | dict(sizes or {})
    bandwidth_hz = radio.bandwidth_hz / (crowd.most if radio.bandwidth_sharing == "equal" else 1)
    noise_w = radio.noise_w
    if noise_w is None:
        noise_w = float(rate.noise_power_w(radio.noise_density_dbm_hz, bandwidth_hz, radio.noise_figure_db))
    system = System(
        num_present=crowd.mean,
        cpu_hz=np.resize(np.array(vehicles.cpu_hz, dtype=float), count),
        kappa_vehicle=np.resize(np.array(vehicles.kappa, dtype=float), count),
        transmit_power_w=np.full(count, vehicles.transmit_power_w),
        bandwidth_hz=np.full(count, bandwidth_hz),
        noise_w=noise_w,
        noise_density_w_hz=_noise_density_w_hz(radio, model),
        transmit_power_w_min=vehicles.transmit_power_w_min,
        size_bytes_mean=np.array([samples[i].mean() * task.bytes_per_unit for i, task in enumerate(tasks)])
        * _burst_factor(bursts),
        cycles_per_byte=np.array([task.cycles_per_byte or 0.0 for task in tasks]),
        deadline_s=np.array([task.deadline_s for task in tasks]),
        num_layer=_of_transformer(tasks, "num_layer"),
        hidden_size=_of_transformer(tasks, "hidden_size"),
        batch_size=_of_transformer(tasks, "batch_size"),
        bytes_per_token=np.array([float(task.bytes_per_unit) for task in tasks]),
        vehicle_flop_per_cycle=np.full(count, _flop_per_cycle(vehicles.gpu)),
        node_flop_per_cycle=np.array([_flop_per_cycle(server.gpu) for server in servers]),
        node_hz=np.array([server.frequency_hz for server in servers]),
        node_kappa=np.array([server.kappa for server in servers]),
        node_num_core=np.array([server.num_core for server in servers]),
        node_bandwidth_hz=np.full(len(servers), radio.bandwidth_hz),
        servers=servers,
        model=model,
        cpu=vehicles.cpu_rule(model.allocation),
        uplink=radio.uplink_rule(model.allocation),
        objective=objective.with_v_folded_in(),
        cost=cost,
        time_unit_s=1.0,
        energy_unit_j=1.0,
        slot_duration_s=time.slot_duration_s,
    )
    if system.has_transformer:
        system = _with_nominal_cycles(system)
    if cost is not None and cost.is_normalised(model.mode):
        system = _normalised(system, samples)
    freeze(
        *(value for field in dataclasses.fields(System) if isinstance(value := getattr(system, field.name), np.ndarray))
    )
    return system


def _burst_factor(bursts: Bursts | None) -> float:
    """Return by how much bursts make the mean task larger."""
    if bursts is None:
        return 1.0
    ratio = workload.burst_ratio(
        bursts.event_begin,
        bursts.event_end,
        bursts.burst_begin,
        bursts.burst_begin_in_event,
        bursts.burst_end,
    )
    return 1.0 + (bursts.size_factor - 1.0) * ratio


def _noise_density_w_hz(radio: Radio, model: Model) -> float:
    if model.mode == "paper" and radio.noise_density_paper_dbm_hz is not None:
        return float(units.dbm_to_w(radio.noise_density_paper_dbm_hz))
    return float(rate.noise_power_w(radio.noise_density_dbm_hz, 1.0, radio.noise_figure_db))


def _of_transformer(tasks: tuple[TaskClass, ...], name: str) -> Array:
    return np.array([0.0 if task.transformer is None else float(getattr(task.transformer, name)) for task in tasks])


def _flop_per_cycle(gpu: Gpu | None) -> float:
    return 1.0 if gpu is None else gpu.flop_per_clock_cycle


def _with_nominal_cycles(system: System) -> System:
    """Give transformer classes the cycles per byte of their mean task, in which queues convert backlog to bytes."""
    first = np.zeros(system.num_vehicle, dtype=np.int64)
    sizes = np.broadcast_to(system.size_bytes_mean, (system.num_vehicle, system.num_class))
    edge = system.work_cycles(sizes, first)[1][0]
    return dataclasses.replace(system, cycles_per_byte=edge / system.size_bytes_mean)


def _sizes_of(task: TaskClass) -> Array:
    """Return equally likely sizes with the mean of those in a class's range, in its units: all, if they are tokens."""
    low, high = task.units
    return np.array([low, high], dtype=float) if task.transformer is None else np.arange(low, high + 1.0)


def _normalised(system: System, samples: Mapping[int, Array]) -> System:
    """Count time and energy in those of the mean task, run locally at full speed."""
    time_s = np.zeros(system.num_class)
    energy_j = np.zeros(system.num_class)
    first = np.zeros(system.num_vehicle, dtype=np.int64)
    for index, units_ in samples.items():
        num_unit, times = np.unique(units_, return_counts=True)
        sizes = (num_unit * system.bytes_per_token[index])[:, np.newaxis, np.newaxis]
        work = system.work_cycles(np.broadcast_to(sizes, (sizes.size, system.num_vehicle, system.num_class)), first)
        cycles = np.average(work[0][..., index], axis=0, weights=times)
        time_s[index] = computing.execution_delay_s(cycles, system.cpu_hz).mean()
        energy_j[index] = energy.local_energy_j(cycles, system.cpu_hz, system.kappa_vehicle).mean()
    return dataclasses.replace(system, time_unit_s=float(time_s.mean()), energy_unit_j=float(energy_j.mean()))
