"""Projection of any decision on the feasible set: eqs. 24c and 24d of 'dtecn', eqs. 10a to 10e of 'llm6g'."""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.arrays import Floats, Ints, Mask
from physical.model.arrays import every, some
from physical.quantize import freeze
from physical.system import System
from policies.foreign.answers import InvalidDecisionError, numbers_of
from policies.foreign.strangers import class_name
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

FLOOR = 1e-6
"""Least share of the server for a flow that offloads: eq. 9 has no value at 0."""
JOINT_FIELDS = ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")
_ROUNDING = 1e-12
_HUGE = 1e300
"""Beyond this, sums over a decision would overflow; it counts as infinite."""


def reserved_hz(snapshot: TwinSnapshot) -> Floats:
    """Return what nodes keep for the work that flows have left over from earlier slots, [N, K], Hz, as capacity counts.

    With `slices` such work gets the speed of its flow and nothing else: it would starve where its flow is no longer
    commanded. Each gets what finishes it in a slot, at least its floor; all are scaled down together where they leave
    less than the floors of all flows, and nothing is kept where there is not even room for floors. 0 with other
    disciplines, where old work is served in any case.
    """
    return snapshot.derived(_reserved_hz)  # the policy, its fallback and the guard ask for it


def reserve(snapshot: TwinSnapshot) -> None:
    """Compute what nodes keep for leftovers, and what is left, before copies of the snapshot are made."""
    if snapshot.flows_wait:
        rest_hz(snapshot)


def _reserved_hz(snapshot: TwinSnapshot) -> Floats:
    system, node, bias_hz = snapshot.system, snapshot.serving_node, snapshot.estimation_bias_hz
    kept_hz = np.zeros(snapshot.size_bytes.shape)
    if not snapshot.flows_wait:
        return kept_hz
    has = (snapshot.flow_backlog_cycles > 0) & (node >= 0)[:, np.newaxis]
    floor_hz = least_allocation_hz(system, bias_hz, node) + beside_hz(system, bias_hz)
    least_hz = np.where(has, floor_hz, 0.0)
    wanted_hz = np.where(has, np.maximum(snapshot.flow_backlog_cycles / system.slot_duration_s, least_hz), 0.0)
    for index, here in enumerate(_at_nodes(system, node, all_attached=snapshot.all_attached)):
        room_hz = capacity_hz(system, bias_hz[here], index) - float(floor_hz[here].sum())
        if room_hz >= float(least_hz[here].sum()):
            kept_hz[here] = _scale_to_capacity(room_hz, wanted_hz[here], least_hz[here], 0.0)
    freeze(kept_hz)
    return kept_hz


def rest_hz(snapshot: TwinSnapshot) -> Floats:
    """Return the capacities that policies may give away, [M], Hz: those of the nodes less what leftovers need."""
    if not snapshot.flows_wait and snapshot.system.model.capacity_rule == "effective":
        all_hz: Floats = snapshot.system.node_hz
        return all_hz
    return snapshot.derived(_rest_hz)


def _at_nodes(system: System, node: Ints, *, all_attached: bool) -> list[slice | Mask]:
    """Return whom each node serves, [M]; all are a slice, which copies nothing."""
    if system.num_node == 1 and all_attached:
        return [slice(None)]
    return [node == index for index in range(system.num_node)]


def _rest_hz(snapshot: TwinSnapshot) -> Floats:
    system, bias_hz, node = snapshot.system, snapshot.estimation_bias_hz, snapshot.serving_node
    reserved = reserved_hz(snapshot)
    places = _at_nodes(system, node, all_attached=snapshot.all_attached)
    rest = np.array([capacity_hz(system, bias_hz[here], i, reserved[here]) for i, here in enumerate(places)])
    freeze(rest)
    return rest


