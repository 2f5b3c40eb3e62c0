"""The per-slot objective P2: drift plus penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physical.model.arrays import Array, namespace

if TYPE_CHECKING:
    from physical.params import Objective


def drift(backlog_bytes: Array, arrivals_bytes: Array, service_bytes: Array, backlog_unit_bytes: float) -> Array:
    """Return the drift term: ``sum_k (q_k / Q0) ((Z_k - phi_k) / Q0)``.

    Parameters
    ----------
    backlog_bytes : [..., K], bytes
    arrivals_bytes : [..., K], bytes
    service_bytes : [..., K], bytes
    backlog_unit_bytes : bytes, unit Q0 of the backlog; mean arrivals of one class in a slot

    Returns
    -------
    [...], no unit

    **Source** paper 'dtecn', sum of eq. 24a. The paper adds bytes squared to joules; here backlog is counted in Q0.

    >>> import numpy as np
    >>> float(drift(np.array([20.0, 0.0]), np.array([30.0, 9.0]), np.array([10.0, 0.0]), 10.0))
    4.0
    """
    growth = (arrivals_bytes - service_bytes) / backlog_unit_bytes
    return namespace(growth).sum(backlog_bytes / backlog_unit_bytes * growth, axis=-1)


def realised_drift(backlog_bytes: Array, next_backlog_bytes: Array, backlog_unit_bytes: float) -> Array:
    """Return the drift that has happened in a slot: ``sum_k (q_k(t) / Q0) ((q_k(t+1) - q_k(t)) / Q0)``.

    Parameters
    ----------
    backlog_bytes : [..., K], bytes, at the start of the slot
    next_backlog_bytes : [..., K], bytes, at the start of the next one
    backlog_unit_bytes : bytes, unit Q0 of the backlog

    Returns
    -------
    [...], no unit

    **Source** paper 'dtecn', eq. 24a with the true growth of the backlog for Z - phi: service that an empty queue is
    offered serves nobody, and so the two differ.

    >>> import numpy as np
    >>> float(realised_drift(np.array([20.0, 0.0]), np.array([15.0, 9.0]), 10.0))
    -1.0
    """
    return drift(backlog_bytes, next_backlog_bytes, backlog_bytes, backlog_unit_bytes)


def p2(drift: Array, qos: Array, energy_j: Array, miss_ratio: Array, weights: Objective) -> Array:
    """Return the objective to minimise: ``beta drift - w_U qos + w_E E + P_m miss``.

    A weight of 0 removes its term, also where the term is infinite (an offloaded task without any CPU).

    Parameters
    ----------
    drift : [...], no unit
    qos : [...], no unit, of the system
    energy_j : [...], J, of the system
    miss_ratio : [...], no unit, share of late tasks
    weights : beta, w_U, w_E (1/J), P_m

    Returns
    -------
    [...], no unit

    **Source** paper 'dtecn', eq. 24, which has w_U = w_E = 1 and P_m = 0; deadlines (the first of two 24c) become a
    price P_m.

    >>> from physical.params import Objective
    >>> p2(0.5, 0.75, 2.0, 0.25, Objective(energy_weight=0.5, deadline_price=4.0, beta=0.5))
    1.5
    """
    cost = weights.beta * drift + weights.energy_weight * energy_j
    if weights.qos_weight:
        cost = cost - weights.qos_weight * qos
    return cost + weights.deadline_price * miss_ratio


def penalty(qos: Array, energy_j: Array, miss_ratio: Array, weights: Objective) -> Array:
    """Return the objective without the drift: ``-w_U qos + w_E E + P_m miss``.

    Parameters
    ----------
    qos : [...], no unit, of the system
    energy_j : [...], J, of the system
    miss_ratio : [...], no unit, share of late tasks
    weights : w_U, w_E (1/J), P_m

    Returns
    -------
    [...], no unit

    **Source** paper 'dtecn', eq. 17a, with a price P_m in place of the deadlines (17c).

    >>> from physical.params import Objective
    >>> penalty(0.75, 2.0, 0.25, Objective(energy_weight=0.5, deadline_price=4.0, beta=0.5))
    1.25
    """
    return p2(0.0, qos, energy_j, miss_ratio, weights)


def weighted_cost(time_s: Array, energy_j: Array, time_weight_per_s: float, energy_weight_per_j: float) -> Array:
    """Return the weighted cost of time and energy: ``w t + v e``.

    Parameters
    ----------
    time_s : [...], s
    energy_j : [...], J
    time_weight_per_s : no unit per s, omega_t, or omega_t / T0 if times are counted in T0
    energy_weight_per_j : no unit per J, omega_e, or omega_e / E0 if energies are counted in E0

    Returns
    -------
    [...], no unit

    **Source** paper 'llm6g', eqs. 5, 9 and 10, which add seconds to joules (T0 = 1 s, E0 = 1 J).

    >>> weighted_cost(2.0, 10.0, 0.5, 0.25)
    3.5
    """
    return time_weight_per_s * time_s + energy_weight_per_j * energy_j
