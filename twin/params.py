"""Parameters of the twin: estimation, bias, decision latency, and what vehicles do without a command."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from physical.delay import Delay
from physical.params import Params
from physical.quantity import Seconds, parse


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
    points: Annotated[tuple[tuple[Annotated[Seconds, Field(ge=0)], float], ...], Field(min_length=1)]


BiasParams = Annotated[ConstantBias | PerVehicleBias | RandomWalkBias | TimedBias, Field(discriminator="kind")]
ServerBiasParams = Annotated[ConstantBias | RandomWalkBias | TimedBias, Field(discriminator="kind")]


def _in_unit(unit: str) -> BeforeValidator:
    """Let the numbers of a bias be quantities in `unit`, and a bare number a constant bias."""

    def convert(value: Any) -> Any:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return {"kind": "constant", "value": parse(value, unit)}
        if not isinstance(value, dict):
            return value
        numbers: dict[str, Any] = {
            key: parse(item, unit) for key, item in value.items() if key in {"value", "mean", "std", "start"}
        }
        if "step_std" in value:
            numbers["step_std"] = parse(value["step_std"], unit)
        if isinstance(value.get("values"), list | tuple):
            numbers["values"] = tuple(parse(item, unit) for item in value["values"])
        if isinstance(value.get("points"), list | tuple):
            numbers["points"] = tuple(
                (point[0], parse(point[1], unit)) if isinstance(point, list | tuple) and len(point) == 2 else point
                for point in value["points"]
            )
        return {**value, **numbers}

    return BeforeValidator(convert)


class Bias(Params):
    """What separates the twin from its physical counterpart.

    cpu_frequency_hz : true minus allocated edge frequency of every flow (Delta f_est of eq. 8)
    task_size_bytes, position_m, channel_gain_db : added to the estimates
    cpu_backlog_cycles, uplink_backlog_bytes : added to the estimates of what waits at every vehicle, which stay >= 0
    server_backlog_bytes : added to the estimated backlog of every task class, which stays >= 0; the backlog of the
        single flows is scaled with that of their class
    known : the policy is told the frequency bias, as the paper's problem P2 is
    """

    cpu_frequency_hz: Annotated[BiasParams, _in_unit("Hz")] = ConstantBias()
    task_size_bytes: Annotated[BiasParams, _in_unit("B")] = ConstantBias()
    position_m: Annotated[BiasParams, _in_unit("m")] = ConstantBias()
    channel_gain_db: Annotated[BiasParams, _in_unit("dB")] = ConstantBias()
    cpu_backlog_cycles: Annotated[BiasParams, _in_unit("cycles")] = ConstantBias()
    uplink_backlog_bytes: Annotated[BiasParams, _in_unit("B")] = ConstantBias()
    server_backlog_bytes: Annotated[ServerBiasParams, _in_unit("B")] = ConstantBias()
    known: bool = True


class DecisionTime(Params):
    """How long a decision takes in simulated time.

    latency : "zero", "measured" (the wall time that the policy took), a duration, or a distribution
    deadline_s : a decision that takes longer is replaced by the fallback, at the deadline; None: no limit
    """

    latency: Literal["zero", "measured"] | Delay = "zero"
    deadline_s: Annotated[Seconds, Field(gt=0)] | None = None


class Command(Params):
    """What a vehicle does with the tasks of a slot until the command for them arrives.

    It waits `patience_s`, then does what `missing` says: follow its previous command, run everything locally,
    or wait on.
    """

    missing: Literal["previous", "local", "wait"] = "previous"
    patience_s: Annotated[Seconds, Field(ge=0)] = 0.05


class Twin(Params):
    """The cloud twin.

    estimator : "hold" keeps the last report; "predict" extrapolates position and channel from it, and keeps what waits
    sync_window_s : the twin decides when all reports are in, at latest this long after they were sent
    """

    estimator: Literal["hold", "predict"] = "hold"
    sync_window_s: Annotated[Seconds, Field(ge=0)] = 0.02
    bias: Bias = Bias()
    decision: DecisionTime = DecisionTime()
    command: Command = Command()
