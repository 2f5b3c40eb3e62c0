"""Projection of any decision on the feasible set of P2 (eq. 24c, 24d)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.system import System
from twin.decision import Decision

Floats = NDArray[np.float64]

FLOOR = 1e-6
"""Least share of the server for a flow that offloads: eq. 9 has no value at 0."""
_ROUNDING = 1e-12
_HUGE = 1e300
"""Beyond this, sums over a decision would overflow; it counts as infinite."""


class InvalidDecisionError(ValueError):
    """A policy returned something that cannot be read as a decision."""


def project(system: System, decision: Any, estimation_bias_hz: Floats) -> tuple[Decision, bool]:
    """Clip ratios to [0, 1], lift allocations to their floor, scale them to the capacity.

    Parameters
    ----------
    system : capacity and its rule: "alloc" bounds the sum of allocations and biases, "effective" that of the true
        speeds of active flows
    decision : what a policy returned
    estimation_bias_hz : [N, K], Hz, the bias that the capacity rule counts

    Returns
    -------
    The nearest such decision, and whether it differs from what was given.

    Raises
    ------
    InvalidDecisionError : not a Decision, a wrong shape, or a number that is not finite
    """
    shape = (system.num_vehicle, system.num_class)
    if not isinstance(decision, Decision):
        raise InvalidDecisionError(f"returned {type(decision).__name__}, not a Decision")
    ratio = _checked(decision.offloading_ratio, "offloading_ratio", shape)
    allocation_hz = _checked(decision.compute_allocation_hz, "compute_allocation_hz", shape)
    clipped = np.minimum(np.maximum(ratio, 0.0), 1.0)
    least_hz = np.where(clipped > 0, least_allocation_hz(system, estimation_bias_hz), 0.0)
    lifted_hz = np.maximum(allocation_hz, least_hz)
    feasible_hz = _scale_to_capacity(system, lifted_hz, least_hz, estimation_bias_hz)
    repaired = bool((clipped != ratio).any() or (feasible_hz != allocation_hz).any())
    return Decision(clipped, feasible_hz), repaired


def _checked(values: Any, name: str, shape: tuple[int, int]) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDecisionError(f"{name} is not an array of numbers") from error
    if array.shape != shape:
        raise InvalidDecisionError(f"{name} has shape {list(array.shape)}, not {list(shape)}")
    if not (np.abs(array) < _HUGE).all():  # false for NaN, too
        raise InvalidDecisionError(f"{name} has values that are not finite")
    return array


def least_allocation_hz(system: System, estimation_bias_hz: Floats) -> Floats:
    """Return the least allocation of an active flow, [N, K], Hz: allocation and true speed must both be positive."""
    floor_hz = FLOOR * system.server.frequency_hz
    return np.maximum(floor_hz, floor_hz - estimation_bias_hz)


def capacity_hz(system: System, estimation_bias_hz: Floats) -> float:
    """Return what the allocations ("alloc") or true speeds of active flows ("effective") may sum to, Hz."""
    if system.model.capacity_rule == "alloc":
        return max(system.server.frequency_hz - float(estimation_bias_hz.sum()), 0.0)
    return system.server.frequency_hz


def _scale_to_capacity(system: System, allocation_hz: Floats, least_hz: Floats, bias_hz: Floats) -> Floats:
    """Scale what counts against the capacity beyond the floors; the floors themselves stay."""
    capacity = capacity_hz(system, bias_hz)
    offset_hz = bias_hz if system.model.capacity_rule == "effective" else np.zeros_like(bias_hz)
    # A flow whose bias is larger than its allocation stands still; it does not lend its share to others.
    used_hz = np.where(allocation_hz > 0, np.maximum(allocation_hz + offset_hz, 0.0), 0.0)
    excess = float(used_hz.sum()) - capacity
    if excess <= _ROUNDING * capacity:
        return allocation_hz
    spare_hz = used_hz - np.where(least_hz > 0, least_hz + offset_hz, 0.0)
    total_spare = float(spare_hz.sum())
    part = max(1.0 - excess / total_spare, 0.0) if total_spare > 0 else 0.0
    scaled_hz = used_hz - (1.0 - part) * spare_hz
    return np.where(used_hz > 0, np.maximum(scaled_hz - offset_hz, least_hz), allocation_hz)
