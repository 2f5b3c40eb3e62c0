"""Control messages as trace events: a slice from sending to delivery, and flows to and from decisions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.export.lanes import deal
from sim.export.text import flow, micros
from sim.export.tracks import CLOUD_PID, DECISIONS, NODE_PID, VEHICLE_PID, Tracks

Ints = NDArray[np.int64]

_LABELS = ["reports", "commands"]
_LOST_NS = -1


def message_events(messages: pa.Table, decisions: pa.Table, tracks: Tracks) -> Iterator[str]:
    """Yield one slice per message that was delivered and an instant per lost one, by the time of sending.

    Both stand with the vehicle or the node, whoever sent it. A flow leads from a report to the next decision, and from
    a decision to its commands.
    """
    if not messages.num_rows:
        return
    kind = messages.column("kind").cast(pa.string()).to_numpy(zero_copy_only=False)
    vehicle = messages.column("vehicle").to_numpy().astype(np.int64)
    sent = messages.column("sent_ns").to_numpy()
    delivered = messages.column("delivered_ns").fill_null(_LOST_NS).to_numpy()
    slot = messages.column("slot").to_numpy()
    which = np.array([text.endswith("command") for text in kind], dtype=np.int64)
    pid = np.where(vehicle >= 0, VEHICLE_PID + vehicle, NODE_PID - 1 - vehicle)
    order = np.lexsort((vehicle, which, sent))
    end = np.maximum(delivered, sent)
    lane = np.empty_like(pid)
    lane[order] = deal((pid * len(_LABELS) + which)[order], sent[order], end[order])
    tid = tracks.tids(pid, _LABELS, which, lane)
    cloud = tracks.tid(CLOUD_PID, DECISIONS, 0)
    decided = decisions.column("decided_ns").to_numpy()
    known = set(decisions.column("slot").to_pylist())
    waiting = []  # ends of flows: they come in order of their own times
    for row in order.tolist():
        at = f'"pid":{pid[row]},"tid":{tid[row]},"ts":{micros(int(sent[row]))},"args":{{"slot":{slot[row]}}}'
        if delivered[row] == _LOST_NS:
            yield f'{{"ph":"i","s":"t","cat":"message","name":"{kind[row]} lost",{at}}}'
            continue
        duration = micros(int(end[row] - sent[row]))
        yield f'{{"ph":"X","cat":"message","name":"{kind[row]}",{at},"dur":{duration}}}'
        if which[row]:
            if int(slot[row]) in known:
                yield flow("t", "command", f"d{slot[row]}", int(pid[row]), int(tid[row]), int(sent[row]))
            continue
        if (after := int(np.searchsorted(decided, delivered[row]))) < len(decided):
            yield flow("s", "report", f"m{row}", int(pid[row]), int(tid[row]), int(sent[row]))
            waiting.append((int(decided[after]), row))
    for time_ns, row in sorted(waiting):
        yield flow("f", "report", f"m{row}", CLOUD_PID, cloud, time_ns, to_next=True)
