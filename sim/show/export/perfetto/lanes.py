"""Puts slices that overlap on different lanes, so that slices of one lane follow each other."""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from physical.arrays import Ints


def deal(group: Ints, begin_ns: Ints, end_ns: Ints) -> Ints:
    """Return a lane for every slice, [n]: the lowest one of its group that is free when it begins.

    group : [n], slices of different groups share no lane
    begin_ns, end_ns : [n], ns; sorted by `begin_ns`

    >>> deal(np.array([0, 0, 0, 1]), np.array([0, 1, 5, 6]), np.array([5, 2, 6, 7])).tolist()
    [0, 1, 0, 0]
    """
    busy: dict[int, list[tuple[int, int]]] = {}
    free: dict[int, list[int]] = {}
    lanes = np.empty(len(group), dtype=np.int64)
    for index, (where, begin, end) in enumerate(zip(group.tolist(), begin_ns.tolist(), end_ns.tolist(), strict=True)):
        taken, left = busy.setdefault(where, []), free.setdefault(where, [])
        while taken and taken[0][0] <= begin:
            heappush(left, heappop(taken)[1])
        lane = heappop(left) if left else len(taken)
        heappush(taken, (end, lane))
        lanes[index] = lane
    return lanes
