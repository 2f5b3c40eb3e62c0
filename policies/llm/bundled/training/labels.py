"""The labels of the training: for every task, the cost of each answer at the best price of capacity.

If the label were only the optimal answer, it would not tell which errors matter. At the price p of a slot's capacity,
P2 separates into its tasks, and each answer of a task has its own cost. A share that is slightly too small for the
deadline costs P_m; a share that is slightly too large costs almost nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physical.model.arrays import Array
from policies.optimal.branch import root_bracket
from policies.optimal.options import list_options
from policies.optimal.tasks import Tasks, read_tasks
from twin.snapshot import TwinSnapshot

_TOLERANCE = 1e-6


class Terms(NamedTuple):
    """Costs of the answers of tasks, in parts of the QoS that one task can earn; arrays [..., M], no unit.

    Offloaded with a share a of the server, a task costs ``base + reciprocal / (a + bias) + miss [a + bias < enough] +
    slope (a + bias)``; on its vehicle it costs ``idle``.

    Parameters
    ----------
    base : backlog that arrives, upload
    reciprocal : time at the edge, on the whole server
    bias : estimation bias over the capacity of the server
    enough : least true share that keeps the deadline; infinite if no share does
    miss : price of a missed deadline
    slope : price of the whole server, less its gain by draining backlog
    idle : energy, time and a miss on the vehicle
    load : part of the whole server that the task needs for a slot
    """

    base: Array
    reciprocal: Array
    bias: Array
    enough: Array
    miss: Array
    slope: Array
    idle: Array
    load: Array


def terms(snapshot: TwinSnapshot) -> tuple[Terms, float]:
    """Return the costs of the answers of a slot's tasks at the best price of its capacity, [N K] each, and that price.

    The price is that of the whole server, in the unit of the costs.

    **Source** the Lagrangian of P2 by which `policies.optimal` bounds it; whole tasks only.
    """
    tasks = read_tasks(snapshot)
    options = list_options(tasks)
    root = root_bracket(tasks, options, _TOLERANCE)
    price = root.high.price
    system = snapshot.system
    server_hz = system.server.frequency_hz
    found = terms_at(tasks, server_hz, system.slot_duration_s, price)
    return found, tasks.num_task * server_hz * price


def terms_at(tasks: Tasks, server_hz: float, slot_duration_s: float, price: float) -> Terms:
    """Return the costs at a price of capacity, which also pays for its energy.

    tasks : P2 of the slot: sequential, uploads in proportion, capacity and energy of true speeds
    server_hz : Hz, capacity whose parts the shares are
    slot_duration_s : s
    price : 1/Hz, as in `policies.optimal.dual`
    """
    scale = float(tasks.num_task)
    left_s = tasks.deadline_s - tasks.upload_s
    enough_hz = np.where(left_s > 0.0, tasks.work_cycles / np.where(left_s > 0.0, left_s, 1.0), np.inf)
    delay_cost = tasks.delay_cost_per_s
    return Terms(
        base=scale * (tasks.backlog_cost + delay_cost * tasks.upload_s),
        reciprocal=scale * delay_cost * tasks.work_cycles / server_hz,
        bias=tasks.bias_hz / server_hz,
        enough=enough_hz / server_hz,
        miss=np.full(tasks.num_task, scale * tasks.miss_cost),
        slope=scale * (price - tasks.drain_per_hz) * server_hz,
        idle=scale * (tasks.local_cost + delay_cost * tasks.idle_delay_s + tasks.miss_cost * tasks.idle_late),
        load=tasks.work_cycles / (server_hz * slot_duration_s),
    )


def elsewhere(terms: Terms, price: Array, worth: Array) -> Terms:
    """Return the costs at another price of the whole server, and with other backlogs.

    Parameters
    ----------
    price : [...], increase of the price, in the unit of the costs
    worth : [...], increase of the worth of draining the task's queue with the whole server for a slot
    """
    return terms._replace(base=terms.base + worth * terms.load, slope=terms.slope + price - worth)


def best_shares(terms: Terms) -> Array:
    """Return the best answer of every task, a share of the server or 0 for local, [..., M].

    It is either the share at which the marginal gain in time equals the price, or the least share that keeps the
    deadline.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = np.sqrt(terms.reciprocal / np.maximum(terms.slope, 1e-6))
        soft = terms.base + terms.reciprocal / speed + terms.slope * speed
        soft = soft + terms.miss * (speed < terms.enough)
        bound = terms.base + terms.reciprocal / terms.enough + terms.slope * terms.enough
    bound = np.where(np.isfinite(terms.enough), bound, np.inf)
    is_bound = bound < soft
    share = np.where(is_bound, terms.enough, speed) - terms.bias
    better = np.minimum(bound, soft) < terms.idle
    return np.where(better & (share > 0.0), share, 0.0)
