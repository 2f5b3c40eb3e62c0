"""What holds at serving nodes, laid out for the vehicles that they serve."""

from __future__ import annotations

from physical.model.arrays import Array, namespace


def at_node(values: Array, node: Array) -> Array:
    """Return what holds at the serving nodes, [..., N, 1], given `values` [M]; no node (-1) counts as the first.

    >>> import numpy as np
    >>> at_node(np.array([1e9, 2e9]), np.array([1, -1])).tolist()
    [[2000000000.0], [1000000000.0]]
    """
    return values[namespace(node).where(node < 0, 0 * node, node)][..., None]


def at_own(values: Array, node: Array | None) -> Array:
    """Return what holds at the serving nodes, as `at_node`; without `node`, at the only one.

    Raises
    ------
    ValueError : there are several nodes, and nobody tells who is at which
    """
    if node is not None:
        return at_node(values, node)
    if len(values) > 1:
        raise ValueError(f"there are {len(values)} nodes; tell who is at which")
    return values[0]
