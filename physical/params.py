"""Frozen, validated parameters of the physical world, one class per table of a scenario file.

Every quantity carries its unit in its name; a scenario may write a number in that unit or a text such as ``"20 MHz"``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from physical import quantity
from physical.errors import InputError
from physical.model import channel, transformer
from physical.plane.ticks import NS_PER_S, to_ns

Mode = Literal["paper", "corrected"]
TaskOrder = Literal["sequential", "parallel"]
UploadRule = Literal["proportional", "whole", "always"]
CapacityRule = Literal["alloc", "effective"]
EdgeEnergyRule = Literal["power", "energy", "job"]
AllocationRule = Literal["compute", "joint"]
HandoverRule = Literal["forward", "finish", "drop"]
Discipline = Literal["slices", "fifo"]
CpuRule = Literal["per-task", "in-turn", "sharing"]
UplinkRule = Literal["each", "in-turn", "sharing"]


class Params(BaseModel):
    """Base of all parameter types: immutable, and an unknown key is an error; a validator is built when it is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)


def _as_in_turn(value: object) -> object:
    """Read the name that scenarios of before have for "in-turn"."""
    return "in-turn" if value == "shared" else value


def _as_clock_counts(duration_s: float) -> float:
    return to_ns(duration_s) / NS_PER_S


class Time(Params):
    """Slots: their number, by default that of a trace of mobility or requests, and length (the paper gives neither).

    slot_duration_s : in whole ns, as the clock counts; others are rounded, so that the joules and rates of a slot are
        those of the slot that runs
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

    upload : bytes charged to the uplink: offloaded part; all if anything is offloaded; all in any case (literal eq. 9)
    capacity : what sums to at most the server: allocations plus biases (literal eq. 24c), or true edge speeds
    edge_energy : eq. 15 is a power; add its number to joules (literal), or multiply it by the slot; "job" counts
        kappa f^2 cycles of every job instead (eq. 8 of 'llm6g')
    allocation : what policies decide besides the split and the server's shares: nothing ("compute"), or also each
        vehicle's frequency, transmit power and bandwidth ("joint")
    handover : what becomes of a vehicle's work at a node that it leaves: it moves to the next node ("forward"), the old
        node finishes what has arrived, at the frequency of that moment ("finish"), or it is lost ("drop")
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
    """What a GPU computes in one cycle of its clock (eqs. 1 and 6 of 'llm6g': C cores, D FLOP per cycle and core).

    utilisation : part of the peak that transformer layers reach
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

    num_vehicle : at once; not given where a mobility trace tells it
    cpu_hz, kappa : one value for all, or a list that vehicles take in turn; with joint allocation `cpu_hz` is the
        greatest frequency
    gpu : needed by transformer tasks, and then its clock is `cpu_hz`
    transmit_power_w : with joint allocation the greatest
    cpu : "per-task" gives every local task a whole CPU of its own (eq. 7); "in-turn" runs them one after the other,
        first come, first served; "sharing" lets n running tasks have 1/n of its time each. By default "sharing", with
        joint allocation "in-turn"
    report_interval : slots from one state report to the next
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


class Mobility(Params):
    """How vehicles move.

    highway : lanes along x through the origin, half of them each way; see `ends`
    straight : same start, no wrap-around
    stationary : same start, no motion
    area : uniform start in a square around the origin, along one of the two axes, wrapping around at its sides
    trace : as `file` says: SUMO FCD, or a canonical file of ``twin import``; vehicles enter and leave

    begin_s : time of the trace at which the run begins; by default the earliest
    ends : of a highway. "wrap": who reaches an end goes on at the other one; "renew": it leaves, and another vehicle
        enters its lane, with its own number, speed and channel: `vehicles.num_vehicle` are there at all times
    """

    kind: Literal["highway", "straight", "stationary", "area", "trace"] = "highway"
    file: str | None = None
    begin_s: quantity.TraceSeconds | None = None
    length_m: quantity.RoadMetres = 1000.0
    num_lane: quantity.NumLane = 4
    lane_width_m: quantity.Metres = 3.5
    speed_mps: quantity.SpeedRange = (10.0, 15.0)
    ends: Literal["wrap", "renew"] = "wrap"

    @model_validator(mode="after")
    def _check(self) -> Mobility:
        low, high = self.speed_mps
        if (self.file is None) == (self.kind == "trace"):
            problem = "is missing" if self.file is None else "is read by kind trace only"
            raise InputError(problem, key="file", accepted='a file, with kind = "trace"')
        if not 0 <= low <= high:
            raise ValueError(f"speed_mps {[low, high]} is not a range with 0 <= low <= high")
        if self.ends == "renew" and self.kind != "highway":
            raise InputError("'renew' needs a road with ends", key="ends", accepted='wrap; "renew" with kind highway')
        return self


