"""Counts control messages, and records them where the scenario asks for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Ints
from traces.sink import Sink
from twin.messages import LOST_NS

_Cohort = tuple[str, int, int, "Ints | int | None", "Ints | int", int]


class MessageLog:
    """Every message sent is delivered, lost or in flight."""

    def __init__(self, writer: Sink | None) -> None:
        self.num_sent: Counter[str] = Counter()
        self.num_delivered: Counter[str] = Counter()
        self.num_lost: Counter[str] = Counter()
        self._writer = writer
        self._new: list[_Cohort] = []
        self._in_flight: list[tuple[str, Ints]] = []

    def sent(
        self, kind: str, slot: int, sent_ns: int, who: Ints | int | None, delivered_ns: Ints | int, num: int
    ) -> None:
        """Take note of messages that were sent at once.

        Parameters
        ----------
        kind : "report", "server-report", "server-command" or "command"
        slot : whose messages they are
        sent_ns : when they were sent
        who : vehicles that send or get them, [num], None for all; of a server's message, its node
        delivered_ns : one time for all, or [num]; LOST_NS for a lost one
        num : how many
        """
        self._new.append((kind, slot, sent_ns, who, delivered_ns, num))

    def num_in_flight(self) -> int:
        """Return how many messages were on their way at the last flush."""
        return sum(len(delivered_ns) for _, delivered_ns in self._in_flight)

    def flush(self, now_ns: int) -> None:
        """Settle the account at `now_ns`."""
        waiting, self._in_flight = self._in_flight, []
        for kind, times_ns in waiting:
            self._settle(kind, times_ns, now_ns)
        for kind, _, _, _, delivered_ns, num in self._new:
            self.num_sent[kind] += num
            if isinstance(delivered_ns, int) and delivered_ns <= now_ns:
                self.num_delivered[kind] += num
                continue
            times_ns = np.full(num, delivered_ns) if isinstance(delivered_ns, int) else delivered_ns
            num_lost = int(np.count_nonzero(times_ns >= LOST_NS))
            self.num_lost[kind] += num_lost
            self._settle(kind, times_ns[times_ns < LOST_NS] if num_lost else times_ns, now_ns)
        if self._writer is not None and self._new:
            self._writer.add("messages", _rows(self._new))
        self._new.clear()

    def _settle(self, kind: str, delivered_ns: Ints, now_ns: int) -> None:
        arrived = delivered_ns <= now_ns
        num_arrived = int(np.count_nonzero(arrived))
        self.num_delivered[kind] += num_arrived
        if num_arrived < len(arrived):
            self._in_flight.append((kind, delivered_ns[~arrived]))


def _rows(cohorts: list[_Cohort]) -> dict[str, Any]:
    delivered_ns = np.concatenate([np.broadcast_to(np.asarray(c[4]), (c[5],)) for c in cohorts])
    return {
        "slot": np.concatenate([np.full(c[5], c[1], dtype=np.int32) for c in cohorts]),
        "kind": [c[0] for c in cohorts for _ in range(c[5])],
        "vehicle": np.concatenate([_senders(c) for c in cohorts]),
        "sent_ns": np.concatenate([np.full(c[5], c[2]) for c in cohorts]),
        "delivered_ns": np.ma.MaskedArray(delivered_ns, mask=delivered_ns >= LOST_NS),
    }


def _senders(cohort: _Cohort) -> NDArray[np.int32]:
    """Return the column `vehicle`, [num]: -1 stands for the first node's server, -2 for the second one's."""
    who, num = cohort[3], cohort[5]
    if isinstance(who, int):
        return np.full(num, -1 - who, dtype=np.int32)
    return (np.arange(num) if who is None else who).astype(np.int32)
