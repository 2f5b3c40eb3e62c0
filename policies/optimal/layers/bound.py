"""The dual bound of P1: what every feasible point costs at least, from a price on frequency and one on spectrum.

For sigma, eta >= 0, ``q_n = min_{f <= F} W_n (w / f + v kappa f^2) + sigma f`` and ``z_n = min_{b <= Bw} phi_n(b) +
eta b``, offloading saves a vehicle ``Delta_n = K A_n - q_n - z_n`` at most, so that a cell costs at least ``Upsilon sum
A_n - sum max(Delta_n, 0) - sigma F - eta Bw``. A set that differs from the sign of Delta on some vehicles costs the sum
of their ``|Delta_n|`` more. Costs are counted here from the cost of the cell with everything local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers import bandwidth, frequency
from policies.optimal.layers.cells import Cells, Sets

_CUTS = 30
"""Ellipsoid steps, each of which leaves 77 % of the area at most, before a new start in a box that is smaller then."""
_RESTARTS = 2
_PART = 0.02
"""Part of the gap that better prices must promise to close; less is left to the search."""


class Shares(NamedTuple):
    """Best resources of some sets: value [G], prices sigma [G], 1/Hz, eta [G], 1/Hz, and f, p, b of the members [J]."""

    value: Floats
    sigma: Floats
    eta: Floats
    edge_hz: Floats
    power_w: Floats
    bandwidth_hz: Floats


class LayersResponse(NamedTuple):
    """Vehicles at prices, all [J]: Delta_n, the f, Hz, and b, Hz, that it is found with, and ln y to go on from."""

    saving: Floats
    edge_hz: Floats
    bandwidth_hz: Floats
    log_snr: Floats


@dataclass(frozen=True)
class Peak:
    """The largest bound found for each set, [G], and the prices it was found at, sigma and eta, [G], 1/Hz."""

    bound: Floats
    sigma: Floats
    eta: Floats

    def offer(self, index: Ints, bound: Floats, price: Floats) -> Peak:
        """Return the better bounds if others, [H], are known for some sets, [H], at prices [H, 2]."""
        new = np.flatnonzero(bound > self.bound[index])
        peak = Peak(self.bound.copy(), self.sigma.copy(), self.eta.copy())
        peak.bound[index[new]], peak.sigma[index[new]], peak.eta[index[new]] = bound[new], *price[new].T
        return peak


class Pricing:
    """Evaluates sets of vehicles and their bounds.

    Parameters
    ----------
    cells : the vehicles
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._sends = cells.links.sends
        self._whole_cost, self._whole_price, self._whole_snr = np.zeros((3, len(cells.cell)))
        if not self._sends.any():
            return
        links, whole_hz = cells.links.pick(self._sends), cells.bandwidth_hz[cells.cell[self._sends]]
        with np.errstate(over="ignore", divide="ignore", under="ignore"):  # a channel too weak to count
            power_w = bandwidth.best_power_w(links, whole_hz)
            self._whole_cost[self._sends] = links.cost(power_w, whole_hz)
            self._whole_price[self._sends], self._whole_snr[self._sends] = bandwidth.marginal_price(
                links, power_w, whole_hz
            )

    def allocate(self, sets: Sets) -> Shares:
        """Return the cheapest resources for some sets, and what the sets cost with them: V_f + V_b - sum K A_n."""
        cells, member = self.cells, sets.member
        hz, sigma = frequency.share_hz(
            cells.cycles[member], sets.owner, cells.free_hz[sets.cell], cells.node_hz[sets.cell], cells.time_weight
        )
        saving = cells.gain[member] - cells.compute_cost(member, hz)
        sends = self._sends[member]
        power_w, share_hz, eta = cells.links.power_min_w[member], np.zeros(len(member)), np.zeros(sets.num_set)
        if sends.any():
            links = cells.links.pick(member[sends])
            power_w[sends], share_hz[sends], log_eta = bandwidth.share_bandwidth(
                links, sets.owner[sends], cells.bandwidth_hz[sets.cell]
            )
            eta = np.exp(log_eta)
            saving[sends] -= links.cost(power_w[sends], share_hz[sends])
        return Shares(-sets.total(saving), sigma, eta, hz, power_w, share_hz)

    def respond(self, sets: Sets, sigma: Floats, eta: Floats, log_snr: Floats | None = None) -> LayersResponse:
        """Return what the members of some sets would do at the prices of their sets.

        Parameters
        ----------
        sets : G sets with J members
        sigma, eta : [G], 1/Hz
        log_snr : [J], where to begin; None begins at the SNR on the whole spectrum
        """
        cells, member, owner = self.cells, sets.member, sets.owner
        start_hz, node_hz = cells.free_hz[sets.cell][owner], cells.node_hz[sets.cell][owner]
        hz = frequency.respond_hz(cells.cycles[member], sigma[owner], start_hz, cells.time_weight)
        hz = np.minimum(hz, node_hz)
        saving = cells.gain[member] - cells.compute_cost(member, hz) - sigma[owner] * hz
        with np.errstate(divide="ignore"):  # a price of 0
            log_eta = np.log(eta)[owner]
        share_hz = np.where(self._sends[member], cells.bandwidth_hz[sets.cell][owner], 0.0)
        cost = self._whole_cost[member] + eta[owner] * share_hz
        z = np.array(self._whole_snr[member] if log_snr is None else log_snr)
        part = np.flatnonzero(self._sends[member] & (log_eta > self._whole_price[member]))
        if part.size:
            links = cells.links.pick(member[part])
            power_w, some_hz, z[part] = bandwidth.respond(links, log_eta[part], z[part])
            share_hz[part] = some_hz
            cost[part] = links.cost(power_w, some_hz) + eta[owner[part]] * some_hz
        return LayersResponse(saving - cost, hz, share_hz, z)

    def bound(self, sets: Sets, response: LayersResponse, sigma: Floats, eta: Floats, forced: Mask) -> Floats:
        """Return the dual bound of each set, [G]: its members may offload, those `forced` [J] must, no others can."""
        taken = np.where(forced, response.saving, np.maximum(response.saving, 0.0))
        rent = sigma * self.cells.node_hz[sets.cell] + eta * self.cells.bandwidth_hz[sets.cell]
        return -sets.total(taken) - rent

    def maximise(self, sets: Sets, forced: Mask, limits: Limits, start: Peak) -> tuple[Peak, Mask, Mask]:
        """Return the largest bounds over the prices, by the ellipsoid method with deep cuts, for all sets at once.

        On the way, vehicles are decided that no set below the ceiling can have, or be without: its cost is at least the
        bound at any prices plus ``|Delta_n|``. The bounds hold for what is left, or are above the ceiling.

        Parameters
        ----------
        sets, forced : as of `bound`
        limits : where to search, and when to stop
        start : bounds already known

        Returns
        -------
        peak; forced, [J]; and the members left, [J]
        """
        peak, alive, item = start, np.arange(sets.num_set), np.arange(len(sets.member))
        ellipse, scale = Ellipses.around(sets.num_set), limits.box.copy()
        forced, left = forced.copy(), np.ones(len(item), dtype=np.bool_)
        log_snr: Floats | None = None
        for step in range(_RESTARTS * _CUTS):
            capacity = np.stack([self.cells.node_hz[sets.cell], self.cells.bandwidth_hz[sets.cell]], axis=1)
            # The best prices pay no more rent than the best bound is below 0. With vehicles that must offload this is a
            # guess; it costs time if it is wrong, as there is a bound at any prices.
            box = np.clip(-peak.bound[alive, np.newaxis] / capacity, 0.0, limits.box[alive])
            if not step % _CUTS:
                ellipse, scale[alive] = Ellipses.around(len(alive)), box
            unit = scale[alive]
            price = np.clip(ellipse.center * unit, 0.0, box)
            response = self.respond(sets, price[:, 0], price[:, 1], log_snr)
            bound = self.bound(sets, response, price[:, 0], price[:, 1], forced[item])
            peak = peak.offer(alive, bound, price)
            room = (limits.ceiling[alive] - bound)[sets.owner]
            out = ~forced[item] & (-response.saving > room)
            forced[item] |= response.saving > room
            left[item[out]] = False
            use = forced[item] | ((response.saving > 0.0) & ~out)
            taken = np.stack([sets.total(use * response.edge_hz), sets.total(use * response.bandwidth_hz)], axis=1)
            outside = np.where(ellipse.center * unit > box, -1.0, np.where(ellipse.center < 0.0, 1.0, 0.0))
            inside: Mask = np.all(outside == 0.0, axis=1)
            uphill = np.where(inside[:, np.newaxis], (taken - capacity) * unit, outside)
            reach = ellipse.cut(uphill, np.where(inside, peak.bound[alive] - bound, 0.0))
            gap = (limits.ceiling - peak.bound)[alive]
            hope = np.where(inside, bound + reach - peak.bound[alive], np.inf)
            going = (gap > limits.close[alive]) & (hope > np.maximum(limits.close[alive], _PART * gap))
            if not going.any():
                break
            keep = going[sets.owner] & ~out
            item, log_snr = item[keep], response.log_snr[keep]
            sets = sets.where(keep).pick(going)
            alive, ellipse = alive[going], ellipse.pick(going)
        return peak, forced, left