def project(
    system: System,
    decision: Any,
    estimation_bias_hz: Floats,
    serving_node: Ints | None = None,
    rest_hz: Floats | None = None,
) -> tuple[Decision, bool]:
    """Clip what is decided to its range, round to whole layers, lift shares to their floor, scale them to the capacity.

    Parameters
    ----------
    system : capacities and their rule: "alloc" bounds the sum of allocations and biases, "effective" that of the true
        speeds of active flows; each node has its own
    decision : what a policy returned
    estimation_bias_hz : [N, K], Hz, the bias that the capacity rule counts
    serving_node : [N], index of the node, -1 without one; None: all are at the first node
    rest_hz : [M], Hz, what the nodes have left to give where they keep something for leftovers; None: all they have

    Returns
    -------
    The decision with ratios clipped and allocations scaled down, and whether it differs from what was given.

    Raises
    ------
    InvalidDecisionError : not a Decision, a missing field, a wrong shape, or a number that is not finite
    """
    shape = (system.num_vehicle, system.num_class)
    if not isinstance(decision, Decision):
        raise InvalidDecisionError(f"returned {class_name(decision)}, not a Decision")
    ratio = _checked(decision.offloading_ratio, "offloading_ratio", shape)
    allocation_hz = _checked(decision.compute_allocation_hz, "compute_allocation_hz", shape)
    node = np.zeros(system.num_vehicle, dtype=np.int64) if serving_node is None else serving_node
    all_attached = every(node >= 0)
    clipped = _split(system, ratio, node, all_attached=all_attached)
    least_hz = np.where(clipped > 0, least_allocation_hz(system, estimation_bias_hz, node), 0.0)
    lifted_hz = np.maximum(allocation_hz, least_hz)
    flows = (lifted_hz, least_hz, estimation_bias_hz)
    feasible_hz = _scale_nodes(system, flows, node, rest_hz, all_attached=all_attached)
    joint, changed = _project_joint(system, decision, clipped, node)
    # What is left beside reservations is a difference: its rounding is nobody's excess.
    close_hz = 0.0 if rest_hz is None else _ROUNDING * float(system.node_hz.max())
    repaired = changed or some(clipped != ratio) or some(np.abs(feasible_hz - allocation_hz) > close_hz)
    return Decision(clipped, feasible_hz, **joint), repaired


def _split(system: System, ratio: Floats, node: Ints, *, all_attached: bool) -> Floats:
    """Clip ratios to [0, 1], of transformers to whole layers with at least one local; 0 for vehicles without a node."""
    clipped: Floats = system.work.split(np.minimum(np.maximum(ratio, 0.0), 1.0))
    if not all_attached:
        clipped = np.where((node < 0)[:, np.newaxis], 0.0, clipped)
    return clipped


def _project_joint(system: System, decision: Decision, ratio: Floats, node: Ints) -> tuple[dict[str, Floats], bool]:
    """Return frequencies, powers and bandwidths [N] inside their ranges and pools, and whether some were not."""
    spectrum = system.spectrum
    if spectrum is None:
        fixed = decision.local_frequency_hz is None and decision.transmit_power_w is None
        if not fixed or decision.bandwidth_hz is not None:
            raise InvalidDecisionError(f"decides one of {', '.join(JOINT_FIELDS)}, which this system fixes")
        return {}, False
    given = {name: getattr(decision, name) for name in JOINT_FIELDS}
    for name, values in given.items():
        if values is None:
            raise InvalidDecisionError(f"{name} is missing; this system has joint allocation")
    shape = (system.num_vehicle,)
    wanted = {name: _checked(values, name, shape) for name, values in given.items()}
    hz, power_w, bandwidth_hz = wanted.values()
    holds = spectrum.holders(node, (ratio > 0).any(axis=1))
    least_hz = np.where(holds, FLOOR * spectrum.pool_hz[np.maximum(node, 0)], 0.0)
    lifted_hz = np.where(node < 0, 0.0, np.maximum(bandwidth_hz, least_hz))
    for index, pool in enumerate(spectrum.pool_hz):
        here = node == index
        lifted_hz[here] = _scale_to_capacity(float(pool), lifted_hz[here], least_hz[here], 0.0)
    feasible = dict(
        zip(
            JOINT_FIELDS,
            (
                np.clip(hz, FLOOR * system.cpu_hz, system.cpu_hz),
                np.clip(power_w, spectrum.power_w_min, spectrum.power_w_max),
                lifted_hz,
            ),
            strict=True,
        )
    )
    return feasible, any(some(feasible[name] != wanted[name]) for name in JOINT_FIELDS)


