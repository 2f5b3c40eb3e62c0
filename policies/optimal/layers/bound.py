"""The dual bound of P1: a lower bound of the cost of every feasible point, from prices on frequency and spectrum.

Let sigma, eta >= 0, ``q_n = min_{f <= F} W_n (w / f + v kappa f^2) + sigma f`` and
``z_n = min_{b <= Bw} phi_n(b) + eta b``. Then offloading saves a vehicle at most ``Delta_n = K A_n - q_n - z_n``. So a
cell costs at least ``Upsilon sum A_n - sum max(Delta_n, 0) - sigma F - eta Bw``. If a set of vehicles differs from the
sign of Delta for some vehicles, its bound is higher by the sum of their ``|Delta_n|``. Costs are counted here from the
cost of the cell with everything local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers import bandwidth, frequency
from policies.optimal.layers.cells import Cells, Sets

_CUTS = 30
"""Number of ellipsoid steps before a new start in a smaller box; each step leaves at most 77 % of the area."""
_RESTARTS = 2
_PART = 0.02
"""Better prices must be able to close this part of the gap; a smaller part is left to the search."""


class Shares(NamedTuple):
    """Best resources of some sets: value [G], prices sigma [G], 1/Hz, eta [G], 1/Hz, and f, p, b of the members [J]."""

    value: Floats
    sigma: Floats
    eta: Floats
    edge_hz: Floats
    power_w: Floats
    bandwidth_hz: Floats


class LayersResponse(NamedTuple):
    """Responses of vehicles to prices, all [J]: Delta_n, its f, Hz, and b, Hz, and ln y as the next start."""

    saving: Floats
    edge_hz: Floats
    bandwidth_hz: Floats
    log_snr: Floats


@dataclass(frozen=True)
class Peak:
    """The largest bound found for each set, [G], and its prices sigma and eta, [G], 1/Hz."""

    bound: Floats
    sigma: Floats
    eta: Floats

    def offer(self, index: Ints, bound: Floats, price: Floats) -> Peak:
        """Return the larger bounds, given other bounds, [H], for some sets, [H], at prices [H, 2]."""
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
        """Return the cheapest resources for some sets, and the costs of the sets with them: V_f + V_b - sum K A_n."""
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
        """Return the responses of the members of some sets to the prices of their sets.

        Parameters
        ----------
        sets : G sets with J members
        sigma, eta : [G], 1/Hz
        log_snr : [J], first values; None begins at the SNR on the whole spectrum
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
        """Return the dual bound of each set, [G]: members may offload, `forced` [J] members must, others cannot."""
        taken = np.where(forced, response.saving, np.maximum(response.saving, 0.0))
        rent = sigma * self.cells.node_hz[sets.cell] + eta * self.cells.bandwidth_hz[sets.cell]
        return -sets.total(taken) - rent

    def maximise(self, sets: Sets, forced: Mask, limits: Limits, start: Peak) -> tuple[Peak, Mask, Mask]:
        """Return the largest bounds over the prices, by the ellipsoid method with deep cuts, for all sets at once.

        On the way, a vehicle is decided if no set below the ceiling can contain it, or none can lack it. This is known
        because the cost of such a set is at least the bound at any prices plus ``|Delta_n|``. The bounds hold for the
        vehicles that are left, or are above the ceiling.

        Parameters
        ----------
        sets, forced : as of `bound`
        limits : box of the search, and when it stops
        start : bounds that are known already

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
            # At the best prices, the rent of the capacities is at most minus the best bound. If some vehicles must
            # offload, this is only a guess. A wrong guess costs time but is safe, because every price gives a bound.
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
    """The box of the search for prices, and when the search stops.

    Parameters
    ----------
    box : [G, 2], 1/Hz, upper limits of the best prices
    ceiling : [G], a known cost; a bound that is close to it is good enough
    close : [G], the distance that is close enough; a bound may also miss a small part of its distance to the ceiling
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
        """Shrink to the smallest ellipses around the points with ``uphill (x - center) >= missing >= 0``.

        Return the reach of the old ellipses in the direction uphill, [G].
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