@dataclass(frozen=True)
class Limits:
    """Where to search for prices, and when to stop.

    Parameters
    ----------
    box : [G, 2], 1/Hz, prices that the best ones do not exceed
    ceiling : [G], a known cost; a bound that is close to it is good enough
    close : [G], how close; a small part of what is missing to the ceiling may be missing to the largest bound too
    """

    box: Floats
    ceiling: Floats
    close: Floats


@dataclass
class Ellipses:
    """Ellipses ``(x - center)' shape^-1 (x - center) <= 1`` in the plane: center [G, 2], shape [G, 2, 2]."""

    center: Floats
    shape: Floats

    @classmethod
    def around(cls, count: int) -> Ellipses:
        """Return circles around the unit square."""
        return cls(np.full((count, 2), 0.5), np.zeros((count, 2, 2)) + 0.5 * np.eye(2))

    def pick(self, mask: Mask) -> Ellipses:
        """Return some of the ellipses."""
        return Ellipses(self.center[mask], self.shape[mask])

    def cut(self, uphill: Floats, missing: Floats) -> Floats:
        """Shrink to the smallest ellipses around what satisfies ``uphill (x - center) >= missing >= 0``.

        Returns how far uphill the old ellipses reached, [G].
        """
        along = np.einsum("gij,gj->gi", self.shape, uphill)
        reach: Floats = np.sqrt(np.maximum(np.einsum("gi,gi->g", uphill, along), 0.0))
        safe = np.where(reach > 0.0, reach, 1.0)
        depth = np.clip(missing / safe, 0.0, 0.99)[:, np.newaxis]
        along = along / safe[:, np.newaxis]
        self.center = self.center + (1.0 + 2.0 * depth) / 3.0 * along
        depth = depth[:, :, np.newaxis]
        part = 2.0 * (1.0 + 2.0 * depth) / (3.0 * (1.0 + depth))
        flat = self.shape - part * (along[:, :, np.newaxis] * along[:, np.newaxis, :])
        self.shape = 4.0 / 3.0 * (1.0 - depth * depth) * flat
        return reach
