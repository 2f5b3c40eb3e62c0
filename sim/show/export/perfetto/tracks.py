"""Numbers of the processes and threads that entities have in a trace of events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from physical.arrays import Ints
from sim.scenario.scenario import Scenario

CLOUD_PID, NODE_PID, SERVER_PID, VEHICLE_PID = 1, 1_000, 100_000, 200_000
"""Numbers of processes; a node, a server or a vehicle adds its index."""
# Larger than all pids, because viewers take a thread with the number of its process for the main thread.
_FIRST_TID = 1 << 24
DECISIONS, EVENTS = "decisions", "events"


@dataclass
class Tracks:
    """Hands out threads, and describes processes and threads.

    names : of vehicles, by number, where a mobility trace gives them

    >>> tracks = Tracks(Scenario.load("dtecn"))
    >>> tracks.tid(CLOUD_PID, "decisions", 1) == tracks.tid(CLOUD_PID, "decisions", 1)
    True
    """

    scenario: Scenario
    names: Sequence[str] = ()
    _tids: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def tid(self, pid: int, name: str, order: int) -> int:
        """Return the number of a thread; `order` sorts those of a process."""
        known = self._tids.get((pid, name))
        if known is None:
            known = self._tids[pid, name] = (_FIRST_TID + len(self._tids), order)
        return known[0]

    def tids(self, pid: Ints, label: list[str], kind: Ints, lane: Ints) -> Ints:
        """Return the threads of slices, [n], given by process, index into `label`, and lane."""
        keys, inverse = np.unique(np.stack([pid, kind, lane], axis=1), axis=0, return_inverse=True)
        found = [
            self.tid(process, label[which] if not number else f"{label[which]} ({number + 1})", which * 4096 + number)
            for process, which, number in keys.tolist()
        ]
        return np.asarray(found, dtype=np.int64)[inverse.reshape(-1)]

    def metadata(self) -> Iterator[str]:
        """Yield the events that name and sort all processes and threads in use."""
        for pid in sorted({pid for pid, _ in self._tids}):
            yield _metadata("process_name", pid, None, "name", self._process_name(pid))
            yield _metadata("process_sort_index", pid, None, "sort_index", pid)
        for (pid, name), (tid, order) in sorted(self._tids.items(), key=lambda item: item[1][0]):
            yield _metadata("thread_name", pid, tid, "name", name)
            yield _metadata("thread_sort_index", pid, tid, "sort_index", order)

    def _process_name(self, pid: int) -> str:
        nodes = self.scenario.nodes
        if pid >= VEHICLE_PID:
            index = pid - VEHICLE_PID
            return f"vehicle {self.names[index] if self.names else index}"
        if pid >= SERVER_PID:
            return f"edge server of {nodes[pid - SERVER_PID].name}"
        if pid >= NODE_PID:
            node = nodes[pid - NODE_PID]
            return f"RSU {node.name}" if node.is_rsu else node.name
        return "cloud twin"


def _metadata(kind: str, pid: int, tid: int | None, key: str, value: str | int) -> str:
    event = {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {key: value}}
    return json.dumps({key: value for key, value in event.items() if value is not None}, separators=(",", ":"))
