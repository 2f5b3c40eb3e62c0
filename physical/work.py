"""Two models of tasks: bytes that are cut anywhere, and transformers that are split between whole layers."""

# ruff: noqa: ARG002 - one model of tasks needs what the other does not

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physical.model import rate, transformer, units
from physical.model.arrays import Array, namespace
from physical.nodes import at_own
from physical.params import UploadRule


@dataclass(frozen=True, eq=False)
class ByteWork:
    """Tasks of so many cycles a byte, wherever they run, that may be cut anywhere; K classes.

    Parameters
    ----------
    cycles_per_byte : [K]
    upload_rule : how an upload grows with the offloading ratio
    """

    cycles_per_byte: Array
    upload_rule: UploadRule

    def work_cycles(self, size_bytes: Array, node: Array | None) -> tuple[Array, Array]:
        """Return the work of whole tasks in cycles of their vehicle and of an edge server, both [..., N, K].

        size_bytes : [..., N, K], bytes
        node : [..., N], index of the serving node, -1 (none) counts as the first; None: there is one node
        """
        work = size_bytes * self.cycles_per_byte
        return work, work

    def upload_bytes(self, size_bytes: Array, offloading_ratio: Array, task_class: Array | None = None) -> Array:
        """Return what is sent of tasks.

        size_bytes, offloading_ratio : [..., N, K], or [...] with the class of each in `task_class`
        """
        return rate.upload_bytes(size_bytes, offloading_ratio, self.upload_rule)

    def queued_bytes(self, size_bytes: Array, offloading_ratio: Array, edge_cycles: Array) -> Array:
        """Return what offloaded parts add to the queues, in the bytes in which those count their work, [..., N, K].

        size_bytes, offloading_ratio : [..., N, K]
        edge_cycles : [..., N, K], cycles, work of the offloaded parts
        """
        return offloading_ratio * size_bytes

    def split(self, offloading_ratio: Array) -> Array:
        """Return the ratios nearest to those given, in [0, 1], at which tasks can be cut, [..., N, K]; NumPy only."""
        return offloading_ratio


@dataclass(frozen=True, eq=False)
class LayerWork(ByteWork):
    """Tasks some classes of which are transformers: split between layers, of which at least one is local.

    Their work depends on the hardware; what is sent are the activations, whole if at all. In mode "paper" a prompt of d
    tokens sends the d bits of eq. 4 of 'llm6g' instead.

    Parameters
    ----------
    num_layer : [K], layers of a transformer class; 0 for other classes
    hidden_size, batch_size, bytes_per_token : [K]
    vehicle_flop_per_cycle, node_flop_per_cycle : [N], [M]
    literal : mode "paper"
    """

    num_layer: Array
    hidden_size: Array
    batch_size: Array
    bytes_per_token: Array
    vehicle_flop_per_cycle: Array
    node_flop_per_cycle: Array
    literal: bool

    def work_cycles(self, size_bytes: Array, node: Array | None) -> tuple[Array, Array]:
        """Return the work of whole tasks in cycles of their vehicle and of an edge server, as `ByteWork` does."""
        work = size_bytes * self.cycles_per_byte
        num_token = size_bytes / self.bytes_per_token
        flop = self.num_layer * transformer.layer_flops(num_token, self.hidden_size, self.batch_size)
        xp, is_split = namespace(size_bytes), self.num_layer > 0
        local = xp.where(is_split, flop / self.vehicle_flop_per_cycle[..., None], work)
        return local, xp.where(is_split, flop / at_own(self.node_flop_per_cycle, node), work)

    def upload_bytes(self, size_bytes: Array, offloading_ratio: Array, task_class: Array | None = None) -> Array:
        """Return what is sent of tasks, as `ByteWork` does."""
        by_rule = rate.upload_bytes(size_bytes, offloading_ratio, self.upload_rule)
        sent_bytes, classes = size_bytes, slice(None) if task_class is None else task_class
        if self.literal:
            sent_bytes = size_bytes / self.bytes_per_token[classes] / units.BITS_PER_BYTE
        whole = rate.upload_bytes(sent_bytes, offloading_ratio, "whole")
        return namespace(by_rule).where(self.num_layer[classes] > 0, whole, by_rule)

    def queued_bytes(self, size_bytes: Array, offloading_ratio: Array, edge_cycles: Array) -> Array:
        """Return the bytes of mean tasks that take the same work, as `ByteWork` does."""
        return edge_cycles / self.cycles_per_byte

    def split(self, offloading_ratio: Array) -> Array:
        """Return the nearest ratios at which a whole number of layers, one at least, is local, [..., N, K]."""
        layers = np.maximum(self.num_layer, 1.0)
        num_local = np.clip(np.rint((1.0 - offloading_ratio) * layers), np.minimum(self.num_layer, 1.0), layers)
        return np.where(self.num_layer > 0, (layers - num_local) / layers, offloading_ratio)