class Radio(Params):
    """Uplink and channel, eqs. 2-4.

    bandwidth_hz : of one vehicle; with joint allocation the pool of one serving node
    bandwidth_sharing : "each" vehicle has the whole bandwidth (eq. 2), or "equal" parts of it
    uplink : "each" upload of a vehicle has its whole rate (eq. 9); "in-turn" sends them one after the other, first
        come, first served; "sharing" gives n uploads 1/n of the rate each. By default "sharing", with joint allocation
        "in-turn"
    noise_w : noise power on the whole bandwidth of a vehicle (Table I), or None to use the density
    noise_density_paper_dbm_hz : density in mode "paper", without a noise figure; None keeps the other
    association : the serving node of a vehicle is the nearest one, or that with the least path loss and shadowing
    hysteresis_m, hysteresis_db : by how much another node must be nearer, or better, before a vehicle changes to it
    range_m : beyond this distance a node does not serve; None: everywhere
    rate_file : trace of uplink rates (``twin import link``) that takes the place of the channel
    path_loss_intercept_db : path loss at 1 km; None follows the carrier, see `intercept_db`
    fading : "rayleigh" is the Gauss-Markov process of eq. 4; "none" leaves large-scale fading only
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
    """Where the base station stands, in the plane of the road."""

    position_m: tuple[quantity.PlaceMetres, quantity.PlaceMetres] = (0.0, 20.0)


class Server(Params):
    """Edge server: capacity f_E, cores N_E, switching capacitance (eq. 15) and queue discipline.

    slices : each vehicle-class flow is served at its own allocated rate, first come first served inside the flow
    fifo : one queue per class, served in arrival order at the sum of its allocations (eq. 5)
    """

    frequency_hz: quantity.CpuHertz
    num_core: quantity.NumCore = 1
    kappa: quantity.Kappa
    gpu: Gpu | None = None
    discipline: Discipline = "slices"


class Rsu(Params):
    """A roadside unit: a serving node with a server and a bandwidth pool of its own.

    server : by default the scenario's
    """

    name: Annotated[str, Field(min_length=1)]
    position_m: tuple[quantity.PlaceMetres, quantity.PlaceMetres]
    server: Server | None = None


class Transformer(Params):
    """A language model that is split between vehicle and edge at a whole layer (section II-A of 'llm6g')."""

    num_layer: quantity.NumLayer = 32
    hidden_size: quantity.HiddenSize = 4096
    batch_size: quantity.BatchSize = 1
    bits_per_activation: quantity.NumBit = 16

    @property
    def bytes_per_token(self) -> int:
        """Activations of one token between two layers, bytes."""
        return int(transformer.activation_bytes(1, self.hidden_size, self.batch_size, self.bits_per_activation))


class Requests(Params):
    """Prompts of a request trace (``twin import requests``) instead of one for every vehicle and slot.

    speed : the trace runs this much faster than the run
    begin_s : time of the trace at which the run begins
    """

    file: str
    speed: quantity.Factor = 1.0
    begin_s: quantity.TraceSeconds = 0.0


class TaskClass(Params):
    """One of the K task types: a task of it appears at every vehicle in every slot.

    size_bytes : range, uniform in whole bytes
    transformer : the task is a prompt of `num_token` tokens (a range, uniform) instead; its size is that of the
        activations between two layers, and `size_bytes` and `cycles_per_byte` must be absent
    """

    name: Annotated[str, Field(min_length=1)]
    size_bytes: quantity.SizeRange | None = None
    cycles_per_byte: quantity.CyclesPerByte | None = None
    num_token: quantity.TokenRange | None = None
    transformer: Transformer | None = None
    requests: Requests | None = None
    deadline_s: quantity.Period

    @model_validator(mode="after")
    def _check(self) -> TaskClass:
        needed = {"size_bytes", "cycles_per_byte"} if self.transformer is None else {"num_token"}
        if self.requests is not None:
            if self.transformer is None:
                raise InputError("belongs to a transformer task", key="requests")
            needed = set()
        for key in ("size_bytes", "cycles_per_byte", "num_token"):
            given = getattr(self, key) is not None
            if given and key not in needed:
                kind = "a task without a transformer" if self.transformer is None else "a transformer task"
                kind = "a task of a request trace" if self.requests is not None else kind
                accepted = ", ".join(sorted(needed)) or "nothing more"
                raise InputError(f"does not belong to {kind}", key=key, accepted=accepted)
            if not given and key in needed:
                raise InputError("is missing", key=key)
        low, high = self.units
        if not 0 < low <= high or low != int(low) or high != int(high):
            key, unit = ("size_bytes", "bytes") if self.transformer is None else ("num_token", "tokens")
            raise ValueError(f"{key} {[low, high]} is not a range of whole {unit} with 0 < low <= high")
        return self

    @property
    def units(self) -> tuple[float, float]:
        """Least and greatest size in units, bytes or tokens; a request trace has its own."""
        if self.requests is not None:
            return (1, 1)
        given = self.size_bytes if self.transformer is None else self.num_token
        assert given is not None
        return given

    @property
    def bytes_per_unit(self) -> int:
        """Bytes of one unit of size."""
        return 1 if self.transformer is None else self.transformer.bytes_per_token


class Bursts(Params):
    """Bursty tasks: events that concern everybody come and go, and vehicles burst more often while one lasts.

    Probabilities are per slot. A vehicle in a burst makes tasks `size_factor` as large.
    """

    event_begin: quantity.Probability
    event_end: quantity.Probability
    burst_begin: quantity.Probability
    burst_begin_in_event: quantity.Probability
    burst_end: quantity.PositiveProbability
    size_factor: quantity.Factor


class Objective(Params):
    """Weights of P2 (eq. 24): beta * drift + V * (deadline_price * misses + energy_weight * E - qos_weight * QoS).

    beta : weight of the drift, as in the paper
    v : weight V of the penalty, as in the drift-plus-penalty literature; only V / beta matters for decisions
    qos_floor : least QoS of a task in what a run realises, in mode "corrected" (-1: a task at twice its deadline); a
        task that is later, dropped, or in flight and overdue beyond it counts with it. Decisions do not know it
    """

    qos_weight: quantity.Weight = 1.0
    energy_weight: quantity.Weight = 1.0
    deadline_price: quantity.Weight = 0.0
    beta: quantity.Weight = 1.0
    v: quantity.Weight = 1.0
    qos_floor: quantity.QosFloor = -1.0

    def with_v_folded_in(self) -> Objective:
        """Return the same objective with V = 1 and the penalty's weights multiplied by V."""
        weights = {name: self.v * getattr(self, name) for name in ("qos_weight", "energy_weight", "deadline_price")}
        return self.model_copy(update={**weights, "v": 1.0})


class Cost(Params):
    """Weighted cost of time and energy (eq. 10 of 'llm6g'); given, it is the objective in place of P2.

    time_weight : omega_t; that of energy is omega_e = 1 - omega_t
    normalise : count time and energy in units of the mean task that is run locally at full speed; the paper adds
        seconds to joules. By default true in mode "corrected" and false in mode "paper"
    """

    time_weight: quantity.TimeWeight = 0.5
    normalise: bool | None = None

    def is_normalised(self, mode: Mode) -> bool:
        """Whether time and energy are counted in units of the mean local task."""
        return mode == "corrected" if self.normalise is None else self.normalise
