"""Scenarios: TOML files, validated into frozen parameters; every error names the file, the key and what is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from physical import params as physical
from physical.errors import InputError
from physical.model import mobility
from physical.nearest import did_you_mean
from physical.params import Params
from physical.quantity import NumRow, Period
from physical.reading import read_bytes
from physical.system import Crowd, System, build_system
from physical.ticks import to_ns
from sim.inputs.motion import TraceMotion
from sim.inputs.routes import BASE_STATION, CLOUD, EDGE_SERVER, VEHICLE, NetworkParams
from sim.scenario import nesting
from sim.scenario.explain import check_plain, explain, place_of
from sim.scenario.file_entries import file_entries
from sim.scenario.files import length_of_inputs, mean_units, mobility_of
from sim.scenario.ranges import check_ranges
from sim.scenario.readings import readings
from sim.scenario.rules import check_consistency
from sim.scenario.timeline import Event, Timeline
from twin.params import Twin

_BUILT_IN = files("sim.scenario") / "builtin"


class PolicyChoice(Params):
    """Which policy decides, and which one stands in where it fails.

    name : policy that decides, with its options: ``name:option=value``
    fallback : policy that decides where the other one fails, returns nonsense or takes too long
    """

    name: Annotated[str, Field(min_length=1)] = "edge-equal"
    fallback: Annotated[str, Field(min_length=1)] = "local-only"


class TraceParams(Params):
    """What is written besides the standard tables, and how often.

    messages : write one row per control message, the table `messages`
    part_rows : task rows after which a part of the trace is closed
    part_seconds : wall time after which a part is closed, so that a killed run keeps almost everything
    """

    messages: bool = False
    part_rows: NumRow = 300_000
    part_seconds: Period = 5.0


@dataclass(frozen=True)
class ServingNode:
    """A node that vehicles attach to: the base station, or an RSU."""

    name: str
    position_m: tuple[float, float]
    server: physical.Server
    is_rsu: bool


class Scenario(Params):
    """Everything that a run needs but the seed.

    The serving nodes are the base station, if it is given or if there are no RSUs, then the RSUs.

    title : one line that says what the scenario is, for lists and reports
    server : the server of the base station, and of every RSU without one of its own
    timeline : timed events, in any order: what happens to the scenario while it runs
    """

    title: str = ""
    time: physical.Time = physical.Time()
    model: physical.Model = physical.Model()
    vehicles: physical.Vehicles
    mobility: physical.Mobility = physical.Mobility()
    radio: physical.Radio
    base_station: physical.BaseStation | None = None
    rsus: tuple[physical.Rsu, ...] = ()
    server: physical.Server
    tasks: Annotated[tuple[physical.TaskClass, ...], Field(min_length=1)]
    bursts: physical.Bursts | None = None
    objective: physical.Objective = physical.Objective()
    cost: physical.Cost | None = None
    network: NetworkParams = NetworkParams()
    timeline: tuple[Event, ...] = ()
    twin: Twin = Twin()
    policy: PolicyChoice = PolicyChoice()
    trace: TraceParams = TraceParams()

    @model_validator(mode="after")
    def _check(self) -> Scenario:
        _check_names("tasks", [task.name for task in self.tasks], ())
        _check_names("rsus", [rsu.name for rsu in self.rsus], (VEHICLE, BASE_STATION, EDGE_SERVER, CLOUD))
        check_consistency(self)
        check_ranges(self)
        return self

    @property
    def num_vehicle(self) -> int:
        """Number of vehicles N; where they enter and leave, all that are on the road at some time of the run.

        Raises
        ------
        InputError : the mobility trace cannot be read
        """
        return len(mobility_of(self)[0].names("entity_id")) if self.mobility.file else self.crowd().num_vehicle

    @property
    def everybody_stays(self) -> bool:
        """Whether all vehicles are there all the time, as far as the motion goes."""
        return self.mobility.file is None and self.mobility.ends == "wrap"

    def crowd(self) -> Crowd:
        """Return how many vehicles there are, in the run and at once.

        Raises
        ------
        InputError : the mobility trace cannot be read
        """
        time, road = self.time, self.mobility
        if road.file is not None:
            motion = TraceMotion(*mobility_of(self), to_ns(time.slot_duration_s))
            present = motion.num_present(time.num_slot)
            return Crowd(motion.num_vehicle, float(present.mean()) or 1.0, int(present.max()) or 1)
        count = self.vehicles.num_vehicle or 0
        if road.ends == "wrap":
            return Crowd.steady(count)
        run_s = time.num_slot * time.slot_duration_s
        num_generation = mobility.num_generation(run_s, road.speed_mps[1], road.length_m)
        return Crowd(count * num_generation, float(count), count)

    def timeline_of_run(self) -> Timeline:
        """Return all timed events of a run, periodic ones spelled out."""
        return Timeline.of(self.timeline, to_ns(self.time.slot_duration_s), self.time.num_slot)

    @property
    def nodes(self) -> tuple[ServingNode, ...]:
        """Serving nodes, in the order of their indices."""
        rsus = tuple(ServingNode(rsu.name, rsu.position_m, rsu.server or self.server, True) for rsu in self.rsus)
        if self.base_station is None and rsus:
            return rsus
        station = self.base_station or physical.BaseStation()
        return (ServingNode(BASE_STATION, station.position_m, self.server, False), *rsus)

    @classmethod
    def load(
        cls, source: str | Path, settings: Iterable[str] = (), *, origin: Mapping[str, str] | None = None
    ) -> Scenario:
        """Read a built-in scenario by name, or a TOML file, and apply ``key=value`` settings.

        origin : key -> where errors say that its value came from, if not from a setting or the file

        Raises
        ------
        InputError : no such file or scenario, not TOML, unknown key, wrong unit, value out of range

        >>> Scenario.load("dtecn", ["vehicles.num_vehicle=4"]).vehicles.num_vehicle
        4
        """
        where, text = _read(source)
        data = nesting.parsed(text, where)
        if Path(source).suffix:
            _resolve_files(data, Path(source).parent)
        return cls.from_dict(data, where=where, settings=settings, origin=origin)

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        where: str = "scenario",
        settings: Iterable[str] = (),
        origin: Mapping[str, str] | None = None,
        recorded: bool = False,
    ) -> Scenario:
        """Validate a scenario that is given as nested dictionaries; see `load`.

        Without `time.num_slot` it is as long as the shortest trace of mobility or of requests that it takes.

        recorded : of a run that has been made, which may have been longer than its trace in version 2
        """
        nesting.check_depth(data, where)
        merged = _copy(data)
        keys = [_apply_setting(merged, setting) for setting in settings]
        origin = {**dict.fromkeys(keys, "--set"), **(origin or {})}
        check_plain(merged, cls, where, origin)
        scenario = cls._validated(merged, where, origin)
        longest = None if recorded else length_of_inputs(scenario)
        if longest is None:
            return scenario
        if "num_slot" not in scenario.time.model_fields_set:
            merged["time"] = {**scenario.time.model_dump(exclude_unset=True), "num_slot": longest.num_slot}
            return cls._validated(merged, where, origin)
        if scenario.time.num_slot > longest.num_slot:
            slot_s, key = scenario.time.slot_duration_s, "time.num_slot"
            length = f"{scenario.time.num_slot} slots of {slot_s:g} s ({scenario.time.num_slot * slot_s:g} s)"
            accepted = f"at most {longest.num_slot}; a scenario that gives none is as long as the trace"
            problem = f"{length} are too many: {longest.told}"
            raise InputError(problem, where=place_of(key, where, origin), key=key, accepted=accepted)
        return scenario

    @classmethod
    def _validated(cls, data: Mapping[str, Any], where: str, origin: Mapping[str, str]) -> Scenario:
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise explain(error, cls, data, where, origin) from None

    def readings(self) -> tuple[str, ...]:
        """Return a sentence for each reading of a paper that the scenario keeps and that no hardware has.

        >>> Scenario.load("dtecn").readings()[0]
        'eq. 7: every task has a CPU of its own'
        """
        return readings(self)

    def system(self) -> System:
        """Return the static description as arrays."""
        return build_system(
            self.time,
            self.model,
            self.vehicles,
            self.radio,
            tuple(node.server for node in self.nodes),
            self.tasks,
            self.objective,
            self.bursts,
            self.cost,
            crowd=self.crowd(),
            sizes={index: mean_units(task) for index, task in enumerate(self.tasks) if task.requests is not None},
        )


def _check_names(key: str, names_: list[str], taken: tuple[str, ...]) -> None:
    seen = set(taken)
    for index, name in enumerate(names_):
        if name in seen:
            raise InputError(f"{name!r} is taken", key=f"{key}.{index}.name", accepted="a name of its own")
        seen.add(name)


def text_of(name: str) -> str:
    """Return the TOML of a scenario, as it stands in its file.

    Raises
    ------
    InputError : there is no such scenario, or the file cannot be read

    >>> text_of("dtecn").partition(" = ")[0]
    'title'
    """
    return _read(name)[1]


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
    try:
        # "utf-8-sig" also reads files that begin with a byte order mark.
        text = read_bytes(source, nesting.BYTES_MAX).decode("utf-8-sig")
        return name, "\n".join(text.splitlines())
    except InputError:
        raise
    except FileNotFoundError:
        if Path(source).suffix:
            raise InputError("there is no such file", where=name) from None
    except (OSError, ValueError) as error:  # also a path with a NUL, and a text in another encoding
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=name) from None
    accepted = f"{', '.join(names())}, or a TOML file"
    raise InputError(f"there is no scenario {name!r}{did_you_mean(name, names())}", where="SCENARIO", accepted=accepted)


def _resolve_files(data: dict[str, Any], folder: Path) -> None:
    """Let the files that a scenario file names be relative to its own folder."""
    for table, key in file_entries(data):
        table[key] = str(folder / table[key])


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _apply_setting(data: dict[str, Any], setting: str) -> str:
    """Set ``a.b.0.c=value`` in nested tables; return the dotted key. The value is TOML, or else a text."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise InputError(f"{setting!r} is not a setting", where="--set", accepted="KEY=VALUE")
    value = _setting_value(text)
    *parents, last = key.split(".")
    nesting.check_depth(value, "--set", key)
    if len(parents) > nesting.DEPTH_MAX:
        raise InputError(f"has {len(parents) + 1} parts", where="--set", key=f"{key[:40]}...", accepted="KEY=VALUE")
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


def _setting_value(text: str) -> Any:
    try:
        table = nesting.parsed(f"value = {text}", "--set")
    except InputError as error:
        if "TOML" in error.problem:
            return text.strip()
        raise
    return table["value"] if len(table) == 1 else text.strip()


def _item(items: list[Any], text: str, key: str) -> Any:
    if not text.isdecimal() or int(text) >= len(items):
        accepted = f"0 to {len(items) - 1}" if items else "none: the list is empty"
        raise InputError(f"{text!r} is not an index", where="--set", key=key, accepted=accepted)
    return items[int(text)]
