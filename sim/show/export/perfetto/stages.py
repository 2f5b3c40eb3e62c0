"""Computes the stages of tasks, as intervals, from the times in their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Ints, Mask
from physical.params import Model

WAIT, LOCAL, UPLOAD, NETWORK, QUEUE, SERVICE, RESULT = range(7)
STAGE_NAMES = (
    "wait for command",
    "local work",
    "upload",
    "uplink latency",
    "edge queue",
    "edge service",
    "result return",
)
ABSENT_NS = -1
"""Stands for a time that is not recorded."""


class StageSpans(NamedTuple):
    """One stage of all tasks that went through it.

    kind : index into `STAGE_NAMES`
    row : rows of the tasks, ascending
    begin_ns, end_ns : ns; the end is later than the begin
    cut : whether the task was dropped, or the run ended, before the stage did
    """

    kind: int
    row: Ints
    begin_ns: Ints
    end_ns: Ints
    cut: Mask


def stages(tasks: pa.Table, model: Model, end_ns: int) -> Iterator[StageSpans]:
    """Yield the stages of tasks.

    A stage of length 0 did not take place: a task that is offloaded as a whole has no local work, and on an ideal
    network results return at once. Local work includes the wait for a shared processor, and an upload includes the wait
    for the uplink.

    tasks : rows of the table `tasks`
    model : its `order` and `upload` rule tell when an upload begins, and whether there is one
    end_ns : end of the run, where stages of tasks in flight are cut
    """
    time = {name: _times(tasks, f"{name}_ns") for name in ("generated", *_ENDS)}
    ratio = tasks.column("offloading_ratio").to_numpy()
    outcome = np.asarray(tasks.column("outcome").cast(pa.string()).to_numpy(zero_copy_only=False), dtype=object)
    unfinished = np.array([text not in ("completed", "late") for text in outcome], dtype=np.bool_)
    last = np.where(time["done"] == ABSENT_NS, end_ns, time["done"])
    uploads = unfinished & ((ratio > 0) | (model.upload_rule == "always"))
    ready = time["local_end"] if model.order == "sequential" else time["started"]
    every = np.ones(len(last), dtype=np.bool_)
    plan = (
        (WAIT, time["generated"], time["started"], every),
        (LOCAL, time["started"], time["local_end"], every),
        (UPLOAD, ready, time["upload_end"], uploads),
        (NETWORK, time["upload_end"], time["arrived"], unfinished),
        (QUEUE, time["arrived"], time["service_begin"], unfinished),
        (SERVICE, time["service_begin"], time["service_end"], unfinished),
    )
    for kind, begin, end, may_be_cut in plan:
        cut = (end == ABSENT_NS) & may_be_cut
        yield _stage(kind, begin, np.where(cut, last, end), cut)
    yield _results(model, time, last, outcome)


_ENDS = ("started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done")


def _results(model: Model, time: dict[str, Ints], last: Ints, outcome: NDArray[np.object_]) -> StageSpans:
    """Return the stage of the result's way back; its end is not recorded if the local part of the task ended later."""
    begin, end = time["service_end"], last
    if model.order == "parallel":
        end = np.where((time["local_end"] == ABSENT_NS) | (time["local_end"] >= last), ABSENT_NS, last)
    cut = np.array([text not in ("completed", "late") for text in outcome], dtype=np.bool_)
    return _stage(RESULT, begin, end, cut)


def _stage(kind: int, begin: Ints, end: Ints, cut: Mask) -> StageSpans:
    row = np.flatnonzero((begin != ABSENT_NS) & (end > begin))
    return StageSpans(kind, row, begin[row], end[row], cut[row])


def _times(tasks: pa.Table, name: str) -> Ints:
    return np.asarray(tasks.column(name).fill_null(ABSENT_NS).to_numpy(), dtype=np.int64)
