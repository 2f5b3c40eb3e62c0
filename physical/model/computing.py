"""Work of a task in CPU cycles, and the delays of its local and edge parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from physical.model.arrays import Array, every, namespace

if TYPE_CHECKING:
    from physical.params import TaskOrder

_ROUNDING = 1e-12


def local_part(work_cycles: Array, offloading_ratio: Array) -> Array:
    """Return the part of a task's work that stays in the vehicle: ``(1 - omega) W``.

    Parameters
    ----------
    work_cycles : [..., N, K], cycles of the vehicle, the whole task
    offloading_ratio : [..., N, K], no unit, in [0, 1]; (Upsilon - alpha) / Upsilon of layers

    Returns
    -------
    [..., N, K], cycles

    **Source** paper 'dtecn', numerator of eq. 7; paper 'llm6g', first term of eq. 5.

    >>> local_part(4000.0, 0.25)
    3000.0
    """
    return (1.0 - offloading_ratio) * work_cycles


def edge_part(work_cycles: Array, offloading_ratio: Array) -> Array:
    """Return the part of a task's work that goes to the server: ``omega W``.

    Parameters
    ----------
    work_cycles : [..., N, K], cycles of the server, the whole task
    offloading_ratio : [..., N, K], no unit, in [0, 1]; (Upsilon - alpha) / Upsilon of layers

    Returns
    -------
    [..., N, K], cycles

    **Source** paper 'dtecn', numerator of the second term of eq. 9; paper 'llm6g', eq. 9.

    >>> edge_part(4000.0, 0.25)
    1000.0
    """
    return offloading_ratio * work_cycles


def execution_delay_s(cycles: Array, frequency_hz: Array) -> Array:
    """Return how long work takes: ``cycles / f``; 0 without work, infinite with work but no CPU.

    Gradients are finite everywhere, also at ``cycles = 0`` and ``f = 0``.

    Parameters
    ----------
    cycles : [...], cycles, >= 0
    frequency_hz : [...], Hz, >= 0

    Returns
    -------
    [...], s

    **Source** paper 'dtecn', eq. 7 and the second term of eq. 9; the paper leaves 0 / 0 open.

    >>> import numpy as np
    >>> execution_delay_s(np.array([0.0, 6.0, 6.0]), np.array([0.0, 0.0, 3.0])).tolist()
    [0.0, inf, 2.0]
    """
    xp = namespace(cycles, frequency_hz)
    runs = frequency_hz > 0.0
    if xp is np and (every(runs) if isinstance(runs, np.ndarray) else runs):
        return cycles / frequency_hz
    running_s = cycles / xp.where(runs, frequency_hz, 1.0)
    return xp.where(runs, running_s, xp.where(cycles > 0.0, xp.inf, 0.0 * running_s))


def edge_frequency_hz(compute_allocation_hz: Array, estimation_bias_hz: Array) -> Array:
    """Return the frequency at which the server really runs: ``y = max(x + bias, 0)`` where x > 0, else 0.

    Parameters
    ----------
    compute_allocation_hz : [..., N, K], Hz, allocation x = alpha f_E, >= 0
    estimation_bias_hz : Hz, a number or [..., N, K]

    Returns
    -------
    [..., N, K], Hz

    **Source** paper 'dtecn', eqs. 8 and 9: load / x plus the delay error of eq. 8 is load / (x + bias). The paper does
    not say what happens without an allocation, or when the bias exceeds it: here nothing runs.

    >>> import numpy as np
    >>> edge_frequency_hz(np.array([0.0, 1e9, 3e9]), -2e9).tolist()
    [0.0, 0.0, 1000000000.0]
    """
    biased_hz = compute_allocation_hz + estimation_bias_hz
    return biased_hz * ((compute_allocation_hz > 0.0) & (biased_hz > 0.0))


def within_capacity_hz(edge_frequency_hz: Array, capacity_hz: Array) -> Array:
    """Return what the flows of a server get of it: all are slowed down together where they exceed its capacity.

    An excess of at most 1e-12 of the capacity is rounding and changes nothing. Gradients are finite.

    Parameters
    ----------
    edge_frequency_hz : [..., N, K], Hz, y = max(x + bias, 0) of the flows of one server; 0 for all others
    capacity_hz : Hz, a number or [...], f_E of that server

    Returns
    -------
    [..., N, K], Hz

    **Source** ours: eqs. 8 and 9 of paper 'dtecn' run at x + bias, whatever f_E is; no server runs faster than it can.

    >>> import numpy as np
    >>> within_capacity_hz(np.array([[1e9, 3e9]]), 2e9).tolist()
    [[500000000.0, 1500000000.0]]
    """
    xp = namespace(edge_frequency_hz)
    if xp is np and edge_frequency_hz.ndim == 2 and edge_frequency_hz.sum() <= capacity_hz * (1.0 + _ROUNDING):
        return edge_frequency_hz  # one slot: the usual case of a run, which calls this in every slot
    total_hz = edge_frequency_hz.sum(-1).sum(-1)
    is_over = total_hz > capacity_hz * (1.0 + _ROUNDING)
    if xp is np and not np.any(is_over):
        return edge_frequency_hz
    part = xp.where(is_over, capacity_hz / xp.where(is_over, total_hz, 1.0), 1.0)
    return part[..., None, None] * edge_frequency_hz


def estimation_delay_s(cycles: Array, compute_allocation_hz: Array, estimation_bias_hz: Array) -> Array:
    """Return the delay error that the estimation bias causes: ``-W bias / (x (x + bias))``.

    The simulator does not use it: it runs at `edge_frequency_hz`, which gives the same delay.

    Parameters
    ----------
    cycles : [..., N, K], cycles, offloaded work W
    compute_allocation_hz : [..., N, K], Hz, allocation x > 0
    estimation_bias_hz : Hz, a number or [..., N, K], > -x

    Returns
    -------
    [..., N, K], s, negative for a positive bias

    **Source** paper 'dtecn', eq. 8, literal.

    >>> estimation_delay_s(12.0, 2.0, 1.0)
    -2.0
    """
    biased_hz = compute_allocation_hz + estimation_bias_hz
    return -cycles * estimation_bias_hz / (compute_allocation_hz * biased_hz)


def task_delay_s(local_delay_s: Array, upload_delay_s: Array, edge_delay_s: Array, order: TaskOrder) -> Array:
    """Return the delay of a whole task: ``local + upload + edge``, or ``max(local, upload + edge)`` in parallel.

    Parameters
    ----------
    local_delay_s : [..., N, K], s
    upload_delay_s : [..., N, K], s
    edge_delay_s : [..., N, K], s, execution only
    order : "sequential" or "parallel"

    Returns
    -------
    [..., N, K], s

    Raises
    ------
    ValueError : an unknown `order`, with its value

    **Source** paper 'dtecn', eq. 10 (sequential, its t_edge is upload plus execution); "parallel" is ours.

    >>> task_delay_s(3.0, 1.0, 1.5, "sequential"), float(task_delay_s(3.0, 1.0, 1.5, "parallel"))
    (5.5, 3.0)
    """
    remote_delay_s = upload_delay_s + edge_delay_s
    if order == "sequential":
        return local_delay_s + remote_delay_s
    if order == "parallel":
        return namespace(local_delay_s, remote_delay_s).maximum(local_delay_s, remote_delay_s)
    raise ValueError(f"task order {order!r} is not one of sequential, parallel")
