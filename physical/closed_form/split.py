"""One slot of the `llm6g` system: layers, frequencies, power and bandwidth are decided; the cost is weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from physical.model import computing, energy, objective
from physical.model.arrays import Array, namespace
from physical.model.units import BITS_PER_BYTE

if TYPE_CHECKING:
    from physical.system import System


class SplitOutcome(NamedTuple):
    """What one slot brings; N vehicles, K classes, leading batch axes.

    local_delay_s : [..., N, K], s, alpha T of eq. 1
    upload_delay_s : [..., N, K], s, of the activations; 0 where nothing is offloaded
    edge_delay_s : [..., N, K], s, (Upsilon - alpha) T of eq. 7
    completion_s : [..., N, K], s, the sum of the three
    energy_local_j : [..., N, K], J, alpha E of eq. 2
    energy_transmit_j : [..., N, K], J, eq. 4 as the mode reads it
    energy_edge_j : [..., N, K], J, (Upsilon - alpha) E of eq. 8
    cost : [..., N, K], no unit, what eq. 10 sums
    objective : [...], no unit, eq. 10
    """

    local_delay_s: Array
    upload_delay_s: Array
    edge_delay_s: Array
    completion_s: Array
    energy_local_j: Array
    energy_transmit_j: Array
    energy_edge_j: Array
    cost: Array
    objective: Array


def split_step(
    system: System,
    size_bytes: Array,
    rate_bps: Array,
    node: Array,
    offloading_ratio: Array,
    compute_allocation_hz: Array,
    transmit_power_w: Array,
    local_frequency_hz: Array,
) -> SplitOutcome:
    """Return what a decision leads to if no job waits for another: eqs. 1 to 10.

    Nothing is clipped or repaired, but no server runs faster than it can unless its capacity counts allocations. Mode
    "corrected" counts the upload in the time and charges the energy of what is sent; mode "paper" sends d bits for d
    tokens, counts computing only and charges ``p d / r``, sent or not.

    Parameters
    ----------
    system : constants; its arrays from the same library as the others
    size_bytes : [..., N, K], bytes, activations of the whole prompt
    rate_bps : [..., N], bit/s, eq. 3 on the decided bandwidth and power (`rate.fdma_rate_bps`)
    node : [..., N], no unit, index of the serving node, -1 without one
    offloading_ratio : [..., N, K], no unit, (Upsilon - alpha) / Upsilon
    compute_allocation_hz : [..., N, K], Hz, f_nm
    transmit_power_w : [..., N], W, p_n
    local_frequency_hz : [..., N], Hz, f_n

    Returns
    -------
    SplitOutcome

    **Source** paper 'llm6g', eqs. 1-10. The printed cost has no communication time, and eq. 4 is in joules only if d is
    in bits.
    """
    local_work, edge_work = system.work_cycles(size_bytes, node)
    local_cycles = computing.local_part(local_work, offloading_ratio)
    edge_cycles = computing.edge_part(edge_work, offloading_ratio)
    local_hz = local_frequency_hz[..., None] + 0.0 * local_cycles
    local_delay_s = computing.execution_delay_s(local_cycles, local_hz)
    edge_hz = system.edge_speed_hz(compute_allocation_hz, 0.0, node)
    edge_delay_s = computing.execution_delay_s(edge_cycles, edge_hz)
    rate_bps = rate_bps[..., None] + 0.0 * local_cycles
    sent_bits = BITS_PER_BYTE * system.upload_bytes(size_bytes, offloading_ratio)
    upload_delay_s = computing.execution_delay_s(sent_bits, rate_bps)
    completion_s = local_delay_s + upload_delay_s + edge_delay_s

    energy_local_j = energy.local_energy_j(local_cycles, local_hz, system.kappa_vehicle[..., None])
    energy_edge_j = system.edge_job_energy_j(edge_cycles, edge_hz, node)
    if system.model.mode == "paper":
        counted_s = local_delay_s + edge_delay_s
        charged_s = literal_upload_s(size_bytes / system.bytes_per_token, rate_bps)
    else:
        counted_s, charged_s = completion_s, upload_delay_s
    energy_transmit_j = energy.transmit_energy_j(transmit_power_w[..., None], charged_s)
    cost = objective.weighted_cost(counted_s, energy_local_j + energy_transmit_j + energy_edge_j, *system.cost_weights)
    return SplitOutcome(
        local_delay_s=local_delay_s,
        upload_delay_s=upload_delay_s,
        edge_delay_s=edge_delay_s,
        completion_s=completion_s,
        energy_local_j=energy_local_j,
        energy_transmit_j=energy_transmit_j,
        energy_edge_j=energy_edge_j,
        cost=cost,
        objective=namespace(cost).sum(namespace(cost).sum(cost, axis=-1), axis=-1),
    )


def literal_upload_s(num_token: Array, rate_bps: Array) -> Array:
    """Return the time that eq. 4 charges: ``d / r`` with d tokens for bits; 0 where the rate is 0 (out of range).

    Parameters
    ----------
    num_token : [..., N, K], no unit
    rate_bps : [..., N, K], bit/s

    Returns
    -------
    [..., N, K], s

    **Source** paper 'llm6g', eq. 4, literal: whether or not anything is offloaded.

    >>> import numpy as np
    >>> literal_upload_s(np.array([100.0, 100.0]), np.array([50.0, 0.0])).tolist()
    [2.0, 0.0]
    """
    xp = namespace(rate_bps)
    some = rate_bps > 0.0
    return xp.where(some, num_token / xp.where(some, rate_bps, 1.0), 0.0 * rate_bps)
