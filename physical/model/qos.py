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


def system_qos(task_qos: Array) -> Array:
    """Return the QoS of the system: mean over classes, then over vehicles.

    ``U_sys = 1/N sum_n (1/K sum_k U_nk)``

    Parameters
    ----------
    task_qos : [..., N, K], no unit

    Returns
    -------
    [...], no unit

    **Source** paper 'dtecn', eqs. 12-13. A mean, whereas energy is a sum: their trade-off changes with N.

    >>> import numpy as np
    >>> float(system_qos(np.array([[1.0, 0.5], [0.0, -0.5]])))
    0.25
    """
    xp = namespace(task_qos)
    return xp.mean(xp.mean(task_qos, axis=-1), axis=-1)
