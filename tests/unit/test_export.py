"""Exports: every stage of every task is one slice, viewers can read the events, CSV files hold what the tables hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from physical.errors import InputError
from sim import Scenario, run
from sim.runs.replay import RecordedRun
from sim.show.export.csv import write_csv
from sim.show.export.perfetto.file import TraceEvents, write_perfetto
from sim.show.export.perfetto.lanes import deal
from sim.show.export.perfetto.stages import STAGE_NAMES
from tests.support.command import twin
from tests.support.reports import killed
from traces.reader import Trace

pytestmark = pytest.mark.full  # the quick loop is for what changes every day

Event = dict[str, Any]

SLOW = ("network.access.jitter_s=0.01", "network.backhaul.loss=0.2", "network.access.loss=0.05")
LATENCY = 'twin.decision.latency={kind="exponential", mean_s=0.05}'
RUNS: dict[str, tuple[str, str | None, int, tuple[str, ...]]] = {
    "ideal": ("dtecn", None, 5, ("trace.messages=true",)),
    "blackout": ("blackout", None, 70, (*SLOW, LATENCY, "trace.messages=true")),
    "parallel": ("dtecn-congested", "random", 30, ("model.order=parallel", "network.access.latency_s=0.01")),
    "paper": ("dtecn-congested", "random", 20, ("model.mode=paper",)),
    "layers": ("llm6g", "layers-exact", 6, ("time.slot_duration_s=0.5",)),
    "quoted": ("dtecn", None, 2, (r"""tasks.0.name="a\"b</script>\\" """, r"""title="<b>\"&" """)),
}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, (scenario, policy, num_slot, settings) in RUNS.items():
        made[name] = tmp_path_factory.mktemp("runs") / name
        loaded = Scenario.load(scenario, [*settings, f"time.num_slot={num_slot}"])
        run(loaded, policy=policy, seed=3, out=made[name])
    return made


def nanoseconds(value: Decimal | int) -> int:
    """Convert µs, exactly."""
    scaled = Decimal(value) * 1000
    assert scaled == int(scaled)
    return int(scaled)


def events_of(directory: Path, tmp_path: Path, *between: float) -> list[Event]:
    out = tmp_path / "events.json"
    num = write_perfetto(TraceEvents(RecordedRun(directory), *between), out)
    found: list[Event] = json.loads(out.read_text("utf-8"), parse_float=Decimal)["traceEvents"]
    assert num == len(found)
    return found


def validate(events: Sequence[Event]) -> None:
    """Check what the trace event format demands, and what viewers need to show it."""
    named = {(event["pid"], event.get("tid")) for event in events if event["ph"] == "M"}
    slices: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    flows: dict[tuple[str, int], list[tuple[int, str, tuple[int, int]]]] = defaultdict(list)
    for event in events:
        assert event["ph"] in "MXisCtf"
        assert isinstance(event["name"], str)
        assert (event["pid"], None) in named
        if event["ph"] in "Xistf":
            assert (event["pid"], event["tid"]) in named
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}
            assert event["args"].keys() == {"sort_index" if event["name"].endswith("sort_index") else "name"}
            continue
        ts = nanoseconds(event["ts"])
        assert ts >= 0
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].append((ts, nanoseconds(event["dur"])))
        elif event["ph"] == "C":
            assert all(isinstance(value, int | Decimal) for value in event["args"].values())
        elif event["ph"] == "i":
            assert event["s"] in "gpt"
        else:
            assert isinstance(event["id"], int)
            flows[event["cat"], event["id"]].append((ts, event["ph"], (event["pid"], event["tid"])))
    for track in slices.values():
        assert track == sorted(track, key=lambda one: one[0])
        assert all(ts + dur <= after for (ts, dur), (after, _) in pairwise(track))
    for points in flows.values():
        ordered = sorted(points, key=lambda one: one[0])
        assert sorted("".join(phase for _, phase, _ in ordered)) == sorted("s" + "t" * (len(points) - 2) + "f")
        assert min(at for at, phase, _ in points if phase == "s") == ordered[0][0]
        assert max(at for at, phase, _ in points if phase == "f") == ordered[-1][0]
        assert all(any(ts <= at <= ts + dur for ts, dur in slices[track]) for at, _, track in points)


def expected_stages(directory: Path) -> Counter[tuple[str, int, int, int, int]]:
    """Take the stages that are complete from the table, row by row, with (name, slot, vehicle, begin, duration)."""
    found: Counter[tuple[str, int, int, int, int]] = Counter()
    recorded = RecordedRun(directory)
    parallel = recorded.scenario.model.order == "parallel"
    names = [task.name for task in recorded.scenario.tasks]
    for row in recorded.tables["tasks"].to_pylist():
        ready = row["started_ns"] if parallel else row["local_end_ns"]
        ends = [
            (row["generated_ns"], row["started_ns"]),
            (row["started_ns"], row["local_end_ns"]),
            (ready, row["upload_end_ns"]),
            (row["upload_end_ns"], row["arrived_ns"]),
            (row["arrived_ns"], row["service_begin_ns"]),
            (row["service_begin_ns"], row["service_end_ns"]),
        ]
        is_done = row["outcome"] in ("completed", "late")
        if is_done and row["service_end_ns"] is not None and (not parallel or row["local_end_ns"] < row["done_ns"]):
            ends.append((row["service_end_ns"], row["done_ns"]))
        for stage, (begin, end) in zip(STAGE_NAMES, ends, strict=False):
            if begin is not None and end is not None and end > begin:
                key = (f"{stage}, {names[row['task_class']]}", row["slot"], row["vehicle"], begin, end - begin)
                found[key] += 1
    return found


@pytest.mark.parametrize("name", RUNS)
def test_every_stage_is_one_slice(name: str, directories: dict[str, Path], tmp_path: Path) -> None:
    events = events_of(directories[name], tmp_path)
    validate(events)
    found: Counter[tuple[str, int, int, int, int]] = Counter()
    cut = []
    for event in events:
        if event["ph"] == "X" and event["cat"] == "task":
            begin, duration, told = nanoseconds(event["ts"]), nanoseconds(event["dur"]), event["args"]
            if told.get("cut_short"):
                cut.append((event, begin + duration))
            else:
                found[event["name"], told["slot"], told["vehicle"], begin, duration] += 1
    expected = expected_stages(directories[name])
    assert found == expected
    assert expected
    recorded = RecordedRun(directories[name])
    end_ns = round(recorded.num_slot * recorded.scenario.time.slot_duration_s * 1e9)
    ended = {row["done_ns"] for row in recorded.tables["tasks"].to_pylist() if row["outcome"].startswith("dropped")}
    for event, last in cut:
        outcome = event["args"]["outcome"]
        assert last == end_ns if outcome == "in flight" else last in ended, event


def test_runs_cover_what_can_happen(directories: dict[str, Path], tmp_path: Path) -> None:
    texts = Counter(
        (event["name"].partition(",")[0], bool(event["args"].get("cut_short")))
        for name in ("blackout", "parallel", "layers")
        for event in events_of(directories[name], tmp_path)
        if event.get("cat") == "task" and event["ph"] == "X"
    )
    assert {stage for stage, _ in texts} == set(STAGE_NAMES)
    assert {stage for stage, is_cut in texts if is_cut} >= {"upload", "edge queue", "edge service"}


def test_messages_are_slices_or_lost(directories: dict[str, Path], tmp_path: Path) -> None:
    for name in ("ideal", "blackout"):
        events = events_of(directories[name], tmp_path)
        rows = RecordedRun(directories[name]).tables["messages"].to_pylist()
        expected = Counter(
            (row["kind"], row["sent_ns"], row["delivered_ns"] - row["sent_ns"])
            for row in rows
            if row["delivered_ns"] is not None
        )
        sent = [event for event in events if event.get("cat") == "message" and event["ph"] == "X"]
        assert expected == Counter((e["name"], nanoseconds(e["ts"]), nanoseconds(e["dur"])) for e in sent)
        lost = [event for event in events if event.get("cat") == "message" and event["ph"] == "i"]
        assert len(lost) == sum(row["delivered_ns"] is None for row in rows)
        flows = Counter(event["name"] for event in events if event["ph"] == "s")
        assert flows["report"] > 0 < flows["command"]
        assert flows["command"] == sum("command" in event["name"] for event in sent)


def test_decisions_events_and_counters(directories: dict[str, Path], tmp_path: Path) -> None:
    events = events_of(directories["blackout"], tmp_path)
    tables = RecordedRun(directories["blackout"]).tables
    decided = [(nanoseconds(e["ts"]), nanoseconds(e["dur"])) for e in events if e.get("cat") == "decision"]
    columns = (tables["decisions"].column(name).to_pylist() for name in ("decided_ns", "latency_ns"))
    assert decided == list(zip(*columns, strict=True))
    marks = [(nanoseconds(e["ts"]), e["name"]) for e in events if e.get("cat") == "event"]
    assert marks == [(row["time_ns"], row["kind"]) for row in tables["events"].to_pylist()]
    assert (5_030_000_000, "node-down") in marks
    counted = [[float(v) for v in e["args"].values()] for e in events if e["name"].startswith("backlog")]
    assert counted == tables["slots"].column("backlog_bytes").to_pylist()
    ages = [e for e in events if e["name"].startswith("age")]
    assert len(ages) == len(decided)


def test_tracks_are_entities(directories: dict[str, Path], tmp_path: Path) -> None:
    events = events_of(directories["blackout"], tmp_path)
    names = {e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert names >= {"cloud twin", "base-station", "RSU rsu-east", "edge server of rsu-west", "vehicle 0", "vehicle 15"}


def test_part_of_a_run(directories: dict[str, Path], tmp_path: Path) -> None:
    whole, part = (events_of(directories["blackout"], tmp_path, *between) for between in ((), (1.0, 2.0)))
    validate(part)
    assert {e["args"]["slot"] for e in part if e.get("cat") == "task" and e["ph"] == "X"} == set(range(10, 20))
    in_part = [e for e in whole if e["ph"] == "X" and 10 <= e["args"]["slot"] < 20]
    assert len(in_part) == sum(e["ph"] == "X" for e in part)


def test_equal_runs_give_equal_files(directories: dict[str, Path], tmp_path: Path) -> None:
    export = TraceEvents(RecordedRun(directories["blackout"]))
    done: list[int] = []
    write_perfetto(export, tmp_path / "a.json", done.append)
    assert done[-1] == export.num_stage
    for name in ("b.json.gz", "c.json.gz"):
        write_perfetto(TraceEvents(RecordedRun(directories["blackout"])), tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("b.json.gz", "c.json.gz"))
    assert first == second
    assert gzip.decompress(first) == (tmp_path / "a.json").read_bytes()
    for name in ("d.zip", "e.zip"):
        write_csv(Trace(directories["blackout"]), tmp_path / name)
    assert (tmp_path / "d.zip").read_bytes() == (tmp_path / "e.zip").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json.gz", "c.json.gz", "d.zip", "e.zip"}


def test_killed_run(directories: dict[str, Path], tmp_path: Path) -> None:
    directory = killed(directories["blackout"], tmp_path / "killed")
    events = events_of(directory, tmp_path)
    validate(events)
    assert sum(e.get("cat") == "decision" for e in events) > 60
    assert write_csv(Trace(directory), tmp_path / "killed.zip").keys() == {"vehicles", "twin", "decisions", "messages"}


def read_csv(text: bytes) -> pa.Table:
    return pyarrow.csv.read_csv(io.BytesIO(text))


def test_csv_holds_the_tables(directories: dict[str, Path], tmp_path: Path) -> None:
    trace, out = Trace(directories["blackout"]), tmp_path / "csv"
    rows = write_csv(trace, out)
    assert {path.name for path in out.iterdir()} == {"units.csv", *(f"{name}.csv" for name in rows)}
    described = list(csv.DictReader(io.StringIO((out / "units.csv").read_text("utf-8"))))
    for name, count in rows.items():
        table, found = trace.table(name), read_csv((out / f"{name}.csv").read_bytes())
        assert found.num_rows == count == table.num_rows
        assert found.column_names == [line["column"] for line in described if line["table"] == name]
        for column in table.column_names:
            values = table.column(column)
            if pa.types.is_floating(values.type) and column in found.column_names:
                got = found.column(column).cast(pa.float64()).fill_null(np.nan).to_numpy()
                wanted = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
                tolerance = 1e-6 if values.type == pa.float32() else 0.0  # the shortest text of a single
                np.testing.assert_allclose(got, wanted, rtol=tolerance)
            elif pa.types.is_integer(values.type) and values.null_count == 0 and name != "decisions":
                assert found.column(column).to_pylist() == values.to_pylist()
    units = {(line["table"], line["column"]): line["unit"] for line in described}
    assert units["tasks", "size_bytes"] == "B"
    assert units["slots", "backlog_bytes[1]"] == "B"


def test_csv_lists(directories: dict[str, Path], tmp_path: Path) -> None:
    trace = Trace(directories["blackout"])
    write_csv(trace, tmp_path / "two.zip", ["slots", "decisions"])
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        assert sorted(archive.namelist()) == ["decisions.csv", "slots.csv", "units.csv"]
        slots, decisions = (read_csv(archive.read(f"{name}.csv")) for name in ("slots", "decisions"))
    backlog = [
        list(pair) for pair in zip(*(slots.column(f"backlog_bytes[{k}]").to_pylist() for k in (0, 1)), strict=True)
    ]
    assert backlog == trace.table("slots").column("backlog_bytes").to_pylist()
    ratios = [json.loads(text) for text in decisions.column("offloading_ratio").to_pylist()]
    assert ratios == trace.table("decisions").column("offloading_ratio").to_pylist()


def test_lanes_never_overlap() -> None:
    generator = np.random.default_rng(1)
    begin = np.sort(generator.integers(0, 1000, 500))
    end, group = begin + generator.integers(1, 40, 500), generator.integers(0, 3, 500)
    lanes = deal(group, begin, end)
    for where in range(3):
        chosen = group == where
        overlap = max(int(((begin[chosen] <= at) & (end[chosen] > at)).sum()) for at in range(1040))
        assert lanes[chosen].max() + 1 == overlap  # as many as are busy at once, and no more
        for lane in range(overlap):
            here = chosen & (lanes == lane)
            assert (begin[here][1:] >= end[here][:-1]).all()


def test_command_line(directories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = twin("export", directories["ideal"], "--to", "perfetto", "--out", "a/b.json.gz", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json()["events"] == len(json.loads(gzip.decompress(Path("a/b.json.gz").read_bytes()))["traceEvents"])
    assert (
        "open with https://ui.perfetto.dev"
        in twin("export", directories["ideal"], "--to", "perfetto", "--out", "c.json").out
    )
    assert twin("export", directories["ideal"], "--to", "csv", "--out", "d", "--json").json()["rows"]["slots"] == 5
    assert "units in units.csv" in twin("export", directories["ideal"], "--to", "csv", "--out", "e.zip").out


WRONG = [
    (("--to", "xml", "--out", "x"), "--to: there is no format 'xml' (accepted: perfetto, csv)"),
    (
        ("--to", "perfetto", "--out", "x.txt"),
        "--out: 'x.txt' is no name for trace events (accepted: FILE.json, FILE.json.gz)",
    ),
    (("--to", "perfetto", "--out", "x.json", "--tables", "slots"), "--tables: goes with --to csv only"),
    (("--to", "perfetto", "--out", "x.json", "--from", "-1"), "--from: -1 s is no time of the run"),
    (("--to", "perfetto", "--out", "x.json", "--from", "nan"), "--from: nan s is no time of the run"),
    (("--to", "perfetto", "--out", "x.json", "--from", "9"), "--from, --until: no slot begins"),
    (("--to", "perfetto", "--out", "x.json", "--from", "0.3", "--until", "0.3"), "--from, --until: no slot begins"),
    (("--to", "csv", "--out", "x", "--from", "1"), "--from: goes with --to perfetto only"),
    (("--to", "csv", "--out", "x", "--tables", "slot"), "--tables: there is no table 'slot' (accepted: tasks, jobs"),
    (("--to", "csv", "--out", "file"), "--out: file is a file (accepted: a directory, or FILE.zip)"),
    (("--to", "csv", "--out", "file/x.zip"), "--out: file/x.zip cannot be written: "),
    (("--to", "perfetto", "--out", "folder.json"), "--out: folder.json is a directory (accepted: a file)"),
    (("--to", "perfetto"), "--out: is missing"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_usage(
    arguments: tuple[str, ...],
    words: str,
    directories: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder.json").mkdir()
    assert words in twin("export", directories["ideal"], *arguments).complaint()
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.json"}


def test_no_run(tmp_path: Path) -> None:
    assert "is not a run" in twin("export", tmp_path, "--to", "csv", "--out", tmp_path / "x").complaint()
    assert "is not a run" in twin("export", tmp_path, "--to", "perfetto", "--out", tmp_path / "x.json").complaint()


def test_nothing_is_left_of_a_failed_export(directories: dict[str, Path], tmp_path: Path) -> None:
    def fail(_: int) -> None:
        raise InputError("enough")

    (tmp_path / "old.json").write_text("old", "utf-8")
    with pytest.raises(InputError):
        write_perfetto(TraceEvents(RecordedRun(directories["ideal"])), tmp_path / "old.json", fail)
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["old"]
