"""Resources and queues of the entities, driven directly: who comes when is given, and somebody looks now and then."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
from simpy.events import Event

from physical.arrays import Floats, Ints
from physical.entities.server import EdgeQueues
from physical.entities.service import Request, Resource
from physical.entities.task import Task, Travel
from physical.phase import Phase
from physical.system import System
from sim.engine.clock import TickClock
from tests.support.queues import CYCLES_PER_BYTE

_AT_ONCE = Travel(0, False)


class Served(NamedTuple):
    """What became of customers.

    begin, end : [Q, customers], ticks
    left : [looks, Q], work that was left when somebody looked
    present : [looks, Q], how many customers were there then
    """

    begin: Ints
    end: Ints
    left: Floats
    present: Floats


def serve(clock: TickClock, resources: Sequence[Resource], arrive: Ints, work: Floats, look: Ints) -> Served:
    """Let customers [Q, customers] come to resources at some ticks, and look at all of them at some others."""
    requests: list[list[Request]] = [[] for _ in resources]
    there: list[list[Request]] = [[] for _ in resources]
    left, present = np.zeros((len(look), len(resources))), np.zeros((len(look), len(resources)))

    def come(index: int) -> Generator[Event, None, None]:
        for at, amount in zip(arrive[index].tolist(), work[index].tolist(), strict=True):
            yield clock.at_ticks(at, Phase.UPLINK_ENTRY)
            request = Request(clock, amount)
            requests[index].append(request)
            there[index].append(request)
            resources[index].admit(request)

    def watch() -> Generator[Event, None, None]:
        for row, at in enumerate(look.tolist()):
            yield clock.at_ticks(at, Phase.LATE_ENTRY)
            for index, some in enumerate(there):
                some[:] = [request for request in some if request.ended is None]
                left[row, index] = sum(request.left() for request in some)
                present[row, index] = len(some)

    clock.begin([*(come(index) for index in range(len(resources))), watch()])
    clock.env.run()
    begin = np.array([[request.begun for request in row] for row in requests])
    end = np.array([[request.ended for request in row] for row in requests])
    return Served(begin, end, left, present)


def offload_to(system: System, rate_hz: Floats, arrive: Ints, size_bytes: Floats, look: Ints) -> Served:
    """Let tasks [B, N, K] reach the queues of a server; Q and customers are classes K and B N then."""
    clock = TickClock()
    queues = EdgeQueues(clock, system)
    num_slot, num_vehicle, num_class = arrive.shape
    queues.set_rates(range(num_vehicle), rate_hz, np.zeros_like(rate_hz))
    tasks: list[list[Task]] = [[] for _ in range(num_class)]
    backlog = np.zeros((len(look), num_class))

    def come(vehicle: int, task_class: int) -> Generator[Event, None, None]:
        for slot in range(num_slot):
            yield clock.at_ticks(int(arrive[slot, vehicle, task_class]), Phase.SERVICE_DONE)
            size = float(size_bytes[slot, vehicle, task_class])
            cycles = size * CYCLES_PER_BYTE
            task = Task(slot, vehicle, task_class, size, cycles, cycles, _AT_ONCE, _AT_ONCE)
            task.cut(1.0, 1.0, size)
            tasks[task_class].append(task)
            clock.env.process(queues.serve(task))

    def watch() -> Generator[Event, None, None]:
        for row, at in enumerate(look.tolist()):
            yield clock.at_ticks(at, Phase.LATE_ENTRY)
            backlog[row] = queues.backlog(range(num_vehicle))[0]

    flows = [(vehicle, task_class) for vehicle in range(num_vehicle) for task_class in range(num_class)]
    clock.begin([*(come(*flow) for flow in flows), watch()])
    clock.env.run()
    rows = [sorted(of_class, key=lambda task: task.row) for of_class in tasks]
    begin = np.array([[task.service and task.service.begun for task in row] for row in rows])
    end = np.array([[task.service and task.service.ended for task in row] for row in rows])
    return Served(begin, end, backlog, np.zeros(0))
