"""Scenarios: TOML files, validated into frozen parameters; every error names the file, the key and what is accepted."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from physical import params as physical
from physical.errors import InputError
from physical.params import Params
from physical.plane.ticks import HORIZON_NS, to_ns
from physical.quantity import Seconds
from physical.system import System, build_system
from sim.network import NetworkParams
from sim.validation import explain
from twin.params import Twin

_BUILT_IN = files("sim") / "scenarios"


class PolicyChoice(Params):
    """Which policy decides, and which one stands in where it fails."""

    name: Annotated[str, Field(min_length=1)] = "edge-equal"
    fallback: Annotated[str, Field(min_length=1)] = "local-only"


class TraceParams(Params):
    """What is written besides the standard tables, and how often.

    messages : one row per control message
    part_rows : task rows after which a part is closed
    part_seconds : wall time after which a part is closed, so that a killed run keeps almost everything
    """

    messages: bool = False
    part_rows: Annotated[int, Field(ge=1)] = 300_000
    part_seconds: Annotated[Seconds, Field(gt=0)] = 5.0


class Scenario(Params):
    """Everything that a run needs but the seed."""

    title: str = ""
    time: physical.Time = physical.Time()
    model: physical.Model = physical.Model()
    vehicles: physical.Vehicles
    mobility: physical.Mobility = physical.Mobility()
    radio: physical.Radio
    base_station: physical.BaseStation = physical.BaseStation()
    server: physical.Server
    tasks: Annotated[tuple[physical.TaskClass, ...], Field(min_length=1)]
    objective: physical.Objective = physical.Objective()
    network: NetworkParams = NetworkParams()
    twin: Twin = Twin()
    policy: PolicyChoice = PolicyChoice()
    trace: TraceParams = TraceParams()

    @model_validator(mode="after")
    def _check(self) -> Scenario:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks {names} do not have different names")
        if self.time.num_slot * to_ns(self.time.slot_duration_s) > HORIZON_NS:
            raise ValueError(f"time: the run is longer than the {HORIZON_NS / 3.6e12:.0f} hours of the clock")
        if to_ns(self.time.slot_duration_s) < 1:
            raise ValueError("time.slot_duration_s is shorter than a nanosecond")
        return self

    @classmethod
    def load(cls, source: str | Path, settings: Iterable[str] = ()) -> Scenario:
        """Read a built-in scenario by name, or a TOML file, and apply ``key=value`` settings.

        Raises
        ------
        InputError : no such file or scenario, not TOML, unknown key, wrong unit, value out of range

        >>> Scenario.load("dtecn", ["vehicles.num_vehicle=4"]).vehicles.num_vehicle
        4
        """
        where, text = _read(source)
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"is not TOML: {error}", where=where) from error
        return cls.from_dict(data, where=where, settings=settings)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "scenario", settings: Iterable[str] = ()) -> Scenario:
        """Validate a scenario that is given as nested dictionaries."""
        merged = _copy(data)
        origin: dict[str, str] = {}
        for setting in settings:
            origin[_apply_setting(merged, setting)] = "--set"
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise explain(error, cls, where, origin) from None

    def system(self) -> System:
        """Return the static description as arrays."""
        return build_system(self.time, self.model, self.vehicles, self.radio, self.server, self.tasks, self.objective)


def names() -> list[str]:
    """Return the names of the built-in scenarios.

    >>> "dtecn" in names()
    True
    """
    return sorted(entry.name.removesuffix(".toml") for entry in _BUILT_IN.iterdir() if entry.name.endswith(".toml"))


def _read(source: str | Path) -> tuple[str, str]:
    """Return how to call the source in errors, and its text."""
    name = str(source)
    if name in names():
        return name, (_BUILT_IN / f"{name}.toml").read_text("utf-8")
    path = Path(source)
    if not path.suffix and not path.exists():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        accepted = f"{', '.join(names())}, or a TOML file"
        raise InputError(f"there is no scenario {name!r}{hint}", where="SCENARIO", accepted=accepted)
    try:
        return name, path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError("there is no such file", where=name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=name) from None


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _apply_setting(data: dict[str, Any], setting: str) -> str:
    """Set ``a.b.0.c=value`` in nested tables; return the dotted key. The value is TOML, or else a text."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"{setting!r} is not a setting", where="--set", accepted="KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.split(".")
    table: Any = data
    for parent in parents:
        if isinstance(table, list):
            table = _item(table, parent, key)
        elif isinstance(table, dict):
            table = table.setdefault(parent, {})
    if isinstance(table, list):
        _item(table, last, key)
        table[int(last)] = value
    elif isinstance(table, dict):
        table[last] = value
    else:
        raise InputError("is not a table", where="--set", key=".".join(parents))
    return key


def _item(items: list[Any], text: str, key: str) -> Any:
    if not text.isdecimal() or int(text) >= len(items):
        accepted = f"0 to {len(items) - 1}"
        raise InputError(f"{text!r} is not an index", where="--set", key=key, accepted=accepted)
    return items[int(text)]
