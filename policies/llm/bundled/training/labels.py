"""What the bundled model learns from: for every task, what each answer would cost at the best price of capacity.

A label that is just the optimum's answer says nothing about which errors matter. At the price p of a slot's capacity
P2 falls apart into its tasks, and each answer of a task has a cost of its own: a share that is a bit too small for the
deadline costs P_m, one that is a bit too large almost nothing.
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
    """Cost of the answers of tasks in parts of the QoS that one task can earn; arrays [..., M], no unit.

    Offloaded with a share a of the server, a task costs ``base + reciprocal / (a + bias) + miss [a + bias < enough] +
    slope (a + bias)``; on its vehicle it costs ``idle``.

    Parameters
    ----------
    base : backlog that arrives, upload
    reciprocal : time at the edge, on the whole server
    bias : estimation bias over the capacity of the server
    enough : least true share that keeps the deadline; infinite if none does
    miss : price of a deadline that is missed
    slope : price of the whole server, less what it earns by draining backlog
    idle : energy, time and a miss on the vehicle
    load : what the task takes of the whole server for a slot
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
    """Return what the answers of a slot's tasks cost at the best price of its capacity, [N K] each, and that price.

    The price is that of the whole server, in the unit of the costs.

    **Source** the Lagrangian of P2 that `policies.optimal` bounds it by; whole tasks only.
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
    """Return the costs at a price of capacity, which pays for its energy, too.

    tasks : P2 of the slot, sequential, uploads in proportion, capacity and energy of true speeds
    server_hz : Hz, what shares are parts of
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
    price : [...], what the price rises by, in the unit of the costs
    worth : [...], what it is worth more to drain the task's queue with the whole server for a slot
    """
    return terms._replace(base=terms.base + worth * terms.load, slope=terms.slope + price - worth)


def best_shares(terms: Terms) -> Array:
    """Return the best answer of every task, a share of the server or 0 for local, [..., M].

    Either the share at which the marginal gain in time is the price, or the least one that keeps the deadline.
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
