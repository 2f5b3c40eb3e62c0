"""The input of actors: a few numbers without unit per task, the same in training (torch) and in decisions (NumPy)."""

from __future__ import annotations

import math

from physical.model import computing, energy, rate
from physical.model.arrays import Array, namespace
from physical.system import System
from policies.marl.environment import Observation
from twin.snapshot import TwinSnapshot

SCHEMA = 1
"""Version of the features; weights that were trained on another version are refused."""
NUM_FEATURE = 16
NUM_LOCAL_FEATURE = 15
"""Number of the first features, which a vehicle can compute from its own tasks and from the queues of the server."""
SQUARE_ROOT_RULE = 2
"""Feature that is half the logarithm of work over deadline, the weight of a task in the square-root rule."""
_LEAST = 1e-4


def observation_of(snapshot: TwinSnapshot) -> Observation:
    """Return the features of a snapshot, without an axis of environments; a vehicle without a node has no tasks."""
    attached = (snapshot.serving_node >= 0) & (snapshot.uplink_rate_bps > 0)
    return Observation(
        size_bytes=snapshot.size_bytes * attached[:, None],
        rate_bps=namespace(attached).where(attached, snapshot.uplink_rate_bps, 1.0),
        backlog_bytes=snapshot.backlog_bytes,
        estimation_bias_hz=snapshot.estimation_bias_hz,
    )


def features(system: System, observation: Observation) -> Array:
    """Return the features of all tasks, [..., N, K, NUM_FEATURE].

    Costs are in parts of the QoS that one of the N K tasks can earn in P2. Speeds are in equal shares of the server.
    Times enter as logarithms and costs as inverse hyperbolic sines, because both span many orders of magnitude.
    """
    size_bytes, rate_bps, backlog_bytes, bias_hz = observation
    xp, weights, server = namespace(size_bytes), system.objective, system.server
    num_task, tau_s, deadline_s = system.num_vehicle * system.num_class, system.slot_duration_s, system.deadline_s
    share_hz = server.frequency_hz / num_task
    cpu_hz = system.cpu_hz[..., None]
    exists = size_bytes > 0
    work = size_bytes * system.cycles_per_byte
    local_s = computing.execution_delay_s(work, cpu_hz)
    upload_s = rate.upload_delay_s(size_bytes, rate_bps[..., None])
    left = 1.0 - upload_s / deadline_s  # part of the deadline that an upload of the whole task leaves
    local_j = energy.local_energy_j(work, cpu_hz, system.kappa_vehicle[..., None])
    backlog = (backlog_bytes / system.backlog_unit_bytes)[..., None, :]
    urgency = num_task * weights.beta * backlog
    drain_bytes = tau_s * share_hz / system.cycles_per_byte
    power_w = energy.edge_power_w(server.frequency_hz, server.num_core, server.kappa)
    edge_cost = weights.energy_weight * energy.edge_energy(power_w, tau_s, system.model.edge_energy_rule)
    load = xp.sum(xp.sum(work, axis=-1), axis=-1)[..., None, None] / (server.frequency_hz * tau_s)
    everywhere = xp.ones_like(work)

    columns = (
        xp.log(_LEAST + local_s / deadline_s),
        xp.log(_LEAST + upload_s / deadline_s),
        xp.log(_LEAST + work / share_hz / deadline_s),
        xp.log(_LEAST + work / share_hz / deadline_s / xp.clip(left, 0.01, 1.0)),
        xp.asinh(4.0 * (local_s / deadline_s - 1.0)),
        xp.asinh(4.0 * left),
        xp.log(_LEAST + weights.energy_weight * num_task * local_j),
        xp.asinh(4.0 * urgency * size_bytes / system.backlog_unit_bytes),
        xp.asinh(4.0 * urgency * drain_bytes / system.backlog_unit_bytes) * everywhere,
        xp.asinh(4.0 * bias_hz / share_hz) * everywhere,
        xp.log(deadline_s / tau_s) * everywhere,
        xp.asinh(backlog) * everywhere,
        everywhere * math.log(_LEAST + edge_cost),
        everywhere * math.log1p(weights.deadline_price),
        everywhere * math.log(num_task) / 4.0,
        everywhere * xp.log(_LEAST + load),
    )
    scaled = xp.stack([0.5 * column for column in columns], axis=-1)
    return xp.where(exists[..., None], scaled, 0.0 * scaled)
