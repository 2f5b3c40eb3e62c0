"""From what actors put out to a decision that keeps the capacity rule and the floors, whatever they put out."""

from __future__ import annotations

from typing import NamedTuple

import torch

from physical.system import System
from policies.feasible import FLOOR

Tensor = torch.Tensor

ROUND_BELOW, ROUND_ABOVE = 0.1, 0.9
"""A ratio beyond these counts as 0 or 1: the optimum is nearly bang-bang, which a sigmoid only approaches."""


class Output(NamedTuple):
    """What actors put out, leading batch axes.

    ratio : [..., N, K], in (0, 1), offloading ratios
    weight : [..., N, K], > 0, what a task claims of the server's capacity
    used : [..., 1, 1], part of the capacity that is shared out by the claims; None: claims are parts of the capacity
        themselves, scaled down where they exceed it, which a server can do without knowing more
    """

    ratio: Tensor
    weight: Tensor
    used: Tensor | None


def decode(
    system: System, output: Output, exists: Tensor, bias_hz: Tensor, *, rounded: bool, reserved_hz: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return ratios and allocations (Hz), both [..., N, K], with finite gradients.

    Every active task gets its floor, and its share of the capacity that then is left. The floor is on the true speed,
    too, so that the pole of eq. 9 at an allocation of minus the bias is out of reach. Tasks whose floors alone exceed
    the capacity stay on their vehicles, those with the least claims first.

    Parameters
    ----------
    system : capacity and its rule
    output : of the actors
    exists : [..., N, K], bool, where there is a task that can be sent
    bias_hz : [..., N, K], Hz, the bias that the capacity rule counts
    rounded : ratios that are nearly 0 or 1 become so; not in training, where they would lose their gradient
    reserved_hz : Hz, what the server keeps for leftovers
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
