"""Which node serves a vehicle: the nearest or the one with the best channel, with hysteresis, within range."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.model import units
from physical.params import Radio
from physical.states import AWAY, NO_NODE


class Association:
    """Attaches N vehicles to M nodes, slot after slot; if several nodes are equally good, the first of them serves."""

    def __init__(self, radio: Radio, node_m: Floats, num_vehicle: int) -> None:
        self._radio = radio
        self._node_m = node_m
        self._node = np.full(num_vehicle, NO_NODE, dtype=np.int64)

    def attach(self, position_m: Floats, gain: Floats, down: Mask | None, present: Mask | None) -> Ints:
        """Return the serving nodes in the next slots, [B, N].

        A vehicle out of range has `NO_NODE`, one that is absent `AWAY`.

        position_m : [B, N, 2]
        gain : [B, N, M], large-scale
        down : [B, M], nodes that are out of order
        present : [B, N]
        """
        if len(self._node_m) == 1 and down is None and self._radio.range_m is None:
            node = np.zeros(position_m.shape[:-1], dtype=np.int64)
            return node if present is None else np.where(present, node, AWAY)
        away_m = position_m[..., np.newaxis, :] - self._node_m
        distance_m = np.sqrt((away_m * away_m).sum(axis=-1))
        # What is minimised, in m or dB; infinite where a node cannot serve.
        if self._radio.association == "nearest":
            cost, hysteresis = distance_m, self._radio.hysteresis_m
        else:
            cost, hysteresis = -units.linear_to_db(gain), self._radio.hysteresis_db
        if self._radio.range_m is not None:
            cost = np.where(distance_m <= self._radio.range_m, cost, np.inf)
        if down is not None:
            cost = np.where(down[:, np.newaxis, :], np.inf, cost)
        node = np.empty(position_m.shape[:-1], dtype=np.int64)
        for row in range(len(node)):
            self._node = self._choose(cost[row], hysteresis)
            if present is not None:
                self._node = np.where(present[row], self._node, NO_NODE)
            node[row] = self._node
        return node if present is None else np.where(present, node, AWAY)

    def _choose(self, cost: Floats, hysteresis: float) -> Ints:
        """Return the node of each vehicle: the present one unless another is better by more than the hysteresis."""
        best = cost.argmin(axis=-1)
        least = np.take_along_axis(cost, best[:, np.newaxis], axis=-1)[:, 0]
        present = np.take_along_axis(cost, np.maximum(self._node, 0)[:, np.newaxis], axis=-1)[:, 0]
        stays = (self._node >= 0) & np.isfinite(present) & (present - hysteresis <= least)
        return np.where(np.isfinite(least), np.where(stays, self._node, best), NO_NODE)
