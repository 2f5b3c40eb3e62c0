"""Frozen, validated parameters of the physical world, one class per table of a scenario file.

Every quantity carries its unit in its name; a scenario may write a number in that unit or a text such as ``"20 MHz"``.
A line ``key : meaning [source]`` below a class's summary says what a key is; `sim.scenario.keys` reads it for
``twin keys``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from physical import quantity
from physical.model import channel
from physical.params_base import (
    AllocationRule,
    CapacityRule,
    CpuRule,
    Discipline,
    EdgeEnergyRule,
    HandoverRule,
    Mode,
    Params,
    TaskOrder,
    UplinkRule,
    UploadRule,
)
from physical.params_work import Bursts, Cost, Objective, Requests, TaskClass, Transformer
from physical.ticks import NS_PER_S, to_ns

__all__ = (
    "AllocationRule",
    "BaseStation",
    "Bursts",
    "CapacityRule",
    "Cost",
    "CpuRule",
    "Discipline",
    "EdgeEnergyRule",
    "Gpu",
    "HandoverRule",
    "Mode",
    "Model",
    "Objective",
    "Params",
    "Radio",
    "Requests",
    "Rsu",
    "Server",
    "TaskClass",
    "TaskOrder",
    "Time",
    "Transformer",
    "UplinkRule",
    "UploadRule",
    "Vehicles",
)


def _as_in_turn(value: object) -> object:
    """Read the name that scenarios of before have for "in-turn"."""
    return "in-turn" if value == "shared" else value


def _as_clock_counts(duration_s: float) -> float:
    return to_ns(duration_s) / NS_PER_S


class Time(Params):
    """Slots: how long one is, and how many a run has.

    slot_duration_s : length of a slot, in whole ns as the clock counts: others are rounded, so that the joules and
        rates of a slot are those of the slot that runs [our choice, dtecn eq. 4 (Delta t)]
    num_slot : number of slots of a run; by default that of the shortest trace of mobility or requests that it takes,
        and without one 1000 [our choice]
    """

    slot_duration_s: Annotated[quantity.Period, AfterValidator(_as_clock_counts)] = 0.1
    num_slot: quantity.NumSlot = 1000


class Model(Params):
    """Which reading of the equations holds; `upload`, `capacity` and `edge_energy` default to those of `mode`.

    ======== ============ ========== ===========
    mode     upload       capacity   edge_energy
    ======== ============ ========== ===========
    paper    always       alloc      power
    corrected proportional effective energy
    ======== ============ ========== ===========

    mode : "paper" takes the equations literally; "corrected" mends units, and what no hardware does [our choice]
    order : "sequential" uploads after the local part, so that the delays add up; "parallel" does both at once, and the
        longer one counts [dtecn eq. 10]
    upload : bytes charged to the uplink: the offloaded part ("proportional"), all if anything is offloaded ("whole"),
        or all in any case ("always", literal) [dtecn eq. 9]
    capacity : what sums to at most the server's frequency: allocations plus biases ("alloc", literal), or the true
        speeds of the flows ("effective") [dtecn eq. 24]
    edge_energy : the server's power is added to joules as it is ("power", literal) or times the slot ("energy"); "job"
        counts the kappa f^2 cycles of every job instead [dtecn eq. 15, llm6g eq. 8]
    allocation : what policies decide besides the split and the server's shares: nothing ("compute"), or also each
        vehicle's frequency, transmit power and bandwidth ("joint") [llm6g eq. 10]
    handover : what becomes of a vehicle's work at a node that it leaves: it moves to the next node ("forward"), the old
        node finishes what has arrived, at the frequency of that moment ("finish"), or it is lost ("drop") [our choice]
    """

    mode: Mode = "corrected"
    order: TaskOrder = "sequential"
    upload: UploadRule | None = None
    capacity: CapacityRule | None = None
    edge_energy: EdgeEnergyRule | None = None
    allocation: AllocationRule = "compute"
    handover: HandoverRule = "forward"

    @property
    def upload_rule(self) -> UploadRule:
        """Uplink rule in force."""
        return self.upload or ("always" if self.mode == "paper" else "proportional")

    @property
    def capacity_rule(self) -> CapacityRule:
        """Capacity rule in force."""
        return self.capacity or ("alloc" if self.mode == "paper" else "effective")

    @property
    def edge_energy_rule(self) -> EdgeEnergyRule:
        """Edge energy rule in force."""
        return self.edge_energy or ("power" if self.mode == "paper" else "energy")


class Gpu(Params):
    """What a GPU computes in one cycle of its clock.

    num_core : cores of the GPU [llm6g eq. 1 (C), llm6g eq. 6]
    flop_per_cycle : floating-point operations of one core in one cycle [llm6g eq. 1 (D), llm6g eq. 6]
    utilisation : part of the peak that transformer layers reach [our choice]
    """

    num_core: quantity.NumCore
    flop_per_cycle: quantity.FlopPerCycle
    utilisation: quantity.PositiveProbability = 1.0

    @property
    def flop_per_clock_cycle(self) -> float:
        """C D times the utilisation, FLOP/cycle."""
        return self.num_core * self.flop_per_cycle * self.utilisation


class Vehicles(Params):
    """The fleet.

    num_vehicle : vehicles that are there at once; not given where a mobility trace tells it [dtecn sec. III (N), llm6g
        sec. IV-A]
    cpu_hz : frequency of a vehicle's CPU, or of its GPU for transformer tasks: one for all, or a list that vehicles
        take in turn; with joint allocation the greatest [dtecn eq. 7 (f_v), dtecn Table I, llm6g eq. 1 (f_n)]
    kappa : switching capacitance of a vehicle's chip, whose power is kappa f^3: one for all, or a list that vehicles
        take in turn [dtecn eq. 14, dtecn Table I, llm6g eq. 2 (kappa_1)]
    gpu : the GPU of every vehicle, which transformer tasks need; its clock is `cpu_hz`
    transmit_power_w : power with which a vehicle sends; with joint allocation the greatest [dtecn eq. 2 (p_n), dtecn
        Table I, llm6g eq. 10 (p_max), llm6g sec. IV-A]
    transmit_power_w_min : least power with which a vehicle sends, with joint allocation [our choice]
    cpu : how local tasks of a vehicle use its CPU: "per-task" gives every one a whole CPU of its own; "in-turn" runs
        them one after the other, first come, first served; "sharing" lets n running tasks have 1/n of its time each. By
        default "sharing", with joint allocation "in-turn" [dtecn eq. 7]
    report_interval : slots from one state report of a vehicle to the next [our choice]
    """

    num_vehicle: quantity.NumVehicle | None = None
    cpu_hz: quantity.HertzCycle
    kappa: quantity.KappaCycle
    gpu: Gpu | None = None
    transmit_power_w: quantity.Watts
    transmit_power_w_min: quantity.Watts = 0.01
    cpu: Annotated[CpuRule | None, BeforeValidator(_as_in_turn)] = None
    report_interval: quantity.NumSlot = 1

    def cpu_rule(self, allocation: AllocationRule) -> CpuRule:
        """Return how local tasks share the CPU."""
        return self.cpu or ("in-turn" if allocation == "joint" else "sharing")


class Radio(Params):
    """Uplink and channel.

    bandwidth_hz : bandwidth of a vehicle's uplink, see `bandwidth_sharing`; with joint allocation the pool of one
        serving node, which policies divide [dtecn eq. 2 (w), dtecn Table I, llm6g eq. 10 (b_max), llm6g sec. IV-A]
    bandwidth_sharing : "each" vehicle has the whole bandwidth, or "equal" parts of it, as many as there are vehicles at
        once at most [dtecn eq. 2]
    uplink : how uploads of a vehicle use its rate: "each" has the whole rate; "in-turn" sends them one after the other,
        first come, first served; "sharing" gives n uploads 1/n of the rate each. By default "sharing", with joint
        allocation "in-turn" [dtecn eq. 9]
    noise_w : noise power on the whole bandwidth of a vehicle; by default it follows from the density. Joint allocation
        always takes the density [dtecn eq. 2 (rho^2), dtecn Table I]
    noise_density_dbm_hz : noise power density, to which the noise figure is added; -174 is thermal noise [our choice]
    noise_figure_db : what the receiver adds to the noise density [our choice]
    noise_density_paper_dbm_hz : noise density that takes the place of density and figure in mode "paper", with joint
        allocation; by default they stay [llm6g eq. 3 (sigma^2), llm6g sec. IV-A]
    carrier_hz : carrier frequency: it sets how fast fading changes, and the default of the path loss at 1 km [dtecn eq.
        4 (f_c), dtecn Table I]
    path_loss_intercept_db : path loss at 1 km; by default it follows the carrier: 128.1 + 21 log10(f / 2 GHz) [dtecn
        eq. 3, llm6g sec. IV-A, 3GPP TR 36.942]
    path_loss_slope_db : path loss that ten times the distance adds [dtecn eq. 3, llm6g sec. IV-A]
    distance_m_min : who is nearer to an antenna has the path loss of this distance [our choice]
    shadowing_std_db : standard deviation of the shadowing, log-normal [dtecn eq. 3, llm6g sec. IV-A]
    shadowing_decorrelation_m : way after which the correlation of a vehicle's shadowing has fallen to 1/e [our choice,
        Gudmundson]
    fading : "rayleigh" is the Gauss-Markov process; "none" leaves path loss and shadowing only [dtecn eq. 4]
    association : a vehicle's serving node is the "nearest" one, or that with the least path loss and shadowing
        ("best-channel") [our choice, llm6g sec. IV-A]
    hysteresis_m : by how much another node must be nearer before a vehicle changes to it; with "nearest" [our choice]
    hysteresis_db : by how much another node must be better before a vehicle changes to it; with "best-channel" [our
        choice]
    range_m : distance beyond which a node does not serve; by default it serves everywhere [our choice]
    rate_file : trace of uplink rates (``twin import link``) that takes the place of the channel; relative to the
        scenario's file
    """

    bandwidth_hz: quantity.BandwidthHertz
    bandwidth_sharing: Literal["each", "equal"] = "each"
    uplink: UplinkRule | None = None
    noise_w: quantity.NoiseWatts | None = None
    noise_density_dbm_hz: quantity.NoiseDensity = -174.0
    noise_figure_db: quantity.NoiseFigureDecibels = 9.0
    noise_density_paper_dbm_hz: quantity.NoiseDensity | None = None
    carrier_hz: quantity.CarrierHertz = 2e9
    path_loss_intercept_db: quantity.PathLossDecibels | None = None
    path_loss_slope_db: quantity.SlopeDecibels = 37.6
    distance_m_min: quantity.Metres = 10.0
    shadowing_std_db: quantity.MarginDecibels = 8.0
    shadowing_decorrelation_m: quantity.Metres = 50.0
    fading: Literal["rayleigh", "none"] = "rayleigh"
    association: Literal["nearest", "best-channel"] = "nearest"
    hysteresis_m: quantity.MarginMetres = 0.0
    hysteresis_db: quantity.MarginDecibels = 0.0
    range_m: quantity.Metres | None = None
    rate_file: str | None = None

    @property
    def intercept_db(self) -> float:
        """Path loss at 1 km, dB: as given, else ``128.1 + 21 log10(f / 2 GHz)``."""
        if self.path_loss_intercept_db is not None:
            return self.path_loss_intercept_db
        return float(channel.path_loss_intercept_db(self.carrier_hz))

    def uplink_rule(self, allocation: AllocationRule) -> UplinkRule:
        """Return how uploads of a vehicle share its uplink."""
        return self.uplink or ("in-turn" if allocation == "joint" else "sharing")


class BaseStation(Params):
    """Where the base station stands, in the plane of the road.

    position_m : x and y of the base station [our choice]
    """

    position_m: tuple[quantity.PlaceMetres, quantity.PlaceMetres] = (0.0, 20.0)


class Server(Params):
    """The server of a serving node.

    frequency_hz : frequency of all cores together, which policies divide; of a GPU its clock [dtecn eq. 5 (f_E), dtecn
        Table I, llm6g eq. 10 (f_max)]
    num_core : cores among which the frequency is divided evenly, in the formula of the energy [dtecn eq. 15 (N_E),
        dtecn Table I]
    kappa : switching capacitance of a core, whose power is kappa f^3 [dtecn eq. 15, dtecn Table I, llm6g eq. 8
        (kappa_2)]
    gpu : the GPU of the server, which transformer tasks need; its clock is `frequency_hz`
    discipline : "slices" serves each flow, the tasks of a vehicle and class, at its own allocated rate, first come,
        first served inside the flow; "fifo" has one queue per class, served in the order of arrival at the sum of its
        allocations [dtecn eq. 9, dtecn eq. 5]
    """

    frequency_hz: quantity.CpuHertz
    num_core: quantity.NumCore = 1
    kappa: quantity.Kappa
    gpu: Gpu | None = None
    discipline: Discipline = "slices"


class Rsu(Params):
    """A roadside unit: a serving node with a server and a bandwidth pool of its own.

    name : name of the roadside unit, in traces and in timed events
    position_m : x and y of the roadside unit [our choice, llm6g sec. IV-A]
    server : the server of the roadside unit; by default as `server` of the scenario says
    """

    name: Annotated[str, Field(min_length=1)]
    position_m: tuple[quantity.PlaceMetres, quantity.PlaceMetres]
    server: Server | None = None
