"""The K class queues of the server at slot boundaries."""

from __future__ import annotations

from physical.model.arrays import Array, namespace


def arrivals_bytes(size_bytes: Array, offloading_ratio: Array) -> Array:
    """Return what arrives at each queue in a slot: ``Z_k = sum_n omega_nk D_nk``.

    Parameters
    ----------
    size_bytes : [..., N, K], bytes
    offloading_ratio : [..., N, K], no unit, in [0, 1]

    Returns
    -------
    [..., K], bytes

    **Source** paper 'dtecn', below eq. 5.

    >>> import numpy as np
    >>> arrivals_bytes(np.array([[100.0, 200.0], [300.0, 400.0]]), np.array([[1.0, 0.5], [0.5, 0.0]])).tolist()
    [250.0, 100.0]
    """
    arriving_bytes = offloading_ratio * size_bytes
    return namespace(arriving_bytes).sum(arriving_bytes, axis=-2)


def service_bytes(edge_frequency_hz: Array, cycles_per_byte: Array, slot_duration_s: float) -> Array:
    """Return what each queue can serve in a slot: ``phi_k = slot sum_n y_nk / c_k``.

    Parameters
    ----------
    edge_frequency_hz : [..., N, K], Hz, as counted: allocations, or true edge frequencies
    cycles_per_byte : [K], cycles/byte
    slot_duration_s : s

    Returns
    -------
    [..., K], bytes

    **Source** paper 'dtecn', above eq. 5. The paper's phi lacks the slot length: it is a rate in bytes/s, and eq. 5
    subtracts it from bytes.

    >>> import numpy as np
    >>> service_bytes(np.array([[100.0, 200.0], [300.0, 400.0]]), np.array([2.0, 4.0]), 0.5).tolist()
    [100.0, 75.0]
    """
    total_hz = namespace(edge_frequency_hz).sum(edge_frequency_hz, axis=-2)
    return slot_duration_s * total_hz / cycles_per_byte


def next_backlog_bytes(backlog_bytes: Array, arrivals_bytes: Array, service_bytes: Array) -> Array:
    """Return the backlog at the next slot: ``q' = max(q + Z - phi, 0)``.

    Parameters
    ----------
    backlog_bytes : [..., K], bytes
    arrivals_bytes : [..., K], bytes
    service_bytes : [..., K], bytes

    Returns
    -------
    [..., K], bytes

    **Source** paper 'dtecn', eq. 5. It pools the service of a class, whereas eq. 9 gives each task its own share.

    >>> import numpy as np
    >>> next_backlog_bytes(np.array([5.0, 5.0]), np.array([3.0, 3.0]), np.array([6.0, 10.0])).tolist()
    [2.0, 0.0]
    """
    backlog_bytes = backlog_bytes + arrivals_bytes - service_bytes
    return namespace(backlog_bytes).maximum(backlog_bytes, 0.0)


def lyapunov(backlog_bytes: Array) -> Array:
    """Return the Lyapunov function of the queues: ``L = 1/2 sum_k q_k^2``.

    Parameters
    ----------
    backlog_bytes : [..., K], bytes, or any other unit of backlog

    Returns
    -------
    [...], that unit squared

    **Source** paper 'dtecn', below eq. 18.

    >>> import numpy as np
    >>> float(lyapunov(np.array([3.0, 4.0])))
    12.5
    """
    return 0.5 * namespace(backlog_bytes).sum(backlog_bytes * backlog_bytes, axis=-1)
