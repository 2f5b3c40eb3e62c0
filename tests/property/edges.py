"""Scenarios whose numbers stand at the ends of their ranges, and the check that a run of them is sound."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from physical.errors import InputError
from sim.runs.run import RunResult, run
from sim.scenario.keys import Key, keys
from sim.scenario.scenario import Scenario
from traces.schema import TABLES

Data = dict[str, Any]

NAMES = ("dtecn", "blackout", "llm6g", "rush-hour", "corridor")
KEYS = {key.name: key for key in keys()}
NUM_SLOT = 3  # of 0.1 s: fewer let a road at the speed of light pass, and 75 000 vehicles enter
_WITHOUT = ("tasks.0.requests", "mobility.begin_s")  # need a file
# Values of keys that must be given, where a key of the same table is tried.
_GIVEN: Data = {
    "at_s": 0.0,
    "burst_begin": 0.1,
    "burst_begin_in_event": 0.1,
    "burst_end": 0.1,
    "cpu_frequency_hz": 1e6,
    "duration_s": 0.15,
    "event_begin": 0.1,
    "event_end": 0.1,
    "flop_per_cycle": 16.0,
    "frequency_hz": 1e9,
    "high_s": 0.002,
    "kappa": 1e-28,
    "link": "access",
    "low_s": 0.001,
    "mean_s": 0.001,
    "median_s": 0.001,
    "name": "edge-equal",
    "num_core": 100,
    "points": [[0.0, 1.0]],
    "sigma": 0.5,
    "size_factor": 2.0,
    "step_std": 1.0,
    "vehicle": 0,
}
_RSU = {"name": "beside", "position_m": [5.0, 5.0]}
# NaN stands for what is not there, infinity for what the twin believes to take for ever; see `traces.schema`.
_NAN = {
    "tasks": {"offloading_ratio"},
    "slots": {"objective", "penalty", "qos", "delay_s_mean", "deadline_miss_ratio"},
    "decisions": {"objective", "lower_bound", "gap", "capacity_price", "solve_wall_s"},
}
_INFINITE = {"decisions": {"objective_predicted"}}


def numeric_keys() -> list[Key]:
    """Return the keys whose values are numbers, but those that need a file."""
    return [key for key in KEYS.values() if key.form in {"number", "integer"} and not key.name.startswith(_WITHOUT)]


def base(name: str) -> Data:
    """Return a built-in scenario of few vehicles and slots, whose events happen in those."""
    data = tomllib.loads((files("sim.scenario") / "builtin" / f"{name}.toml").read_text("utf-8"))
    data["time"]["num_slot"] = NUM_SLOT
    data["vehicles"]["num_vehicle"] = 3
    events = [event for event in data.get("timeline", ()) if event["kind"] != "vehicle-leaves"]
    for event in events:
        event["at_s"] = round(float(event["at_s"].split()[0]) * 0.01, 3)
    return {**data, "timeline": events}


def ends(key: Key) -> list[Any]:
    """Return the values at both ends of a key's range."""
    assert key.low is not None
    assert key.high is not None
    found = [_several(key, value) for value in (key.low, key.high)]
    return [*found, [_number(key, key.low), _number(key, key.high)]] if key.count == "2" else found


def extremes(key: Key) -> list[Any]:
    """Return values far away, of which some are beyond any range."""
    return [
        _several(key, value) for value in ((1e308, 1e-300, 1e100, 0, -1) if key.form == "number" else (10**15, 0, -1))
    ]


def _number(key: Key, value: float) -> float | int:
    return int(value) if key.form == "integer" else float(value)


def _several(key: Key, value: float) -> Any:
    number = _number(key, value)
    if "pairs" in key.count:
        return [[0.0, number]]
    return [number] * (2 if key.count == "2" else 1) if key.count else number


