"""Flips, which are vehicles decided differently than prices say, and dominance, which rules out some of them."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Ints, Mask
from policies.optimal.layers.cells import Cells

_SLACK = 1.0 + 1e-12


def dominates(cells: Cells, member: Ints) -> Mask:
    """Tell, [J, J], whether some optimum that offloads the second of two vehicles of a cell offloads the first too.

    It does if, for some a >= 1, the first saves at least a times as much locally, and costs at most a times as much to
    run and to send with the same resources. Then the first can replace the second at no loss, because the second saves
    something. Of equal vehicles, the one with the smaller index is the first.
    """

    def ratio(values: Floats) -> Floats:
        some = values[member]
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing to send: 0 / 0 counts as small enough
            quotient: Floats = some[:, np.newaxis] / some
        return np.where(some[:, np.newaxis] > 0.0, quotient, 0.0)

    def at_least(values: Floats) -> Mask:
        some = values[member]
        mask: Mask = some[:, np.newaxis] >= some
        return mask

    links = cells.links
    more = ratio(cells.gain) * _SLACK
    stronger: Mask = (more >= 1.0) & (ratio(cells.cycles) <= more)
    if links.sends.any():
        stronger &= (ratio(links.bits) <= more) & at_least(links.gamma)
        stronger &= at_least(links.power_max_w) & at_least(-links.power_min_w)
    mutual = stronger & stronger.T
    return stronger & ~(mutual & (member[:, np.newaxis] >= member))


def list_flips(
    penalty: Floats, offloads: Mask, stronger: Mask, slack: float, count_max: int
) -> tuple[list[tuple[float, list[int]]], bool]:
    """Return the sets of vehicles that may be decided differently at a total penalty up to `slack`, cheapest first.

    Sets that dominance rules out are left out.

    Parameters
    ----------
    penalty : [J], |Delta_n|, ascending
    offloads : [J], decision by the sign of Delta
    stronger : [J, J], from `dominates`
    slack : largest total
    count_max : largest number of returned sets

    Returns
    -------
    (total, indices) of each set, and whether these are all
    """
    # If a vehicle is taken out, those that it dominates are taken out too; if one is put in, those that dominate it
    # too.
    needs = np.where(offloads[:, np.newaxis], stronger & offloads, (stronger & ~offloads[:, np.newaxis]).T)
    clash = stronger & offloads[:, np.newaxis] & ~offloads
    need, against = _bits(needs), _bits(clash | clash.T)
    cost = penalty.tolist()
    found: list[tuple[float, list[int]]] = [(0.0, [])]
    stack: list[tuple[float, list[int], int, int, int]] = [(0.0, [], 0, 0, 0)]
    num_step = 0
    while stack:
        total, chosen, flipped, needed, barred = stack.pop()
        for index in range(chosen[-1] + 1 if chosen else 0, len(cost)):
            if total + cost[index] > slack:
                break
            num_step += 1
            bit = 1 << index
            if needed & ~flipped & (bit - 1):  # a needed vehicle was skipped
                break
            if barred & bit or need[index] & ~flipped & (bit - 1):
                continue
            entry = (
                total + cost[index],
                [*chosen, index],
                flipped | bit,
                needed | need[index],
                barred | against[index],
            )
            if not entry[3] & ~entry[2]:
                found.append(entry[:2])
            stack.append(entry)
        if len(found) > count_max or num_step > 50 * count_max:
            return sorted(found)[:count_max], False
    return sorted(found), True


def _bits(mask: Mask) -> list[int]:
    """Return each row of a mask, [J, J], as a number whose bit i is entry i."""
    packed = np.packbits(mask, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
