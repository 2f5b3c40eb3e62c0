"""One slot of the `dtecn` system: what a decision leads to, by the paper's closed form without waiting in queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from physical.model import computing, energy, objective, qos, queueing, rate
from physical.model.arrays import Array, namespace

if TYPE_CHECKING:
    from physical.system import System


class SlotOutcome(NamedTuple):
    """What one slot brings; N vehicles, K classes, leading batch axes.

    local_delay_s : [..., N, K], s, eq. 7
    upload_delay_s : [..., N, K], s, first term of eq. 9
    edge_delay_s : [..., N, K], s, execution at the server only (the paper's t_edge includes the upload)
    delay_s : [..., N, K], s, eq. 10
    missed : [..., N, K], 0 or 1, whether the deadline is missed
    qos : [...], no unit, eq. 13; of the tasks that there are, those of more than 0 bytes
    energy_local_j : [...], J, eq. 14
    energy_edge_j : [...], J, eq. 15 times the slot; by the rule "power" the number of W that the paper adds to J;
        by the rule "job" what the jobs take
    arrivals_bytes : [..., K], bytes, Z of eq. 5
    service_bytes : [..., K], bytes, phi of eq. 5
    backlog_next_bytes : [..., K], bytes, eq. 5
    drift : [...], no unit
    objective : [...], no unit, eq. 24
    """

    local_delay_s: Array
    upload_delay_s: Array
    edge_delay_s: Array
    delay_s: Array
    missed: Array
    qos: Array
    energy_local_j: Array
    energy_edge_j: Array
    arrivals_bytes: Array
    service_bytes: Array
    backlog_next_bytes: Array
    drift: Array
    objective: Array


def slot_step(
    system: System,
    size_bytes: Array,
    rate_bps: Array,
    offloading_ratio: Array,
    compute_allocation_hz: Array,
    backlog_bytes: Array,
    estimation_bias_hz: Array = 0.0,
    serving_node: Array | None = None,
) -> SlotOutcome:
    """Return what a decision leads to in one slot: eqs. 5 to 16 and the objective P2.

    Nothing is clipped or repaired. By the capacity rule "effective" no server runs faster than it can, whatever is
    decided (`computing.within_capacity_hz`). Backlog enters the objective and the next backlog, never a delay.
    Gradients with respect to the decision are finite also at ratio 0 and allocation 0.

    Parameters
    ----------
    system : constants; its arrays from the same library as the others (`System.map_arrays`)
    size_bytes : [..., N, K], bytes
    rate_bps : [..., N], bit/s, > 0
    offloading_ratio : [..., N, K], no unit, in [0, 1]
    compute_allocation_hz : [..., N, K], Hz, >= 0
    backlog_bytes : [..., K], bytes, at the start of the slot
    estimation_bias_hz : Hz, a number or [..., N, K]
    serving_node : [..., N], no unit, index of the node, -1 without one; None: the only node

    Returns
    -------
    SlotOutcome

    **Source** paper 'dtecn', eqs. 5-16 and 24. ``system.model`` chooses between the literal equations and the corrected
    ones; by the capacity rule "effective" phi and eq. 15 count true speeds, by "alloc" allocations x (literal).
    """
    model, cpu_hz = system.model, system.cpu_hz[..., None]
    whole_local, whole_edge = system.work_cycles(size_bytes, serving_node)
    local_work = computing.local_part(whole_local, offloading_ratio)
    edge_work = computing.edge_part(whole_edge, offloading_ratio)
    edge_hz = system.edge_speed_hz(compute_allocation_hz, estimation_bias_hz, serving_node)

    local_delay_s = computing.execution_delay_s(local_work, cpu_hz)
    upload_delay_s = rate.upload_delay_s(system.upload_bytes(size_bytes, offloading_ratio), rate_bps[..., None])
    edge_delay_s = computing.execution_delay_s(edge_work, edge_hz)
    delay_s = computing.task_delay_s(local_delay_s, upload_delay_s, edge_delay_s, model.order)
    missed, present = qos.deadline_missed(delay_s, system.deadline_s), size_bytes > 0
    system_qos = qos.mean_of_tasks(qos.qos(delay_s, system.deadline_s), present)
    miss_ratio = qos.mean_of_tasks(missed, present)

    energy_local_j = _sum_tasks(energy.local_energy_j(local_work, cpu_hz, system.kappa_vehicle[..., None]))
    counted_hz = edge_hz if model.capacity_rule == "effective" else compute_allocation_hz
    energy_edge_j = _edge_energy_j(system, edge_work, edge_hz, counted_hz, serving_node)
    energy_j = energy_local_j + energy_edge_j
    arrivals_bytes = queueing.arrivals_bytes(system.work.queued_bytes(size_bytes, offloading_ratio, edge_work), 1.0)
    service_bytes = queueing.service_bytes(counted_hz, system.cycles_per_byte, system.slot_duration_s)
    drift = objective.drift(backlog_bytes, arrivals_bytes, service_bytes, system.backlog_unit_bytes)
    return SlotOutcome(
        local_delay_s=local_delay_s,
        upload_delay_s=upload_delay_s,
        edge_delay_s=edge_delay_s,
        delay_s=delay_s,
        missed=missed,
        qos=system_qos,
        energy_local_j=energy_local_j,
        energy_edge_j=energy_edge_j,
        arrivals_bytes=arrivals_bytes,
        service_bytes=service_bytes,
        backlog_next_bytes=queueing.next_backlog_bytes(backlog_bytes, arrivals_bytes, service_bytes),
        drift=drift,
        objective=objective.p2(drift, system_qos, energy_j, miss_ratio, system.objective),
    )


def _edge_energy_j(
    system: System, edge_work: Array, edge_hz: Array, counted_hz: Array, serving_node: Array | None
) -> Array:
    """Return the energy of all servers, [...]: eq. 15 at each node, or job by job."""
    if system.model.edge_energy_rule == "job":
        return _sum_tasks(system.edge_job_energy_j(edge_work, edge_hz, serving_node))
    power_w = _edge_power_w(system, counted_hz, serving_node)
    return energy.edge_energy(power_w, system.slot_duration_s, system.model.edge_energy_rule)


def _edge_power_w(system: System, counted_hz: Array, serving_node: Array | None) -> Array:
    """Return the power of all servers, [...], W: eq. 15 at each node."""
    if serving_node is None or system.num_node == 1:
        server = system.server
        return energy.edge_power_w(_sum_tasks(counted_hz), server.num_core, server.kappa)
    xp = namespace(counted_hz)
    per_vehicle_hz = xp.sum(counted_hz, axis=-1)
    power_w = 0.0
    for node in range(system.num_node):
        here_hz = xp.sum(xp.where(serving_node == node, per_vehicle_hz, 0.0 * per_vehicle_hz), axis=-1)
        num_core, kappa = int(system.node_num_core[node]), float(system.node_kappa[node])
        power_w = power_w + energy.edge_power_w(here_hz, num_core, kappa)
    return power_w


def _sum_tasks(values: Array) -> Array:
    """Sum [..., N, K] over classes, then vehicles: a fixed order, so blocks and single slots give the same bits."""
    xp = namespace(values)
    return xp.sum(xp.sum(values, axis=-1), axis=-1)
