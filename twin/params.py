"""Parameters of the twin: estimation, bias, decision latency, and what vehicles do without a command."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from physical.delay import Delay
from physical.params import Params
from physical.quantity import BIAS, Period, Seconds


class ConstantBias(Params):
    """The same bias for all vehicles at all times."""

    kind: Literal["constant"] = "constant"
    value: float = 0.0


class PerVehicleBias(Params):
    """A bias that each vehicle keeps: `values` in turn, or drawn once from a normal distribution."""

    kind: Literal["per-vehicle"] = "per-vehicle"
    values: tuple[float, ...] = ()
    mean: float = 0.0
    std: Annotated[float, Field(ge=0)] = 0.0


class RandomWalkBias(Params):
    """A bias that starts at `start` and takes a normal step in every slot, each vehicle or task class its own."""

    kind: Literal["random-walk"] = "random-walk"
    start: float = 0.0
    step_std: Annotated[float, Field(ge=0)]


class TimedBias(Params):
    """A bias that jumps: ``points = [[time_s, value], ...]``; 0 before the first point."""

    kind: Literal["timed"] = "timed"
    points: Annotated[tuple[tuple[Seconds, float], ...], Field(min_length=1)]


BiasParams = Annotated[ConstantBias | PerVehicleBias | RandomWalkBias | TimedBias, Field(discriminator="kind")]
ServerBiasParams = Annotated[ConstantBias | RandomWalkBias | TimedBias, Field(discriminator="kind")]


def _in_unit(unit: str) -> BeforeValidator:
    """Let the numbers of a bias be quantities in `unit` and its range, and a bare number a constant bias."""
    read = BIAS[unit].read

    def convert(value: Any) -> Any:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return {"kind": "constant", "value": read(value)}
        if not isinstance(value, dict):
            return value
        numbers: dict[str, Any] = {
            key: read(item) for key, item in value.items() if key in {"value", "mean", "std", "start", "step_std"}
        }
        if isinstance(value.get("values"), list | tuple):
            numbers["values"] = tuple(read(item) for item in value["values"])
        if isinstance(value.get("points"), list | tuple):
            numbers["points"] = tuple(
                (point[0], read(point[1])) if isinstance(point, list | tuple) and len(point) == 2 else point
                for point in value["points"]
            )
        return {**value, **numbers}

    return BeforeValidator(convert)


def _shown(unit: str) -> Any:
    """Show unit and range of a bias's numbers in its JSON schema."""
    told = BIAS[unit]
    return Field(json_schema_extra={"unit": unit, "minimum": told.low, "maximum": told.high})


HertzBias = Annotated[BiasParams, _in_unit("Hz"), _shown("Hz")]
BytesBias = Annotated[BiasParams, _in_unit("B"), _shown("B")]
MetresBias = Annotated[BiasParams, _in_unit("m"), _shown("m")]
DecibelsBias = Annotated[BiasParams, _in_unit("dB"), _shown("dB")]
CyclesBias = Annotated[BiasParams, _in_unit("cycles"), _shown("cycles")]
ServerBytesBias = Annotated[ServerBiasParams, _in_unit("B"), _shown("B")]


class Bias(Params):
    """What separates the twin from its physical counterpart.

    cpu_frequency_hz : true minus allocated edge frequency of every flow (Delta f_est of eq. 8)
    task_size_bytes, position_m (along x), channel_gain_db : added to the estimates
    cpu_backlog_cycles, uplink_backlog_bytes : added to the estimates of what waits at every vehicle, which stay >= 0
    server_backlog_bytes : added to the estimated backlog of every task class, which stays >= 0; the backlog of the
        single flows is scaled with that of their class
    known : the policy is told the frequency bias, as the paper's problem P2 is
    """

    cpu_frequency_hz: HertzBias = ConstantBias()
    task_size_bytes: BytesBias = ConstantBias()
    position_m: MetresBias = ConstantBias()
    channel_gain_db: DecibelsBias = ConstantBias()
    cpu_backlog_cycles: CyclesBias = ConstantBias()
    uplink_backlog_bytes: BytesBias = ConstantBias()
    server_backlog_bytes: ServerBytesBias = ConstantBias()
    known: bool = True


class DecisionTime(Params):
    """How long a decision takes in simulated time.

    latency : "zero", "measured" (the wall time that the policy took), a duration, or a distribution
    deadline_s : a decision that takes longer is replaced by the fallback, at the deadline; None: no limit
    """

    latency: Literal["zero", "measured"] | Delay = "zero"
    deadline_s: Period | None = None


class Command(Params):
    """What a vehicle does with the tasks of a slot until the command for them arrives.

    It waits `patience_s`, then does what `missing` says: follow its previous command, run everything locally,
    or wait on.
    """

    missing: Literal["previous", "local", "wait"] = "previous"
    patience_s: Seconds = 0.05


class Twin(Params):
    """The cloud twin.

    estimator : "hold" keeps the last report; "predict" extrapolates position and channel from it, and keeps what waits
    sync_window_s : the twin decides when all reports are in, at latest this long after they were sent
    """

    estimator: Literal["hold", "predict"] = "hold"
    sync_window_s: Seconds = 0.02
    bias: Bias = Bias()
    decision: DecisionTime = DecisionTime()
    command: Command = Command()
