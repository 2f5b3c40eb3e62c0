"""Quality of service: delay against deadline."""

from __future__ import annotations

from physical.model.arrays import Array, namespace


def qos(delay_s: Array, deadline_s: Array) -> Array:
    """Return the QoS of a task: ``U = 1 - t / T``.

    Parameters
    ----------
    delay_s : [...], s
    deadline_s : [...], s, > 0

    Returns
    -------
    [...], no unit; 1 at no delay, 0 at the deadline, negative after it

    **Source** paper 'dtecn', eq. 11.

    >>> qos(0.025, 0.1)
    0.75
    """
    return 1.0 - delay_s / deadline_s


def floor_delay_s(deadline_s: Array, qos_floor: float) -> Array:
    """Return the delay at which the QoS of a task reaches its floor u: ``(1 - u) T``.

    What a run realises counts no task below the floor: its QoS is ``max(1 - t / T, u)``, which is that of the delay
    ``min(t, (1 - u) T)``. A task that is lost counts the floor, so its delay is at least this one.

    Parameters
    ----------
    deadline_s : [...], s
    qos_floor : no unit, u <= 0

    Returns
    -------
    [...], s

    **Source** none: eq. 11 of paper 'dtecn' has no floor and no losses. Without a floor, losing a task early would be
    better than finishing it very late.

    >>> floor_delay_s(0.1, -1.0)
    0.2
    """
    return (1.0 - qos_floor) * deadline_s


def deadline_missed(delay_s: Array, deadline_s: Array) -> Array:
    """Return 1 where a task is late, else 0: ``[t > T]``.

    Parameters
    ----------
    delay_s : [...], s, an array
    deadline_s : [...], s

    Returns
    -------
    [...], no unit, 0.0 or 1.0 in the type of `delay_s`; no gradient

    **Source** paper 'dtecn', constraint (17c), counted instead of enforced: it cannot always be met.

    >>> import numpy as np
    >>> deadline_missed(np.array([0.1, 0.2]), 0.1).tolist()
    [0.0, 1.0]
    """
    return namespace(delay_s).astype(delay_s > deadline_s, delay_s.dtype)


def mean_of_tasks(values: Array, present: Array) -> Array:
    """Return the mean over classes, then over vehicles; where some tasks are absent, over those that there are.

    ``U_sys = 1/N sum_n (1/K sum_k U_nk)`` if every vehicle has a task of each class

    Parameters
    ----------
    values : [..., N, K], no unit, for example QoS
    present : [..., N, K], bool, which tasks there are

    Returns
    -------
    [...], no unit; 0 where there is no task

    **Source** paper 'dtecn', eqs. 12-13. A mean, whereas energy is a sum: their trade-off changes with N.

    >>> import numpy as np
    >>> float(mean_of_tasks(np.array([[1.0, 0.5], [0.0, -0.5]]), np.array([[True, True], [True, True]])))
    0.25
    >>> float(mean_of_tasks(np.array([[1.0, 0.5], [0.0, -0.5]]), np.array([[True, True], [True, False]])))
    0.5
    """
    xp = namespace(values)
    whole = xp.mean(xp.mean(values, axis=-1), axis=-1)
    if bool(xp.all(present)):
        return whole
    num_task = xp.sum(xp.sum(xp.astype(present, values.dtype), axis=-1), axis=-1)
    total = xp.sum(xp.sum(xp.where(present, values, xp.zeros_like(values)), axis=-1), axis=-1)
    # A slot with all its tasks has the same bits alone and in a block with others.
    is_whole = num_task == values.shape[-2] * values.shape[-1]
    return xp.where(is_whole, whole, total / xp.where(num_task > 0, num_task, 1.0 + num_task))
