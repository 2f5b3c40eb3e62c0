"""Writes trace events, the JSON format of Chrome and Perfetto, which https://ui.perfetto.dev opens.

Every entity is a process: the cloud twin, serving nodes, their edge servers, vehicles. A stage of a task is a slice
("X") on a thread of the entity that works on it; slices that overlap get threads of their own, as viewers want slices
of a thread to nest. Flows ("s", "t", "f") lead from stage to stage of a task, and along with messages.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa

from physical.arrays import Ints
from physical.errors import InputError
from physical.ticks import to_ns
from sim.runs.replay import RecordedRun
from sim.show.export.perfetto.json_text import compact, flow, micros
from sim.show.export.perfetto.lanes import deal
from sim.show.export.perfetto.messages import Messages
from sim.show.export.perfetto.stages import NETWORK, RESULT, STAGE_NAMES, UPLOAD, stages
from sim.show.export.perfetto.tracks import CLOUD_PID, DECISIONS, EVENTS, NODE_PID, SERVER_PID, VEHICLE_PID, Tracks
from traces.atomic import whole_file

_CHUNK_EVENTS = 20_000


def check_name(out: Path) -> None:
    """Refuse a file name with the wrong ending.

    Raises
    ------
    InputError : the ending is neither ``.json`` nor ``.json.gz``
    """
    if not out.name.endswith((".json", ".json.gz")):
        raise InputError(f"{out.name!r} is no name for trace events", where="--out", accepted="FILE.json, FILE.json.gz")


def write_perfetto(export: TraceEvents, out: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Write the events of a run; return their number.

    out : ends in ``.json`` or ``.json.gz``
    progress : called with the number of task stages written

    Raises
    ------
    InputError : another ending, a file that cannot be written
    """
    check_name(out)
    with whole_file(out) as file:
        if not out.name.endswith(".gz"):
            return _write(file, export, progress)
        with _compressed(file) as packed:
            return _write(packed, export, progress)


