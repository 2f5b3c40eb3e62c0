"""Frozen, validated parameters of the physical world, one class per table of a scenario file.

Every quantity carries its unit in its name; a scenario may write a number in that unit or a text such as ``"20 MHz"``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from physical.quantity import Bytes, Cycles, Decibels, Hertz, Metres, MetresPerSecond, Seconds, Watts

Mode = Literal["paper", "corrected"]
TaskOrder = Literal["sequential", "parallel"]
UploadRule = Literal["proportional", "whole", "always"]
CapacityRule = Literal["alloc", "effective"]
EdgeEnergyRule = Literal["power", "energy"]
Discipline = Literal["slices", "fifo"]


class Params(BaseModel):
    """Base of all parameter types: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def _as_range(value: object) -> object:
    """Read a single value as the range that holds only it."""
    return (value, value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else value


SizeRange = Annotated[tuple[Bytes, Bytes], BeforeValidator(_as_range)]
SpeedRange = Annotated[tuple[MetresPerSecond, MetresPerSecond], BeforeValidator(_as_range)]
# A value per vehicle type, used in turn: vehicle n has entry n mod len.
HertzCycle = Annotated[tuple[Annotated[Hertz, Field(gt=0)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]
KappaCycle = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(_as_tuple)]


class Time(Params):
    """Slots: their number and length (the paper gives neither; we use 100 ms)."""

    slot_duration_s: Annotated[Seconds, Field(gt=0)] = 0.1
    num_slot: Annotated[int, Field(ge=1)] = 1000


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
    edge_energy : eq. 15 is a power; add its number to joules (literal), or multiply it by the slot
    """

    mode: Mode = "corrected"
    order: TaskOrder = "sequential"
    upload: UploadRule | None = None
    capacity: CapacityRule | None = None
    edge_energy: EdgeEnergyRule | None = None

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


class Vehicles(Params):
    """The fleet.

    cpu_hz, kappa : one value for all, or a list that vehicles take in turn
    cpu : "per-task" gives each of the K local tasks the whole CPU (eq. 7); "shared" runs them in turn
    report_interval : slots from one state report to the next
    """

    num_vehicle: Annotated[int, Field(ge=1)]
    cpu_hz: HertzCycle
    kappa: KappaCycle
    transmit_power_w: Annotated[Watts, Field(gt=0)]
    cpu: Literal["per-task", "shared"] = "per-task"
    report_interval: Annotated[int, Field(ge=1)] = 1


class Mobility(Params):
    """How vehicles move.

    highway : lanes along x through the origin, half of them each way, wrapping around inside the coverage area
    straight : same start, no wrap-around
    stationary : same start, no motion
    """

    kind: Literal["highway", "straight", "stationary"] = "highway"
    length_m: Annotated[Metres, Field(gt=0)] = 1000.0
    num_lane: Annotated[int, Field(ge=1)] = 4
    lane_width_m: Annotated[Metres, Field(gt=0)] = 3.5
    speed_mps: SpeedRange = (10.0, 15.0)

    @model_validator(mode="after")
    def _check(self) -> Mobility:
        low, high = self.speed_mps
        if not 0 <= low <= high:
            raise ValueError(f"speed_mps {[low, high]} is not a range with 0 <= low <= high")
        return self


class Radio(Params):
    """Uplink and channel, eqs. 2-4.

    bandwidth_sharing : "each" vehicle has the whole bandwidth (eq. 2), or "equal" parts of it
    noise_w : noise power on the whole bandwidth of a vehicle (Table I), or None to use the density
    fading : "rayleigh" is the Gauss-Markov process of eq. 4; "none" leaves large-scale fading only
    """

    bandwidth_hz: Annotated[Hertz, Field(gt=0)]
    bandwidth_sharing: Literal["each", "equal"] = "each"
    noise_w: Annotated[Watts, Field(gt=0)] | None = None
    noise_density_dbm_hz: float = -174.0
    noise_figure_db: Decibels = 9.0
    carrier_hz: Annotated[Hertz, Field(gt=0)] = 2e9
    path_loss_intercept_db: Decibels = 128.1
    path_loss_slope_db: Annotated[Decibels, Field(ge=0)] = 37.6
    distance_m_min: Annotated[Metres, Field(gt=0)] = 10.0
    shadowing_std_db: Annotated[Decibels, Field(ge=0)] = 8.0
    shadowing_decorrelation_m: Annotated[Metres, Field(gt=0)] = 50.0
    fading: Literal["rayleigh", "none"] = "rayleigh"


class BaseStation(Params):
    """Where the base station stands, in the plane of the road."""

    position_m: tuple[Metres, Metres] = (0.0, 20.0)


class Server(Params):
    """Edge server: capacity f_E, cores N_E, switching capacitance (eq. 15) and queue discipline.

    slices : each vehicle-class flow is served at its own allocated rate, first come first served inside the flow
    fifo : one queue per class, served in arrival order at the sum of its allocations (eq. 5)
    """

    frequency_hz: Annotated[Hertz, Field(gt=0)]
    num_core: Annotated[int, Field(ge=1)]
    kappa: Annotated[float, Field(ge=0)]
    discipline: Discipline = "slices"


class TaskClass(Params):
    """One of the K task types: a task of it appears at every vehicle in every slot, its size uniform in whole bytes."""

    name: Annotated[str, Field(min_length=1)]
    size_bytes: SizeRange
    cycles_per_byte: Annotated[Cycles, Field(gt=0)]
    deadline_s: Annotated[Seconds, Field(gt=0)]

    @model_validator(mode="after")
    def _check(self) -> TaskClass:
        low, high = self.size_bytes
        if not 0 < low <= high or low != int(low) or high != int(high):
            raise ValueError(f"size_bytes {[low, high]} is not a range of whole bytes with 0 < low <= high")
        return self


Probability = Annotated[float, Field(ge=0, le=1)]


class Bursts(Params):
    """Bursty tasks: events that concern everybody come and go, and vehicles burst more often while one lasts.

    Probabilities are per slot. A vehicle in a burst makes tasks `size_factor` as large.
    """

    event_begin: Probability
    event_end: Probability
    burst_begin: Probability
    burst_begin_in_event: Probability
    burst_end: Annotated[float, Field(gt=0, le=1)]
    size_factor: Annotated[float, Field(gt=0)]


class Objective(Params):
    """Weights of P2 (eq. 24): beta * drift + V * (deadline_price * misses + energy_weight * E - qos_weight * QoS).

    beta : weight of the drift, as in the paper
    v : weight V of the penalty, as in the drift-plus-penalty literature; only V / beta matters for decisions
    """

    qos_weight: Annotated[float, Field(ge=0)] = 1.0
    energy_weight: Annotated[float, Field(ge=0)] = 1.0
    deadline_price: Annotated[float, Field(ge=0)] = 0.0
    beta: Annotated[float, Field(ge=0)] = 1.0
    v: Annotated[float, Field(ge=0)] = 1.0

    def with_v_folded_in(self) -> Objective:
        """Return the same objective with V = 1 and the penalty's weights multiplied by V."""
        return self.model_copy(
            update={
                "qos_weight": self.v * self.qos_weight,
                "energy_weight": self.v * self.energy_weight,
                "deadline_price": self.v * self.deadline_price,
                "v": 1.0,
            }
        )
