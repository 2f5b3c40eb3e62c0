"""Checks of a scenario across its tables: what each table alone cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physical.errors import InputError
from physical.params import Objective

if TYPE_CHECKING:
    from sim.scenario import Scenario


def check_consistency(scenario: Scenario) -> None:
    """Refuse tables that contradict each other.

    Raises
    ------
    InputError : names the key to change
    """
    _check_transformers(scenario)
    _check_joint(scenario)
    servers = [node.server for node in scenario.nodes]
    if scenario.model.edge_energy_rule == "job" and any(server.discipline == "fifo" for server in servers):
        raise InputError("needs a server that meters single jobs", key="model.edge_energy", accepted="power, energy")
    if len(servers) > 1 and any(server.discipline == "fifo" for server in servers):
        accepted = "slices, with more than one serving node"
        raise InputError("'fifo' pools the queues of one node only", key="server.discipline", accepted=accepted)
    if scenario.cost is not None and scenario.objective != Objective():
        accepted = "either [cost] (weighted cost) or [objective] (P2)"
        raise InputError("does not go with the weights of P2", key="cost", accepted=accepted)


def _check_transformers(scenario: Scenario) -> None:
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


def _check_joint(scenario: Scenario) -> None:
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
    if scenario.vehicles.cpu != "shared":
        accepted = '"shared", with joint allocation: one clock serves one task at a time'
        raise InputError("does not go with joint allocation", key="vehicles.cpu", accepted=accepted)
    if scenario.vehicles.transmit_power_w_min > scenario.vehicles.transmit_power_w:
        accepted = f"at most vehicles.transmit_power_w, {scenario.vehicles.transmit_power_w:g} W"
        raise InputError("is more than the greatest power", key="vehicles.transmit_power_w_min", accepted=accepted)
    if scenario.model.edge_energy_rule != "job":
        accepted = '"job", with joint allocation'
        raise InputError("the weighted cost counts joules job by job", key="model.edge_energy", accepted=accepted)
