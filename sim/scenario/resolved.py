"""A scenario with all that it names: files that are read, nodes, constants as arrays, events spelled out."""

from __future__ import annotations

from dataclasses import dataclass

from physical.system import Crowd, System, build_system
from physical.ticks import to_ns
from sim.scenario.files import InputFiles
from sim.scenario.tables import ScenarioTables, ServingNode
from sim.scenario.timeline import Timeline


@dataclass(frozen=True)
class Resolved:
    """What a run is made of; nothing of it has to be looked up or read again.

    Parameters
    ----------
    tables : the scenario
    files : those that the scenario names, each read once
    nodes : the serving nodes, in the order of their indices
    crowd : how many vehicles there are
    timeline : all timed events of the run, periodic ones spelled out
    system : constants as arrays
    slot_ns : ns, length of a slot
    """

    tables: ScenarioTables
    files: InputFiles
    nodes: tuple[ServingNode, ...]
    crowd: Crowd
    timeline: Timeline
    system: System
    slot_ns: int


def resolve(tables: ScenarioTables) -> Resolved:
    """Read the files that a scenario names, and lay out what a run is made of.

    Raises
    ------
    InputError : a file cannot be read, or nobody is on the road during the run
    """
    files, slot_ns = InputFiles(tables), to_ns(tables.time.slot_duration_s)
    files.read()
    crowd = crowd_of(tables, files)
    system = system_of(tables, files, crowd)
    return Resolved(tables, files, tables.nodes, crowd, tables.timeline_of_run(), system, slot_ns)


def crowd_of(tables: ScenarioTables, files: InputFiles) -> Crowd:
    """Return how many vehicles there are, in the run and at once.

    Raises
    ------
    InputError : the mobility trace cannot be read
    """
    return files.crowd() or tables.mobility.crowd(tables.run_size())


def system_of(tables: ScenarioTables, files: InputFiles, crowd: Crowd) -> System:
    """Return the constants of a scenario as arrays.

    Raises
    ------
    InputError : a trace of requests cannot be read
    """
    return build_system(
        tables.time,
        tables.model,
        tables.vehicles,
        tables.radio,
        tuple(node.server for node in tables.nodes),
        tables.tasks,
        tables.objective,
        tables.bursts,
        tables.cost,
        crowd=crowd,
        sizes=files.sizes(),
    )
