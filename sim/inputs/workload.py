"""Which tasks appear. Sizes are drawn or taken from a trace of requests; bursts enlarge them; 0 means no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from physical import drawn
from physical.arrays import Floats, Mask
from physical.model import workload
from physical.params import Bursts, TaskClass
from physical.ticks import NS_PER_S
from sim.inputs.draws import draw_uniform
from sim.inputs.streams import Streams
from sim.scenario.timeline import Timeline

if TYPE_CHECKING:
    from traces.exogenous import RequestTrace


class Workload:
    """Makes the tasks of a run, slot after slot.

    Parameters
    ----------
    tasks : the task classes
    bursts : when tasks are larger; None: never
    requests : class index -> requests that its tasks are, for classes that have a trace of them
    timeline : timed events, bursts among them
    streams : random streams
    num_vehicle : N
    """

    def __init__(
        self,
        tasks: Sequence[TaskClass],
        bursts: Bursts | None,
        requests: Mapping[int, RequestTrace],
        timeline: Timeline,
        streams: Streams,
        num_vehicle: int,
    ) -> None:
        self._tasks = tasks
        self._timeline = timeline
        self._generators = streams.of_vehicles("tasks", num_vehicle)
        self._bursts = None if bursts is None else BurstChains(bursts, 1, num_vehicle)
        self._event_generator = streams.generator("bursts", "event")
        self._burst_generators = streams.of_vehicles("bursts", num_vehicle) if self._bursts else []
        self._range = np.array([task.units for task in tasks], dtype=float).T
        self._bytes_per_unit = np.array([task.bytes_per_unit for task in tasks])
        self._requests = {
            index: DealtRequests(requests[index], task.requests.speed, task.requests.begin_s, index, streams)
            for index, task in enumerate(tasks)
            if task.requests is not None
        }

    def size_bytes(self, first_slot: int, num_slot: int, present: Mask | None) -> Floats:
        """Return the sizes of the next slots' tasks in whole bytes, [B, N, K].

        present : [B, N], vehicles that are not there have no tasks; None: all are there
        """
        low, high = self._range
        uniform = draw_uniform(self._generators, num_slot, len(low))
        units = drawn.num_unit(low, high, uniform)
        for index, requests in self._requests.items():
            units[..., index] = requests.deal(first_slot, self._timeline.slot_ns, present, units[..., index])
        factors: list[Floats] = []
        if self._bursts is not None:
            of_events = self._event_generator.random((num_slot, 1))
            of_bursts = draw_uniform(self._burst_generators, num_slot, 1)[..., 0]
            factors.append(self._bursts.factors(of_events, of_bursts)[..., np.newaxis])
        timed = self._timeline.size_factor([task.name for task in self._tasks], first_slot, num_slot)
        if timed is not None:
            factors.append(timed[:, np.newaxis, :])
        for factor in factors:
            units = drawn.enlarged(units, factor)
        sizes: Floats = units * self._bytes_per_unit
        return sizes if present is None else np.where(present[..., np.newaxis], sizes, 0.0)


class BurstChains:
    """Chains of events, and the chains of the vehicles' bursts, which depend on them; all start at rest.

    Parameters
    ----------
    params : probabilities of the chains
    event_shape : of the events, [B] for that many environments
    burst_shape : of the bursts, [N] for one environment, [N, B] for several
    """

    def __init__(self, params: Bursts, event_shape: int, burst_shape: int | tuple[int, int]) -> None:
        self._params = params
        self._event: Mask = np.zeros(event_shape, dtype=np.bool_)
        self._burst: Mask = np.zeros(burst_shape, dtype=np.bool_)

    def factors(self, of_events: Floats, of_bursts: Floats) -> Floats:
        """Return the size factors of the next slots, of the shape of `of_bursts`.

        of_events, of_bursts : [T, ...], uniform numbers, one for each chain in each slot
        """
        params = self._params
        events = np.empty(of_events.shape, dtype=np.bool_)
        for row, uniform in enumerate(of_events):
            self._event = workload.next_state(self._event, params.event_begin, params.event_end, uniform)
            events[row] = self._event
        begin = np.where(events, params.burst_begin_in_event, params.burst_begin)
        bursts = np.empty(of_bursts.shape, dtype=np.bool_)
        for row, uniform in enumerate(of_bursts):
            self._burst = workload.next_state(self._burst, begin[row], params.burst_end, uniform)
            bursts[row] = self._burst
        return np.where(bursts, params.size_factor, 1.0)


class DealtRequests:
    """Deals the requests of a trace to vehicles; which vehicle gets the next one is drawn.

    A vehicle gets at most one request per slot. Requests that have arrived by a slot start are dealt then; if there are
    more of them than vehicles, the rest waits for later slots.
    """

    def __init__(self, trace: RequestTrace, speed: float, begin_s: float, index: int, streams: Streams) -> None:
        self._time_ns = trace.column("t_ns")
        self._num_token = trace.column("num_input_token").astype(np.float64)
        self._speed = speed
        self._begin_ns = begin_s * NS_PER_S
        self._generator = streams.generator("requests", f"class-{index}")
        self._dealt = int(np.searchsorted(self._time_ns, self._begin_ns, side="left"))

    def deal(self, first_slot: int, slot_ns: int, present: Mask | None, like: Floats) -> Floats:
        """Return the tokens of the next slots' tasks, of the shape of `like`, [B, N]; 0 without a request."""
        num_token = np.zeros_like(like)
        for row in range(len(like)):
            now_ns = self._begin_ns + self._speed * (first_slot + row) * slot_ns
            arrived = int(np.searchsorted(self._time_ns, now_ns, side="right"))
            # Only vehicles that are there take part, so that vehicles that enter later change nothing.
            order = self._generator.permutation(like.shape[1] if present is None else np.flatnonzero(present[row]))
            dealt = self._num_token[self._dealt : max(arrived, self._dealt)][: len(order)]
            num_token[row, order[: len(dealt)]] = dealt
            self._dealt += len(dealt)
        return num_token
