"""The constants of P2 in one slot: a few numbers for every task, and a capacity and a cubic term for the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.arrays import Floats, Mask
from physical.errors import InputError
from physical.model import computing, energy, qos, rate
from physical.system import System
from policies.feasible import least_allocation_hz, rest_hz
from twin.snapshot import TwinSnapshot


@dataclass(frozen=True)
class SharedServer:
    """The server that the tasks share: ``V = sum v <= C``, and the energy term ``e3 V^3``.

    Capacity and energy count `v`, which is the allocation x (rule "alloc") or the true speed y ("effective").

    Parameters
    ----------
    capacity_hz : Hz, C, without the part that leftovers need
    cubic : 1/Hz^3, e3, the weighted energy term of eq. 15 per Hz^3
    """

    capacity_hz: float
    cubic: float

    def cost(self, total_hz: float) -> float:
        """Return the weighted edge energy of a total."""
        return self.cubic * total_hz * total_hz * total_hz

    def marginal(self, total_hz: float) -> float:
        """Return the derivative of `cost`, 1/Hz."""
        return 3.0 * self.cubic * total_hz * total_hz


def check_p2(system: System, policy: str) -> None:
    """Refuse a system that has no problem P2 with one server.

    Raises
    ------
    InputError : names the policy
    """
    if system.joint or system.has_transformer or system.num_node > 1 or system.model.edge_energy_rule == "job":
        accepted = (
            'a scenario with neither [cost] nor transformer tasks, RSUs or model.edge_energy = "job", such as dtecn'
        )
        raise InputError("solves P2 of one server", where="--policy", key=policy, accepted=accepted)


@dataclass(frozen=True)
class Tasks:
    """One slot's tasks, flat over vehicles, then classes: M = N K of them; symbols of `policies.optimal`.

    Parameters
    ----------
    work_cycles : [M], cycles, W
    local_s : [M], s, L, the whole task on its vehicle
    upload_s : [M], s, u, the upload of the whole task
    reachable : [M], whether there is a task and its vehicle has an uplink to a node; other tasks stay local
    deadline_s : [M], s, T less the safety margin; a task with a longer delay counts as late
    local_cost : [M], E, weighted energy of the whole task on its vehicle
    backlog_cost : [M], Q, drift of the whole task arriving at the server
    drain_per_hz : [M], 1/Hz, s, drift that one Hz removes; 0 without a node
    delay_cost_per_s : [M], 1/s, w_U / (M' T), where M' of the tasks have more than 0 bytes
    miss_cost : P_m / M'
    constant : - w_U, part of P2 that no decision changes
    bias_hz : [M], Hz, delta; y = x + delta
    least_hz : [M], Hz, least allocation x of an active task
    server : server that the tasks share
    parallel : whether local and remote part overlap (otherwise eq. 10 holds)
    upload_rule : "proportional", "whole" or "always"
    effective : whether capacity and energy count true speeds instead of allocations
    idle_late : [M], whether the task misses its deadline if it stays on its vehicle
    """

    work_cycles: Floats
    local_s: Floats
    upload_s: Floats
    reachable: Mask
    deadline_s: Floats
    local_cost: Floats
    backlog_cost: Floats
    drain_per_hz: Floats
    delay_cost_per_s: Floats
    miss_cost: float
    constant: float
    bias_hz: Floats
    least_hz: Floats
    server: SharedServer
    parallel: bool
    upload_rule: str
    effective: bool
    idle_late: Mask

    @property
    def num_task(self) -> int:
        """Number of tasks M."""
        return self.work_cycles.size

    @property
    def fixed_upload_s(self) -> Floats | float:
        """Upload that an active task pays for any ratio, s: the whole upload unless the rule is "proportional"."""
        return 0.0 if self.upload_rule == "proportional" else self.upload_s

    @property
    def ratio_upload_s(self) -> Floats | float:
        """Upload that grows with the ratio, s: `up` of the notes."""
        return self.upload_s if self.upload_rule == "proportional" else 0.0

    @property
    def idle_delay_s(self) -> Floats:
        """Delay of a task that stays on its vehicle, s."""
        if self.upload_rule != "always":
            return self.local_s
        return np.maximum(self.local_s, self.upload_s) if self.parallel else self.local_s + self.upload_s


def read_tasks(snapshot: TwinSnapshot, margin: float = 0.0) -> Tasks:
    """Lay out P2 for a snapshot, by the formulas of `physical.model`.

    Parameters
    ----------
    snapshot : the twin's belief
    margin : part of every deadline that is kept back
    """
    system, size_bytes = snapshot.system, snapshot.size_bytes
    model, weights, server = system.model, system.objective, system.server
    tau_s, unit_bytes = system.slot_duration_s, system.backlog_unit_bytes
    num_task = int(np.count_nonzero(size_bytes))  # number of tasks in the means of P2
    cpu_hz = system.cpu_hz[:, np.newaxis]
    work_cycles = system.work_cycles(size_bytes, None)[0]
    local_s = computing.execution_delay_s(work_cycles, cpu_hz)
    upload_s = rate.upload_delay_s(size_bytes, snapshot.uplink_rate_bps[:, np.newaxis])
    local_j = energy.local_energy_j(work_cycles, cpu_hz, system.kappa_vehicle[:, np.newaxis])
    attached = (snapshot.serving_node >= 0)[:, np.newaxis]
    urgency = weights.beta * snapshot.backlog_bytes / unit_bytes  # drift of one unit of backlog
    deadline_s = (1.0 - margin) * system.deadline_s if margin else system.deadline_s
    idle_upload_s = upload_s if model.upload_rule == "always" else 0.0
    idle_s = computing.task_delay_s(local_s, idle_upload_s, 0.0, model.order)
    unit_hz = server.frequency_hz
    power_w = energy.edge_power_w(unit_hz, server.num_core, server.kappa)
    edge_cost = weights.energy_weight * energy.edge_energy(power_w, tau_s, model.edge_energy_rule)

    def flat(values: Floats) -> Floats:
        return np.broadcast_to(values, size_bytes.shape).reshape(-1)

    return Tasks(
        work_cycles=flat(work_cycles),
        local_s=flat(local_s),
        upload_s=flat(upload_s),
        reachable=flat(attached & (size_bytes > 0) & np.isfinite(upload_s)) > 0,
        deadline_s=flat(deadline_s),
        local_cost=flat(weights.energy_weight * local_j),
        backlog_cost=flat(urgency * size_bytes / unit_bytes),
        drain_per_hz=flat(attached * urgency * tau_s / (system.cycles_per_byte * unit_bytes)),
        delay_cost_per_s=flat(weights.qos_weight / (max(num_task, 1) * system.deadline_s)),
        miss_cost=weights.deadline_price / max(num_task, 1),
        constant=-weights.qos_weight if num_task else 0.0,
        bias_hz=flat(snapshot.estimation_bias_hz),
        least_hz=flat(least_allocation_hz(system, snapshot.estimation_bias_hz)),
        server=SharedServer(float(rest_hz(snapshot)[0]), edge_cost / unit_hz**3),
        parallel=model.order == "parallel",
        upload_rule=model.upload_rule,
        effective=model.capacity_rule == "effective",
        idle_late=flat(qos.deadline_missed(idle_s, deadline_s)) > 0,
    )
