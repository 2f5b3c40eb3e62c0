"""Turns every output of actors into a decision that keeps the capacity rule and the least allocations."""

from __future__ import annotations

from typing import NamedTuple

import torch

from physical.system import System
from policies.feasible import FLOOR

Tensor = torch.Tensor

ROUND_BELOW, ROUND_ABOVE = 0.1, 0.9
"""A ratio outside these limits counts as 0 or 1, because most optimal ratios are 0 or 1 and a sigmoid only approaches
them."""


class Output(NamedTuple):
    """The output of actors, with leading batch axes.

    ratio : [..., N, K], in (0, 1), offloading ratios
    weight : [..., N, K], > 0, claim of a task on the server's capacity
    used : [..., 1, 1], part of the capacity that is divided in proportion to the claims; None: the claims are parts of
        the capacity, and the server scales them down if their sum exceeds it
    """

    ratio: Tensor
    weight: Tensor
    used: Tensor | None


def decode(
    system: System, output: Output, exists: Tensor, bias_hz: Tensor, *, rounded: bool, reserved_hz: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return ratios and allocations (Hz), both [..., N, K], with finite gradients.

    Every active task gets its floor, the least allocation, and a share of the remaining capacity. The floor also holds
    for the true speed, so that eq. 9 is never evaluated near its pole, where the allocation is minus the bias. If the
    floors alone exceed the capacity, tasks stay on their vehicles, those with the smallest claims first.

    Parameters
    ----------
    system : capacity and its rule
    output : of the actors
    exists : [..., N, K], bool, whether there is a task that can be sent
    bias_hz : [..., N, K], Hz, the bias that the capacity rule counts
    rounded : whether ratios near 0 or 1 are rounded; not in training, where they would lose their gradient
    reserved_hz : Hz, capacity that the server keeps for leftovers
    """
    effective = system.model.capacity_rule == "effective"
    floor_hz = FLOOR * float(system.server.frequency_hz)
    least_hz = torch.clamp(floor_hz - bias_hz, min=floor_hz)  # allocation and true speed are both positive
    counted_hz = least_hz + bias_hz if effective else least_hz
    capacity_hz = torch.full_like(bias_hz[..., :1, :1], float(system.server.frequency_hz) - reserved_hz)
    if not effective:
        capacity_hz = torch.clamp(capacity_hz - bias_hz.sum((-2, -1), keepdim=True), min=0.0)

    ratio = output.ratio * exists
    if rounded:
        ratio = torch.where(ratio < ROUND_BELOW, 0.0, torch.where(ratio > ROUND_ABOVE, 1.0, ratio))
    weight = output.weight * ratio
    ratio = ratio * _fits(weight, counted_hz * (ratio > 0), capacity_hz)
    active = ratio > 0
    weight = weight * active
    total = weight.sum((-2, -1), keepdim=True)
    if output.used is None:
        share = weight / torch.clamp(total, min=1.0)
    else:
        share = output.used * weight / torch.where(total > 0, total, 1.0)
    spare_hz = capacity_hz - (counted_hz * active).sum((-2, -1), keepdim=True)
    extra_hz = share * torch.clamp(spare_hz, min=0.0)
    allocation_hz = torch.maximum(counted_hz + extra_hz - (bias_hz if effective else 0.0), least_hz)
    return ratio, torch.where(active, allocation_hz, 0.0 * allocation_hz)


def _fits(weight: Tensor, floor_hz: Tensor, capacity_hz: Tensor) -> Tensor:
    """Return 1 for the tasks whose floors fit, 0 for the rest, [..., N, K]."""
    if bool((floor_hz.sum((-2, -1), keepdim=True) <= capacity_hz).all()):
        return torch.ones_like(weight)
    flat = weight.detach().flatten(-2)
    order = torch.argsort(flat, dim=-1, descending=True, stable=True)
    running_hz = torch.cumsum(torch.gather(floor_hz.flatten(-2), -1, order), dim=-1)
    fits = torch.empty_like(flat).scatter_(-1, order, (running_hz <= capacity_hz.flatten(-2)).to(flat.dtype))
    return fits.reshape(weight.shape)
