"""Checks of a scenario across its tables: what each table alone cannot know."""

from __future__ import annotations

from physical.errors import InputError
from physical.params import Objective
from sim.scenario.tables import ScenarioTables


def check_consistency(scenario: ScenarioTables) -> None:
    """Refuse tables that contradict each other.

    Raises
    ------
    InputError : names the key to change
    """
    _check_transformers(scenario)
    _check_joint(scenario)
    _check_vehicles(scenario)
    _check_timeline(scenario)
    _check_disciplines(scenario)
    _check_capacity(scenario)
    if scenario.cost is not None and scenario.objective != Objective():
        accepted = "either [cost] (weighted cost) or [objective] (P2)"
        raise InputError("does not go with the weights of P2", key="cost", accepted=accepted)


def _check_capacity(scenario: ScenarioTables) -> None:
    if scenario.model.mode == "corrected" and scenario.model.capacity_rule == "alloc":
        accepted = '"effective", or model.mode = "paper"'
        problem = "'alloc' lets a server run faster than it can (eqs. 15 and 24c count allocations, whatever the bias)"
        raise InputError(problem, key="model.capacity", accepted=accepted)


def _check_disciplines(scenario: ScenarioTables) -> None:
    own = {f"rsus.{index}.server": rsu.server for index, rsu in enumerate(scenario.rsus) if rsu.server is not None}
    for key, server in {"server": scenario.server, **own}.items():
        if server.discipline != "fifo":
            continue
        if scenario.model.edge_energy_rule == "job":
            accepted = "slices, with edge_energy job"
            raise InputError("'fifo' cannot meter single jobs", key=f"{key}.discipline", accepted=accepted)
        if scenario.model.handover == "finish":
            accepted = "forward, drop; or server.discipline slices"
            raise InputError("'finish' needs queues of single vehicles", key="model.handover", accepted=accepted)
        if len(scenario.nodes) > 1:
            accepted = "slices, with more than one serving node"
            raise InputError("'fifo' pools the queues of one node only", key=f"{key}.discipline", accepted=accepted)


def _check_transformers(scenario: ScenarioTables) -> None:
    if all(task.transformer is None for task in scenario.tasks):
        return
    if scenario.vehicles.gpu is None:
        raise InputError("is missing; a task is a transformer", key="vehicles.gpu")
    for index, node in enumerate(scenario.nodes):
        if node.server.gpu is None:
            own = node.is_rsu and scenario.rsus[index - (len(scenario.nodes) - len(scenario.rsus))].server is not None
            key = f"rsus.{index - (len(scenario.nodes) - len(scenario.rsus))}.server.gpu" if own else "server.gpu"
            raise InputError("is missing; a task is a transformer", key=key)
    if scenario.model.order == "parallel":
        accepted = "sequential, with a transformer task"
        raise InputError("the edge needs the activations of the local layers", key="model.order", accepted=accepted)


def _check_joint(scenario: ScenarioTables) -> None:
    model = scenario.model
    if model.allocation != "joint":
        if scenario.cost is not None:
            accepted = '"joint", with [cost]'
            raise InputError("the weighted cost needs all resources decided", key="model.allocation", accepted=accepted)
        return
    if scenario.cost is None:
        raise InputError("is missing; with joint allocation it is the objective", key="cost")
    if model.order == "parallel":
        raise InputError("does not go with joint allocation", key="model.order", accepted="sequential")
    if scenario.vehicles.transmit_power_w_min > scenario.vehicles.transmit_power_w:
        accepted = f"at most vehicles.transmit_power_w, {scenario.vehicles.transmit_power_w:g} W"
        raise InputError("is more than the greatest power", key="vehicles.transmit_power_w_min", accepted=accepted)
    if scenario.model.edge_energy_rule != "job":
        accepted = '"job", with joint allocation'
        raise InputError("the weighted cost counts joules job by job", key="model.edge_energy", accepted=accepted)


def _check_vehicles(scenario: ScenarioTables) -> None:
    count, from_file = scenario.vehicles.num_vehicle, scenario.mobility.trace is not None
    if count is None and not from_file:
        raise InputError("is missing", key="vehicles.num_vehicle")
    if count is not None and from_file:
        accepted = "no number, with a mobility trace"
        raise InputError("is what the mobility trace tells", key="vehicles.num_vehicle", accepted=accepted)
    if scenario.radio.rate_file is not None and scenario.model.allocation == "joint":
        accepted = "a scenario with fixed radios"
        raise InputError("gives rates that policies are to decide", key="radio.rate_file", accepted=accepted)


def _check_timeline(scenario: ScenarioTables) -> None:
    nodes = [node.name for node in scenario.nodes]
    tasks = [task.name for task in scenario.tasks]
    for index, event in enumerate(scenario.timeline):
        known: dict[str, list[str]] = {"node": nodes, "task": tasks}
        for key, names in known.items():
            name = getattr(event, key, None)
            if name is not None and name not in names:
                where = f"timeline.{index}.{key}"
                raise InputError(f"there is no {key} {name!r}", key=where, accepted=", ".join(names))
        vehicle, count = getattr(event, "vehicle", None), scenario.vehicles.num_vehicle
        if vehicle is not None and (count is None or vehicle >= count):
            accepted = "vehicles come and go as the mobility trace says" if count is None else f"0 to {count - 1}"
            raise InputError(f"{vehicle} is no vehicle", key=f"timeline.{index}.vehicle", accepted=accepted)