def with_value(data: Data, key: Key, value: Any) -> Data | None:
    """Return a scenario with a key at a value, and what that key needs; None if the scenario cannot have the key."""
    data = copy.deepcopy(data)
    table, _, last = key.name.rpartition(".")
    if table.startswith("timeline"):
        return {**data, "timeline": [_event(data, key, value)]}
    if "rsus" in table and "rsus" not in data:
        data["rsus"] = [dict(_RSU)]
    if key.name.startswith("tasks.0.") and ("transformer" in table or last == "num_token"):
        if all("transformer" not in task for task in data["tasks"]):
            return None
        table = table.replace("tasks.0", f"tasks.{[('transformer' in task) for task in data['tasks']].index(True)}")
    if key.kind:
        _put(data, table, _needed(table, key.kind) | {"kind": key.kind, last: value})
        return data
    if not _has(data, table):
        if table == "cost":
            return None
        parent = table.rpartition(".")[0]
        if parent.endswith("server") and not _has(data, parent):
            _put(data, parent, _needed(parent, ""))
        _put(data, table, _needed(table, ""))
    _put(data, key.name if last == "" else f"{table}.{last}" if table else last, value)
    return data


def _event(data: Data, key: Key, value: Any) -> Data:
    """Return an event with a key at a value."""
    _, _, name, *inner = key.name.split(".")
    node = "base-station" if "base_station" in data or "rsus" not in data else data["rsus"][0]["name"]
    if inner:
        delay = _needed(f"timeline.0.{name}", key.kind) | {"kind": key.kind, inner[-1]: value}
        return {"kind": "link", "at_s": 0.0, "link": "access", name: delay}
    kind = key.kind.split(", ")[0] or ("link" if name == "latency_s" else "burst")
    event = {"kind": kind, **_needed("timeline.0", kind), "at_s": 0.0}
    if name == "until_s":
        event["every_s"] = 0.1
    if "node" in event:
        event["node"] = node
    return event | {name: value}


def _needed(table: str, kind: str) -> Data:
    """Return the keys of a table that must be given, but its kind."""
    depth = table.count(".") + 1
    table = table if table.startswith("timeline") else ".".join("0" if p.isdecimal() else p for p in table.split("."))
    own = [
        key for key in KEYS.values() if key.name.startswith(f"{table}.") and key.name.count(".") == depth and key.needed
    ]
    return {
        last: copy.deepcopy(_GIVEN.get(last))
        for key in own
        if (last := key.name.rsplit(".", 1)[1]) != "kind" and (not key.kind or kind in key.kind.split(", "))
    }


def _walk(data: Data, path: list[str]) -> Any:
    place: Any = data
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    return place


def _has(data: Data, table: str) -> bool:
    place: Any = data
    for part in table.split(".") if table else []:
        if isinstance(place, list):
            place = place[int(part)]
        elif part in place:
            place = place[part]
        else:
            return False
    return isinstance(place, dict)


def _put(data: Data, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    place = _walk(data, parents)
    place[int(last) if isinstance(place, list) else last] = value


def outcome(data: Data, label: str) -> RunResult | InputError:
    """Run a scenario, or return why it is refused."""
    try:
        return run(Scenario.from_dict(data))
    except InputError as error:
        return error
    except Exception as error:
        error.add_note(label)
        raise


def attempt(data: Data, label: str) -> bool:
    """Run a scenario; return whether it was accepted, and fail if it is neither refused by name nor sound."""
    result = outcome(data, label)
    if isinstance(result, InputError):
        assert result.key, f"{label}: {result}"
        assert "\n" not in str(result), label
        return False
    wrong = list(not_finite(result))
    assert not wrong, f"{label}: {wrong}"
    # A policy that met a warning or an error has been replaced for that slot.
    assert result.summary["fallbacks"] == 0 or "decision took" in result.summary["fallback_first"], (
        f"{label}: {result.summary['fallback_first']}"
    )
    return True


def not_finite(result: RunResult) -> Iterator[str]:
    """Yield where a run's tables and summary have numbers that are not finite, but by a rule."""
    for name in TABLES:
        table = result.table(name)
        for column in table.column_names:
            values = table.column(column)
            if pa.types.is_list(values.type):
                values = pc.list_flatten(values)
            if not pa.types.is_floating(values.type):
                continue
            numbers = values.drop_null().to_numpy()
            fine = np.isfinite(numbers)
            fine |= np.isnan(numbers) & (column in _NAN.get(name, ()))
            fine |= (numbers == np.inf) & (column in _INFINITE.get(name, ()))
            if not fine.all():
                yield f"{name}.{column} = {numbers[~fine][0]}"
    yield from (
        f"summary {key}" for key, value in result.summary.items() if isinstance(value, float) and not np.isfinite(value)
    )
