"""Parameters of the twin: estimation, bias, decision latency, and what vehicles do without a command."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from physical.delay import Delay
from physical.params import Params
from physical.params_base import MissingCommand
from physical.quantity import BIAS, Period, Seconds
from twin.estimators import AnyEstimator


class ConstantBias(Params):
    """The same at all times.

    value : the bias
    """

    kind: Literal["constant"] = "constant"
    value: float = 0.0


class PerVehicleBias(Params):
    """One that each vehicle keeps.

    values : biases that vehicles take in turn; without any, each vehicle draws its own
    mean : mean of the normal distribution from which vehicles draw, without `values`
    std : standard deviation of the normal distribution from which vehicles draw, without `values`
    """

    kind: Literal["per-vehicle"] = "per-vehicle"
    values: tuple[float, ...] = ()
    mean: float = 0.0
    std: Annotated[float, Field(ge=0)] = 0.0


class RandomWalkBias(Params):
    """A random walk, of each vehicle or task class its own.

    start : bias in the first slot
    step_std : standard deviation of the normal step in every slot
    """

    kind: Literal["random-walk"] = "random-walk"
    start: float = 0.0
    step_std: Annotated[float, Field(ge=0)]


class TimedBias(Params):
    """Jumps at given times.

    points : pairs ``[time_s, value]``: the bias is `value` from the first slot that begins at that time or later; 0
        before
    """

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

    **Source** our choice

    cpu_frequency_hz : true minus allocated edge frequency of every flow: a positive one is faster than the twin
        commands [dtecn eq. 8 (Delta f_est)]
    task_size_bytes : added to the estimated size of every task, which stays >= 1 B
    position_m : added to the estimated position, along x
    channel_gain_db : added to the estimated channel gain
    cpu_backlog_cycles : added to the estimate of what waits on every vehicle's CPU, which stays >= 0
    uplink_backlog_bytes : added to the estimate of what waits on every vehicle's uplink, which stays >= 0
    server_backlog_bytes : added to the estimated backlog of every task class at the servers, which stays >= 0; the
        backlog of the single flows is scaled with that of their class
    known : the policy is told the frequency bias, as the paper's problem P2 is [dtecn eq. 24]
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

    **Source** our choice

    latency : time that a decision takes: "zero", "measured" (the wall time that the policy took), a duration, or a
        distribution
    deadline_s : a decision that takes longer is replaced by the fallback's, at this time; by default there is no limit
    """

    latency: Literal["zero", "measured"] | Delay = "zero"
    deadline_s: Period | None = None


class Command(Params):
    """What a vehicle does with the tasks of a slot until the command for them arrives.

    **Source** our choice

    missing : what a vehicle does when its patience ends: follow its previous command, run everything locally, or wait
        on
    patience_s : how long a vehicle waits for the command of a slot, from the slot's start
    """

    missing: MissingCommand = "previous"
    patience_s: Seconds = 0.05


class Twin(Params):
    """The cloud twin.

    **Source** our choice

    estimator : "hold" keeps the last report; "predict" extrapolates position and channel from it, takes mean sizes, and
        keeps what waits; a kind from a package may have keys of its own, ``[twin.estimator]`` with its ``kind``
    sync_window_s : the twin decides when the reports of all vehicles are in, at latest this long after they were sent
    """

    estimator: AnyEstimator = cast("AnyEstimator", "hold")  # read as what a scenario says
    sync_window_s: Seconds = 0.02
    bias: Bias = Bias()
    decision: DecisionTime = DecisionTime()
    command: Command = Command()