def _checked(values: Any, name: str, shape: tuple[int, ...]) -> Floats:
    """Return a copy of an array: a policy may go on writing into its own."""
    is_plain = type(values) is np.ndarray and values.dtype == np.float64 and values.shape == shape
    array: Floats = values.copy() if is_plain else numbers_of(values, name, shape)
    if not every(np.abs(array) < _HUGE):  # false for NaN, too
        raise InvalidDecisionError(f"{name} has values that are not finite")
    return array


def least_allocation_hz(system: System, estimation_bias_hz: Floats, serving_node: Ints | None = None) -> Floats:
    """Return the least allocation of an active flow, [N, K], Hz: allocation and true speed must both be positive."""
    floor_hz: Any = FLOOR
    if serving_node is None or system.num_node == 1:
        floor_hz *= system.server.frequency_hz
    else:
        floor_hz *= system.node_hz[np.maximum(serving_node, 0)][:, np.newaxis]
    least_hz: Floats = np.maximum(floor_hz, floor_hz - estimation_bias_hz)
    return least_hz


def capacity_hz(system: System, estimation_bias_hz: Floats, node: int = 0, reserved_hz: Floats | None = None) -> float:
    """Return what the allocations ("alloc") or true speeds of active flows ("effective") of a node may sum to, Hz.

    estimation_bias_hz, reserved_hz : of the node's vehicles
    """
    capacity = float(system.node_hz[node])
    if reserved_hz is not None:
        capacity -= float(reserved_hz.sum())
    if system.model.capacity_rule == "alloc":
        return max(capacity - float(estimation_bias_hz.sum()), 0.0)
    return max(capacity, 0.0)


def beside_hz(system: System, bias_hz: Floats) -> Floats | float:
    """Return what counts of a flow beside its allocation, Hz: [N, K], or 0 for all."""
    return bias_hz if system.model.capacity_rule == "effective" and some(bias_hz != 0) else 0.0


def _scale_nodes(
    system: System, flows: tuple[Floats, Floats, Floats], node: Ints, rest_hz: Floats | None, *, all_attached: bool
) -> Floats:
    """Scale the allocations at each node to its capacity, or to what is left of it; who has no node gets nothing.

    flows : allocations, floors and biases, [N, K] each
    """
    allocation_hz, least_hz, bias_hz = flows
    offset_hz = beside_hz(system, bias_hz)
    if system.num_node == 1 and all_attached:  # a third faster, which every slot of such a run gains
        capacity = capacity_hz(system, bias_hz) if rest_hz is None else float(rest_hz[0])
        return _scale_to_capacity(capacity, allocation_hz, least_hz, offset_hz)
    scaled_hz = np.zeros_like(allocation_hz)
    for index in range(system.num_node):
        here = node == index
        capacity = capacity_hz(system, bias_hz[here], index) if rest_hz is None else float(rest_hz[index])
        ownoffset_hz = offset_hz if isinstance(offset_hz, float) else offset_hz[here]
        scaled_hz[here] = _scale_to_capacity(capacity, allocation_hz[here], least_hz[here], ownoffset_hz)
    return scaled_hz


def _scale_to_capacity(capacity: float, allocation_hz: Floats, least_hz: Floats, offset_hz: Floats | float) -> Floats:
    """Scale what counts against the capacity beyond the floors; the floors themselves stay.

    offset_hz : what counts of each beside its allocation; a number is 0, and for all
    """
    used_hz, least_used_hz = allocation_hz, least_hz
    if not isinstance(offset_hz, float):
        # A flow whose bias is larger than its allocation stands still; it does not lend its share to others.
        used_hz = np.where(allocation_hz > 0, np.maximum(allocation_hz + offset_hz, 0.0), 0.0)
        least_used_hz = np.where(least_hz > 0, least_hz + offset_hz, 0.0)
    excess = float(used_hz.sum()) - capacity
    if excess <= _ROUNDING * capacity:
        return allocation_hz
    spare_hz = used_hz - least_used_hz
    total_spare = float(spare_hz.sum())
    part = max(1.0 - excess / total_spare, 0.0) if total_spare > 0 else 0.0
    scaled_hz = used_hz - (1.0 - part) * spare_hz
    if isinstance(offset_hz, float):
        return np.maximum(scaled_hz, least_hz)
    return np.where(used_hz > 0, np.maximum(scaled_hz - offset_hz, least_hz), allocation_hz)
