"""All that a policy gets to see: the twin's estimate of the system at one moment."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from physical.model.arrays import every
from physical.quantize import freeze
from physical.system import System


@dataclass(frozen=True, eq=False)  # one is another if it is another object: arrays have no truth value
class TwinSnapshot:
    """Estimated state for N vehicles and K task classes; all arrays are read-only.

    Parameters
    ----------
    slot : index of the slot to decide
    time_ns : ns, time of the decision
    system : the static description, known to the twin
    size_bytes : [N, K], estimated sizes of the slot's tasks
    x_m, y_m : [N], estimated positions
    speed_mps, heading_rad : [N], last reported
    serving_node : [N], index of the last reported serving node; -1 without one, -2 for one that is not in the scene
    channel_gain : [N], estimated linear power gain to the serving node; without one, to the first
    age_of_information_s : [N], time since the state was sampled that the estimate rests on
    backlog_bytes : [K], last reported backlog of the servers' queues, all nodes together
    estimation_bias_hz : [N, K], the bias of edge frequencies as far as the twin knows it
    cpu_backlog_cycles : [N], cycles, estimated local work of earlier slots that waits or runs on each vehicle
    uplink_backlog_bytes : [N], bytes, estimated part of earlier slots' tasks that waits for each vehicle's uplink or is
        being sent
    flow_backlog_cycles : [N, K], cycles, with `slices` the estimated work of each flow at the server of its serving
        node; 0 with other disciplines

    The last three are 0 where they are not given. Reported is what waits at the start of a slot, before the tasks of
    that slot begin.
    """

    slot: int
    time_ns: int
    system: System
    size_bytes: Floats
    x_m: Floats
    y_m: Floats
    speed_mps: Floats
    heading_rad: Floats
    serving_node: Ints
    channel_gain: Floats
    age_of_information_s: Floats
    backlog_bytes: Floats
    estimation_bias_hz: Floats
    cpu_backlog_cycles: Floats = None  # type: ignore[assignment]  # filled in below
    uplink_backlog_bytes: Floats = None  # type: ignore[assignment]  # filled in below
    flow_backlog_cycles: Floats = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        """Let nothing wait where nothing is told."""
        shape = self.size_bytes.shape
        if self.cpu_backlog_cycles is None:
            object.__setattr__(self, "cpu_backlog_cycles", _nothing(shape[:1]))
        if self.uplink_backlog_bytes is None:
            object.__setattr__(self, "uplink_backlog_bytes", _nothing(shape[:1]))
        if self.flow_backlog_cycles is None:
            object.__setattr__(self, "flow_backlog_cycles", _nothing(shape))

    @cached_property
    def flows_wait(self) -> bool:
        """Whether work of some flow waits at a server, as far as the twin knows."""
        cycles = self.flow_backlog_cycles
        return cycles is not _nothing(cycles.shape) and bool(cycles.any())

    @cached_property
    def all_attached(self) -> bool:
        """Whether every vehicle has a serving node, as far as the twin knows."""
        return every(self.serving_node >= 0)

    @cached_property
    def uplink_rate_bps(self) -> Floats:
        """Uplink rates that follow from the estimated gains (eq. 2), [N], whole bit/s."""
        rate_bps: Floats = self.system.uplink_rate_bps(self.channel_gain)
        return rate_bps

    def derived(self, compute: Callable[[TwinSnapshot], Floats]) -> Floats:
        """Return what follows from the snapshot by a function of ours: computed once, for its copies, too."""
        known: dict[str, Floats] = vars(self).setdefault("_derived", {})
        if (name := compute.__name__) not in known:
            known[name] = compute(self)
        return known[name]


@cache
def _nothing(shape: tuple[int, ...]) -> Floats:
    """Return zeros, read-only."""
    zeros = np.zeros(shape)
    freeze(zeros)
    return zeros


_ARRAYS = tuple(
    field.name for field in dataclasses.fields(TwinSnapshot) if field.name not in {"slot", "time_ns", "system"}
)


class Copies:
    """Makes the snapshots and the system that one policy gets: they share nothing with the twin's own.

    Whatever a policy writes into them, by whatever trick, the twin, the record and other policies do not see it. Their
    arrays lie in `bytes`, so that NumPy itself refuses to make them writable.

    Parameters
    ----------
    system : the description of the physical system that the world uses

    Attributes
    ----------
    system : a copy of it
    """

    def __init__(self, system: System) -> None:
        self.system = _copy_of_system(system)
        self._originals: dict[str, NDArray[Any]] = {}
        self._copies: dict[str, NDArray[Any]] = {}

    def of(self, snapshot: TwinSnapshot) -> TwinSnapshot:
        """Return a copy of a snapshot; what has not changed since the last one is copied once."""
        made = object.__new__(TwinSnapshot)  # in half the time of the constructor, which sets each field by itself
        known, fields = vars(snapshot), vars(made)
        fields["slot"], fields["time_ns"], fields["system"] = snapshot.slot, snapshot.time_ns, self.system
        fields["flows_wait"] = snapshot.flows_wait
        if "_derived" in known:
            fields["_derived"] = {name: sealed(values) for name, values in known["_derived"].items()}
        originals, copies = self._originals, self._copies
        for name in _ARRAYS:
            values = known[name]
            if originals.get(name) is not values:
                originals[name], copies[name] = values, sealed(values)
            fields[name] = copies[name]
        return made


def sealed(values: NDArray[Any]) -> NDArray[Any]:
    """Return a copy in C order that cannot be made writable again.

    >>> sealed(np.zeros(2)).setflags(write=True)
    Traceback (most recent call last):
    ValueError: cannot set WRITEABLE flag to True of this array
    """
    return np.ndarray(values.shape, values.dtype, values.tobytes())


def _copy_of_system(system: System) -> System:
    """Return a system whose arrays are sealed and whose parameter tables are copies."""
    copies: dict[str, Any] = {}
    for field in dataclasses.fields(system):
        value = getattr(system, field.name)
        copies[field.name] = sealed(value) if isinstance(value, np.ndarray) else copy.deepcopy(value)
    return System(**copies)
