"""Tasks as an engine hands them out to be recorded: what became of each of them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Ints


class Outcome(IntEnum):
    """How a task ended; `LATE` is a completion after its deadline, `ABSENT` a task of size 0, which there never was."""

    IN_FLIGHT = 0
    COMPLETED = 1
    LATE = 2
    DROPPED_UPLINK = 3
    DROPPED_RESULT = 4
    DROPPED_HANDOVER = 5
    DROPPED_LEFT = 6
    ABSENT = 7


class Metered(NamedTuple):
    """What was noted of tasks that are metered one by one, [num_row].

    local_hz : at which frequency their local parts ran; NaN of tasks that were never started
    transmit_j, edge_j : what they have spent at the radio of their vehicle, and at the server, J
    """

    local_hz: Floats
    transmit_j: Floats
    edge_j: Floats


class TaskRows(NamedTuple):
    """Tasks that the columns hand out, in the order of their slots; arrays [num_row].

    offloading_ratio : NaN of tasks that were never started
    start ... done : when each stage began or ended, or will as planned, ticks; NEVER if it does not
    local_left_s : CPU time that the local part had left when it was cut short, s
    local_work : the whole task in cycles of its vehicle, where that does not follow from class and size; or None
    metered : None where tasks have no meter of their own
    """

    slot: NDArray[np.int32]
    vehicle: NDArray[np.int32]
    task_class: NDArray[np.int32]
    size_bytes: Floats
    offloading_ratio: Floats
    start: Ints
    local_end: Ints
    upload_end: Ints
    arrive: Ints
    serve: Ints
    served: Ints
    done: Ints
    outcome: NDArray[np.int8]
    local_left_s: Floats
    local_work: Floats | None = None
    metered: Metered | None = None
