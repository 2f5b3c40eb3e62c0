"""Scenarios: TOML files, validated into frozen parameters; every error names the file, the key and what is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from physical.errors import InputError
from physical.system import System
from sim.scenario import nesting
from sim.scenario.explain import check_plain, explain, place_of
from sim.scenario.files import InputFiles, length_of_inputs
from sim.scenario.links import BASE_STATION, CLOUD, EDGE_SERVER, VEHICLE
from sim.scenario.ranges import check_ranges
from sim.scenario.readings import readings
from sim.scenario.resolved import Resolved, crowd_of, resolve, system_of
from sim.scenario.rules import check_consistency
from sim.scenario.settings import with_settings
from sim.scenario.sources import plain_data
from sim.scenario.tables import ScenarioTables


class Scenario(ScenarioTables):
    """Everything that a run needs but the seed.

    The serving nodes are the base station, if it is given or if there are no RSUs, then the RSUs.
    """

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
        return crowd_of(self, InputFiles(self)).num_vehicle

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
        where, data = plain_data(source)
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
        merged, keys = with_settings(data, settings)
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
        """Return a sentence for each reading of a paper that the scenario keeps although no hardware has it.

        >>> Scenario.load("dtecn").readings()[0]
        'eq. 7: every task has a CPU of its own'
        """
        return readings(self)

    def resolve(self) -> Resolved:
        """Read the files that the scenario names, and return what a run is made of.

        Raises
        ------
        InputError : a file cannot be read, or nobody is on the road during the run

        >>> Scenario.load("dtecn").resolve().crowd.num_vehicle
        10
        """
        return resolve(self)

    def system(self) -> System:
        """Return the static description as arrays; who needs more than that calls `resolve`.

        Raises
        ------
        InputError : a trace of mobility or of requests cannot be read
        """
        files = InputFiles(self)
        return system_of(self, files, crowd_of(self, files))


def _check_names(key: str, names_: list[str], taken: tuple[str, ...]) -> None:
    seen = set(taken)
    for index, name in enumerate(names_):
        if name in seen:
            raise InputError(f"{name!r} is taken", key=f"{key}.{index}.name", accepted="a name of its own")
        seen.add(name)