@contextmanager
def _compressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Compress what is written to a file; neither name nor time goes into it, equal contents give equal bytes."""
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
        yield cast(IO[bytes], packed)


def _write(file: IO[bytes], export: TraceEvents, progress: Callable[[int], None]) -> int:
    recorded = export.recorded
    told = {"scenario": recorded.scenario.title, "policy": recorded.policy, "seed": recorded.seed}
    told |= {"status": recorded.status, "run": recorded.trace.directory.name}
    file.write(f'{{"displayTimeUnit":"ns","otherData":{compact(told)},"traceEvents":[\n'.encode())
    num, events = 0, export.events(progress)
    while lines := list(islice(events, _CHUNK_EVENTS)):
        file.write((",\n" if num else "").encode() + ",\n".join(lines).encode())
        num += len(lines)
    file.write(b"\n]}\n")
    return num


class TraceEvents:
    """The events of a run as JSON texts.

    Parameters
    ----------
    recorded : run
    begin_s, until_s : slots that begin in this interval only

    Raises
    ------
    InputError : no slot between the two times
    """

    def __init__(self, recorded: RecordedRun, begin_s: float | None = None, until_s: float | None = None) -> None:
        self.recorded = recorded
        self.tracks = Tracks(recorded.scenario, recorded.vehicle_names)
        self._slot_ns = to_ns(recorded.scenario.time.slot_duration_s)
        self._first, self._last = self._slots(begin_s, until_s)
        self._end_ns = recorded.num_slot * self._slot_ns
        self._slices = self._task_slices()

    def _slots(self, begin_s: float | None, until_s: float | None) -> tuple[int, int]:
        """Return the first slot and the slot after the last."""
        num_slot, end_s = self.recorded.num_slot, self.recorded.num_slot * self._slot_ns / 1e9
        for option, value_s in (("--from", begin_s), ("--until", until_s)):
            if value_s is not None and not 0 <= value_s < float("inf"):
                raise InputError(f"{value_s:g} s is no time of the run", where=option, accepted=f"0 to {end_s:g} s")
        first = 0 if begin_s is None else -(-to_ns(begin_s) // self._slot_ns)
        last = num_slot if until_s is None else min(-(-to_ns(min(until_s, end_s)) // self._slot_ns), num_slot)
        if first >= last:
            problem = f"no slot begins in the {num_slot} slots recorded, from {begin_s or 0:g} s on"
            raise InputError(problem, where="--from, --until", accepted=f"times from 0 to {end_s:g} s")
        return first, last

    def table(self, name: str) -> pa.Table:
        """Return the rows of a table that belong to the slots in question, in order."""
        rows = self.recorded.tables[name]
        if (self._first, self._last) == (0, self.recorded.num_slot):
            return rows
        slot = rows.column("slot").to_numpy()
        if name == "tasks":  # sorted by slot
            begin, end = np.searchsorted(slot, [self._first, self._last]).tolist()
            return rows.slice(begin, end - begin)
        return rows.filter(pa.array((slot >= self._first) & (slot < self._last)))

    @property
    def num_stage(self) -> int:
        """Number of task stages, for a progress bar."""
        return len(self._slices["begin"])

    def events(self, progress: Callable[[int], None] = lambda _: None) -> Iterator[str]:
        """Yield all events: names of tracks, reports, decisions, commands, other events, counters, tasks.

        Viewers sort events by time and keep the order of events with the same time. So a flow must be written after the
        slice that it leaves, and before or in the slice that it enters.
        """
        cloud = self.tracks.tid(CLOUD_PID, DECISIONS, 0), self.tracks.tid(CLOUD_PID, EVENTS, 1)
        messages = Messages(self.table("messages"), self.table("decisions"), self.tracks, cloud[0])
        yield from self.tracks.metadata()
        yield from messages.reports()
        yield from self._decisions(cloud[0])
        yield from messages.commands()
        yield from self._instants(cloud[1])
        yield from self._counters()
        yield from self._tasks(progress)

    def _decisions(self, tid: int) -> Iterator[str]:
        rows = self.table("decisions").select(
            ["slot", "decided_ns", "latency_ns", "repaired", "fallback", "objective_predicted", "policy_wall_s"]
        )
        for row in rows.to_pylist():
            told = {key: row[key] for key in ("slot", "repaired", "fallback", "objective_predicted", "policy_wall_s")}
            name = "decision (fallback)" if row["fallback"] else "decision"
            yield (
                f'{{"ph":"X","cat":"decision","name":"{name}","pid":{CLOUD_PID},"tid":{tid},'
                f'"ts":{micros(row["decided_ns"])},"dur":{micros(row["latency_ns"])},"args":{compact(told)}}}'
            )

    def _instants(self, tid: int) -> Iterator[str]:
        for row in self.table("events").to_pylist():
            event = {"ph": "i", "s": "g", "cat": "event", "name": row["kind"], "pid": CLOUD_PID, "tid": tid}
            told = compact(event | {"args": {"slot": row["slot"], "detail": row["detail"]}})
            yield f'{told[:-1]},"ts":{micros(row["time_ns"])}}}'

    def _counters(self) -> Iterator[str]:
        slots = self.table("slots")
        names = [task.name for task in self.recorded.scenario.tasks]
        for slot, backlog in zip(*(slots.column(key).to_pylist() for key in ("slot", "backlog_bytes")), strict=True):
            yield _counter("backlog / B", slot * self._slot_ns, dict(zip(names, backlog, strict=True)))
        twin, decisions = self.table("twin"), self.table("decisions")
        if not twin.num_rows:
            return
        grouped = twin.group_by("slot", use_threads=False).aggregate(
            [("age_of_information_s", "mean"), ("age_of_information_s", "max")]
        )
        ages = {row["slot"]: row for row in grouped.to_pylist()}
        for slot, time_ns in zip(*(decisions.column(key).to_pylist() for key in ("slot", "decided_ns")), strict=True):
            if slot in ages:
                shown = {kind: 1e3 * ages[slot][f"age_of_information_s_{kind}"] for kind in ("mean", "max")}
                yield _counter("age of information / ms", time_ns, shown)

    def _task_slices(self) -> dict[str, Ints]:
        """Return all stages of tasks in order of time, with their threads and their places within their tasks."""
        tasks = self.table("tasks")
        found = list(stages(tasks, self.recorded.scenario.model, self._end_ns))
        row = np.concatenate([stage.row for stage in found])
        kind = np.concatenate([np.full(len(stage.row), stage.kind, dtype=np.int8) for stage in found])
        begin = np.concatenate([stage.begin_ns for stage in found])
        end = np.concatenate([stage.end_ns for stage in found])
        cut = np.concatenate([stage.cut for stage in found])
        del found
        order = np.lexsort((kind, row, begin))
        row, kind, begin, end, cut = row[order], kind[order], begin[order], end[order], cut[order]
        slices: dict[str, Any] = {"row": row, "kind": kind, "begin": begin, "end": end, "cut": cut}
        slices |= self._threads(tasks, row, kind, begin, end)
        num_of_task = np.bincount(row, minlength=tasks.num_rows)
        by_task = np.argsort(row, kind="stable")  # within a task in order of time, as the slices are
        first = np.cumsum(num_of_task) - num_of_task
        place = np.empty_like(row)
        place[by_task] = np.arange(len(row)) - first[row[by_task]]
        return slices | {"place": place, "left": num_of_task[row] - place - 1}

    def _threads(self, tasks: pa.Table, row: Ints, kind: Ints, begin: Ints, end: Ints) -> dict[str, Ints]:
        """Return process and thread of every stage.

        The server is that of the node that serves the vehicle when the task arrives, or that served it last.
        """
        names = [task.name for task in self.recorded.scenario.tasks]
        task_class = tasks.column("task_class").to_numpy().astype(np.int64)[row]
        vehicle = tasks.column("vehicle").to_numpy().astype(np.int64)[row]
        arrived_ns = tasks.column("arrived_ns").fill_null(0).to_numpy()[row]
        moment_ns = np.where((kind > NETWORK) & (kind < RESULT), arrived_ns, begin)
        node = self._serving_node(vehicle, np.maximum(moment_ns // self._slot_ns, 0))
        at_vehicle, at_node = kind <= UPLOAD, (kind == NETWORK) | (kind == RESULT)
        pid = np.where(at_vehicle, VEHICLE_PID + vehicle, np.where(at_node, NODE_PID, SERVER_PID) + node)
        label = [f"{name}{suffix}" for name in names for suffix in ("", ": queue", ": service", ": uplink", ": result")]
        suffix = np.array([0, 0, 0, 3, 1, 2, 4])[kind]
        which = task_class * 5 + suffix
        lane = deal(pid * len(label) + which, begin, end)
        return {"pid": pid, "tid": self.tracks.tids(pid, label, which, lane)}

    def _serving_node(self, vehicle: Ints, slot: Ints) -> Ints:
        """Return the serving node of vehicles in slots, [n]; without one, the last serving node, or the first node."""
        rows = self.recorded.tables["vehicles"]
        names = [node.name for node in self.recorded.scenario.nodes]
        num_slot = self.recorded.num_slot
        if not rows.num_rows or len(names) == 1:
            return np.zeros_like(vehicle)
        index = pa.compute.index_in(rows.column("serving_node").cast(pa.string()), pa.array(names))
        known = index.fill_null(-1).to_numpy()
        who, when = (rows.column(key).to_numpy() for key in ("vehicle", "slot"))
        serving = np.full((num_slot, max(int(who.max()), int(vehicle.max(initial=0))) + 1), -1, dtype=np.int64)
        serving[when, who] = known
        held = np.maximum.accumulate(np.where(serving >= 0, np.arange(num_slot)[:, np.newaxis], 0), axis=0)
        serving = np.take_along_axis(serving, held, axis=0)
        return np.maximum(serving[np.minimum(slot, num_slot - 1), vehicle], 0)

    def _tasks(self, progress: Callable[[int], None]) -> Iterator[str]:
        tasks = self.table("tasks")
        columns = {name: tasks.column(name).to_numpy().tolist() for name in ("slot", "vehicle", "task_class")}
        size, ratio = (tasks.column(name).to_numpy().tolist() for name in ("size_bytes", "offloading_ratio"))
        size = [f"{value:g}" if math.isfinite(value) else "null" for value in size]
        outcomes = tasks.column("outcome").cast(pa.string())
        spelled = {text: json.dumps(text) for text in outcomes.unique().to_pylist()}
        outcome = [spelled[text] for text in outcomes.to_pylist()]
        names = [json.dumps(f"{stage}, ")[:-1] for stage in STAGE_NAMES]
        ids = [f',"vehicle_id":{json.dumps(name)}' for name in self.tracks.names]
        classes = [json.dumps(task.name)[1:] for task in self.recorded.scenario.tasks]
        # The events of a part of a run have the same flows as those of the whole run.
        base = int(np.searchsorted(self.recorded.tables["tasks"].column("slot").to_numpy(), self._first))
        for begin in range(0, self.num_stage, _CHUNK_EVENTS):
            progress(begin)
            chunk = {name: values[begin : begin + _CHUNK_EVENTS].tolist() for name, values in self._slices.items()}
            for row, kind, ts, end, cut, pid, tid, place, left in zip(*(chunk[key] for key in _KEYS), strict=True):
                slot, vehicle, task_class = (columns[key][row] for key in ("slot", "vehicle", "task_class"))
                more = f',"size_bytes":{size[row]},"offloading_ratio":{_or_null(ratio[row])}' if not place else ""
                more += ',"cut_short":true' if cut else ""
                yield (
                    f'{{"ph":"X","cat":"task","name":{names[kind]}{classes[task_class]},"pid":{pid},"tid":{tid},'
                    f'"ts":{micros(ts)},"dur":{micros(end - ts)},"args":{{"slot":{slot},"vehicle":{vehicle}'
                    f'{ids[vehicle] if ids else ""},"outcome":{outcome[row]}{more}}}}}'
                )
                if place or left:
                    phase = "t" if place and left else "f" if place else "s"
                    yield flow(phase, "task", base + row, pid, tid, ts)
        progress(self.num_stage)


_KEYS = ("row", "kind", "begin", "end", "cut", "pid", "tid", "place", "left")


def _or_null(value: float) -> str:
    return repr(value) if math.isfinite(value) else "null"


def _counter(name: str, time_ns: int, values: dict[str, float]) -> str:
    event = compact({"ph": "C", "name": name, "pid": CLOUD_PID, "args": values})
    return f'{event[:-1]},"ts":{micros(time_ns)}}}'
