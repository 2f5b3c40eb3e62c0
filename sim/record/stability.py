"""Work that waits, in seconds of the resource that has to do it, and whether it goes on growing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physical.arrays import Floats
from physical.model.computing import execution_delay_s
from physical.model.units import BITS_PER_BYTE
from physical.spectrum import Spectrum
from physical.states import VehicleStates
from physical.system import System

RESOURCES = ("cpu", "uplink", "server")
"""What work waits for: the columns of `Waiting.weigh`."""

_BATCH_SLOTS = 50
_NUM_BATCH_MIN, _NUM_BATCH_MAX = 10, 40
_NUM_SLOT_MIN = 100
_TREND_MIN = 2.0
_RISE_MIN = 0.1


def is_stable(waiting: Floats) -> bool | None:
    """Return whether the work that waits has stopped growing; None if there are less than 100 slots to tell from.

    Means over 10 to 40 batches of equal length (about 50 slots) give the increments d of each series. A series grows if

    - its trend stands out from its spread: ``sum d > 2 sqrt(sum d^2)``. For a queue without bound that is the mean of d
      in standard deviations of a random walk; where there is a bound, the sum stays as small as the spread of the
      batches while the other side grows with their number. A burst makes both sides large, steady growth only the left
      one, up to the root of the number of increments;
    - it has not come to rest: over the second half it rises by more than a tenth of what waits in the last batch. A
      queue with more work than capacity rises by half of it, one that only had to fill up by nothing but its spread.

    The run is stable if no series grows. With 2 000 slots this is right for 95 of 100 runs or more at loads of 0.9 and
    1.1, for single queues with exponential work and for sums of queues with bursts; a series with much more variance
    (one source that is rarely on) takes longer, and then "stable" is the answer while nothing stands out. Of many
    resources, few that overflow stand out late, too.

    Parameters
    ----------
    waiting : [slots, series], >= 0, any unit

    **Source** rate stability, W(t) / t -> 0: M. El-Taha, S. Stidham, "Sample-Path Analysis of Queueing Systems" (1999);
    M. J. Neely, "Stochastic Network Optimization" (2010), definition 2.2. The trend is a self-normalised sum (B. Efron,
    JASA 64, 1969) of increments of batch means (A. M. Law, "Simulation Modeling and Analysis", section 9.5.3), which
    need no estimate of the correlation inside a batch.

    >>> import numpy as np
    >>> slot, noise = np.arange(500.0), np.random.default_rng(1).exponential(size=500)
    >>> is_stable(noise[:, np.newaxis]), is_stable((slot + noise)[:, np.newaxis]), is_stable(np.zeros((50, 1)))
    (True, False, None)
    """
    num_slot = len(waiting)
    if num_slot < _NUM_SLOT_MIN:
        return None
    num_batch = min(max(num_slot // _BATCH_SLOTS, _NUM_BATCH_MIN), _NUM_BATCH_MAX)
    length = num_slot // num_batch
    batches = waiting[num_slot - num_batch * length :].reshape(num_batch, length, -1).mean(axis=1)
    increments = np.diff(batches, axis=0)
    stands_out = increments.sum(axis=0) > _TREND_MIN * np.sqrt((increments * increments).sum(axis=0))
    rises = batches[-1] - batches[num_batch // 2 - 1] > _RISE_MIN * batches[-1]
    return not bool((stands_out & rises).any())


class Waiting:
    """Weighs what waits at the starts of slots, in seconds of its own resource, summed over the resources.

    Local work counts in seconds of its vehicle's CPU at full frequency, backlog in seconds of its node's whole server.
    What waits to be sent counts at the mean rate of its vehicle so far, over the slots in which it could send; of who
    never could, at the mean over everybody, and as 0 if nobody could. With joint allocation the rate is that of full
    power on an equal share of the node's bandwidth, so that it does not depend on who decides.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._sum_bps: Floats = np.zeros(system.num_vehicle)
        self._num_rate: Floats = np.zeros(system.num_vehicle)

    def weigh(self, states: Sequence[VehicleStates], backlog_bytes: Floats) -> Floats:
        """Return what waits in the next slots, [B, 3], s, for each of `RESOURCES`.

        states : true states at the slots' starts
        backlog_bytes : [B, M, K] at the servers, bytes
        """
        system, count = self._system, self._system.num_vehicle

        def of_vehicles(name: str) -> Floats:
            return np.concatenate([getattr(state, name) for state in states]).reshape(-1, count)

        cycles = of_vehicles("cpu_backlog_cycles")
        cpu_s = execution_delay_s(cycles, system.cpu_hz).sum(axis=1) if cycles.any() else np.zeros(len(states))
        if system.spectrum is None:
            rate_bps = of_vehicles("uplink_rate_bps")
        else:
            rate_bps = self._share_bps(system.spectrum, of_vehicles("channel_gain"), of_vehicles("serving_node"))
        uplink_s = self._upload_s(of_vehicles("uplink_backlog_bytes"), rate_bps).sum(axis=1)
        server_s = ((backlog_bytes * system.cycles_per_byte).sum(axis=2) / system.node_hz).sum(axis=1)
        return np.stack([cpu_s, uplink_s, server_s], axis=1)

    def _share_bps(self, spectrum: Spectrum, channel_gain: Floats, serving_node: Floats) -> Floats:
        """Return the rates of full power on equal shares of the nodes' bandwidths, [B, N], 0 without a node."""
        node = np.maximum(serving_node, 0).astype(np.int64)
        share_hz = spectrum.pool_hz[node] / self._system.num_present
        rate_bps = spectrum.rate_bps(share_hz, spectrum.power_w_max, channel_gain)
        return np.where(serving_node < 0, 0.0, rate_bps)

    def _upload_s(self, waiting_bytes: Floats, rate_bps: Floats) -> Floats:
        """Return how long uploads would take, [B, N], at the mean rates up to each slot, which it keeps."""
        # Sums go on slot by slot from those before: they do not depend on how many slots are weighed at once.
        sums, counts = rate_bps.copy(), (rate_bps > 0.0).astype(np.float64)
        for total, before in ((sums, self._sum_bps), (counts, self._num_rate)):
            total[0] += before
            if len(total) > 1:
                np.cumsum(total, axis=0, out=total)
        self._sum_bps, self._num_rate = sums[-1], counts[-1]
        if not waiting_bytes.any():
            return np.zeros_like(waiting_bytes)
        of_all = sums.sum(axis=1, keepdims=True) / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        mean_bps = np.where(counts > 0.0, sums / np.maximum(counts, 1.0), of_all)
        upload_s: Floats = execution_delay_s(BITS_PER_BYTE * waiting_bytes, np.where(mean_bps > 0.0, mean_bps, np.inf))
        return upload_s
