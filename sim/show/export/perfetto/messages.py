"""Control messages as trace events: a slice from sending to delivery, and flows to and from decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sim.show.export.perfetto.json_text import flow, micros
from sim.show.export.perfetto.lanes import deal
from sim.show.export.perfetto.tracks import CLOUD_PID, NODE_PID, VEHICLE_PID, Tracks

_LABELS = ["reports", "commands"]
_LOST_NS = -1


class Messages:
    """Yield one slice per delivered message and one instant per lost message, with the vehicle or node of the message.

    Parameters
    ----------
    messages, decisions : tables of the trace
    tracks : hands out threads
    cloud : thread of the decisions
    """

    def __init__(self, messages: pa.Table, decisions: pa.Table, tracks: Tracks, cloud: int) -> None:
        kinds = messages.column("kind").cast(pa.string()).to_pylist()
        vehicle = messages.column("vehicle").to_numpy().astype(np.int64)
        sent = messages.column("sent_ns").to_numpy()
        which = np.array([kind.endswith("command") for kind in kinds], dtype=np.int64)
        order = np.lexsort((vehicle, which, sent))
        self._kind = [kinds[row] for row in order.tolist()]
        self._slot = messages.column("slot").to_numpy()[order]
        self._sent, self._which = sent[order], which[order]
        self._delivered = messages.column("delivered_ns").fill_null(_LOST_NS).to_numpy()[order]
        self._pid = np.where(vehicle >= 0, VEHICLE_PID + vehicle, NODE_PID - 1 - vehicle)[order]
        lane = deal(self._pid * len(_LABELS) + self._which, self._sent, np.maximum(self._delivered, self._sent))
        self._tid = tracks.tids(self._pid, _LABELS, self._which, lane)
        self._cloud = cloud
        self._decided = decisions.column("decided_ns").to_numpy()
        self._decided_slot = dict(zip(decisions.column("slot").to_pylist(), self._decided.tolist(), strict=True))

    def reports(self) -> Iterator[str]:
        """Yield the messages to the twin in order of sending; a flow leads from each to the next decision."""
        waiting = []  # ends of flows are in the order of their own times
        for row in np.flatnonzero(self._which == 0).tolist():
            yield self._message(row)
            after = int(np.searchsorted(self._decided, self._delivered[row]))
            if self._delivered[row] != _LOST_NS and after < len(self._decided):
                yield self._flow("s", "report", row)
                waiting.append((int(self._decided[after]), row))
        for time_ns, row in sorted(waiting):
            yield flow("f", "report", row, CLOUD_PID, self._cloud, time_ns, to_next=True)

    def commands(self) -> Iterator[str]:
        """Yield the messages of the twin in order of sending; a flow leads from the decision to each."""
        for row in np.flatnonzero(self._which == 1).tolist():
            decided_ns = self._decided_slot.get(int(self._slot[row]))
            linked = self._delivered[row] != _LOST_NS and decided_ns is not None
            if linked and decided_ns is not None:
                yield flow("s", "command", row, CLOUD_PID, self._cloud, decided_ns)
            yield self._message(row)
            if linked:
                yield self._flow("f", "command", row)

    def _message(self, row: int) -> str:
        name, sent_ns = self._kind[row], int(self._sent[row])
        place = f'"pid":{self._pid[row]},"tid":{self._tid[row]},"ts":{micros(sent_ns)}'
        told = f'"args":{{"slot":{self._slot[row]}}}'
        if self._delivered[row] == _LOST_NS:
            return f'{{"ph":"i","s":"t","cat":"message","name":{json.dumps(f"{name} lost")},{place},{told}}}'
        duration = micros(int(self._delivered[row]) - sent_ns)
        return f'{{"ph":"X","cat":"message","name":{json.dumps(name)},{place},"dur":{duration},{told}}}'

    def _flow(self, phase: str, name: str, row: int) -> str:
        return flow(phase, name, row, int(self._pid[row]), int(self._tid[row]), int(self._sent[row]))
