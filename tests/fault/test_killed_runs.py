"""A run that is killed keeps all but its last part, and what it has kept replays."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from physical.ticks import to_ns
from sim import Scenario, run
from sim.runs.replay import RecordedRun, verify
from tests.support.command import HEARING_TWIN, environment, twin, wait_until
from tests.support.process import renames
from traces.diff import first_difference
from traces.reader import Trace
from traces.schema import TABLES
from traces.writer import TraceWriter

pytestmark = pytest.mark.full

SLOW = (
    "network.access.jitter_s=0.03",
    "network.backhaul.loss=0.1",
    'twin.decision.latency={kind="exponential", mean_s=0.08}',
)
KINDS: list[tuple[str, tuple[str, ...]]] = [
    ("dtecn", ()),
    ("dtecn-congested", SLOW),
    ("blackout", SLOW),
    ("llm6g", ()),
]


def loaded(name: str, settings: tuple[str, ...], num_slot: int) -> Scenario:
    return Scenario.load(name, [*settings, f"time.num_slot={num_slot}", "trace.messages=true"])


def check_what_is_left(out: Path) -> int:
    """Check a killed run through the command line; return how many of its slots are on disk."""
    assert Trace(out).manifest["status"] == "running"
    done = twin("check", out)
    assert (done.code, done.err) == (0, "")
    assert f"{out}: is incomplete (the run was killed, or still runs), but readable" in done.out
    done = twin("replay", out)
    assert (done.code, done.err) == (0, ""), done
    assert f"{out}: what the killed run recorded is identical" in done.out
    return RecordedRun(out).num_slot


def check_only_the_last_part_is_lost(out: Path, whole: dict[str, pa.Table], slot_ns: int) -> None:
    """Compare with the run that was not killed: up to the last part, or the one before, everything is there."""
    ends_ns = [0]
    last = max(path.name for name in ("decisions", "vehicles") for path in (out / name).glob("part-*.parquet"))
    for path in sorted((out / "vehicles").glob("part-*.parquet")):
        ends_ns.append(slot_ns * (1 + int(pc.max(pq.read_table(path)["slot"]).as_py())))
    if not (out / "vehicles" / last).exists():  # killed before the vehicles of the last part
        in_force_ns = int(pc.max(when("decisions", Trace(out).table("decisions"), slot_ns)).as_py())
        ends_ns.append(slot_ns * (1 + in_force_ns // slot_ns))
    for name in ("vehicles", "decisions", "messages", "tasks"):
        recorded, is_whole = Trace(out).table(name), (out / name / last).exists()
        assert any(
            is_same(name, before(name, recorded, end_ns, slot_ns), before(name, whole[name], end_ns, slot_ns))
            and not begins(name, recorded, end_ns, slot_ns)
            for end_ns in (ends_ns[-1:] if is_whole else ends_ns[-2:])
        ), name


def is_same(name: str, recorded: pa.Table, expected: pa.Table) -> bool:
    empty = {other: table.schema().empty_table() for other, table in TABLES.items()}
    return first_difference(empty | {name: recorded}, empty | {name: expected}) is None


def when(name: str, rows: pa.Table, slot_ns: int) -> pa.ChunkedArray:
    """Return from when on a row can be known."""
    if name == "tasks":
        return pc.fill_null(rows["done_ns"], 2**62)
    if name == "decisions":
        return pc.add(rows["decided_ns"], rows["latency_ns"])
    return rows["sent_ns"] if name == "messages" else pc.multiply(pc.cast(rows["slot"], pa.int64()), slot_ns)


def before(name: str, rows: pa.Table, end_ns: int, slot_ns: int) -> pa.Table:
    """Return what must have been written at a slot start; of that very moment, tasks may be."""
    return rows.filter(pc.less(when(name, rows, slot_ns), end_ns))


def begins(name: str, rows: pa.Table, end_ns: int, slot_ns: int) -> bool:
    """Return whether anything is of a later time."""
    at = when(name, rows, slot_ns)
    return bool(pc.any(pc.greater(at, end_ns) if name == "tasks" else pc.greater_equal(at, end_ns)).as_py())


@pytest.mark.parametrize(
    ("name", "settings", "slots_per_part"), [*((*kind, 1) for kind in KINDS), *((*kind, 4) for kind in KINDS[1:2])]
)
def test_every_cut_between_two_files_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: tuple[str, ...], slots_per_part: int
) -> None:
    """Kills fall between files as well as parts: each file that is closed may be the last one."""
    num_slot = (5 if name == "llm6g" else 12) * (1 if slots_per_part == 1 else 3)
    scenario = loaded(name, (*settings, f"trace.part_seconds={slots_per_part - 0.5}"), num_slot)
    files: list[Path] = []

    def watch(source: Path, target: Path) -> None:
        if target.suffix == ".parquet":
            files.append(target.relative_to(tmp_path / "run"))

    # The writer looks at the clock once a slot: a second is a slot.
    slots = functools.partialmethod(TraceWriter.__init__, now_s=itertools.count().__next__)
    with monkeypatch.context() as patch, renames(watch):
        patch.setattr(TraceWriter, "__init__", slots)
        whole = run(scenario, policy="random", seed=1, out=tmp_path / "run")
    manifest = Trace(tmp_path / "run").manifest
    tables = {table: whole.table(table) for table in TABLES}
    assert len(files) > 25
    some = np.random.default_rng(7).choice(np.arange(1, len(files) + 1), 3, replace=False).tolist()
    middle = len(files) // 2  # from here on, a whole part and more: each table is once the last one
    for num_file in sorted({1, *some, *range(middle, middle + len(TABLES) + 1)}):
        out = tmp_path / "killed"
        for path in files[:num_file]:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "run" / path, out / path)
        killed = {key: manifest[key] for key in ("schema_version", "scenario", "policy", "seed", "versions")}
        (out / "manifest.json").write_text(json.dumps(killed | {"status": "running"}), "utf-8")
        found = verify(out)
        assert found.difference is None, (files[num_file - 1], str(found.difference))
        if num_file < len(files) - 8:  # the very last part also holds what is in flight at the end
            check_only_the_last_part_is_lost(out, tables, to_ns(scenario.time.slot_duration_s))
        shutil.rmtree(out)


def kill(out: Path, arguments: list[str], after_s: float) -> None:
    """Start a run, and kill it some time after its first file is there."""
    with subprocess.Popen(
        [*HEARING_TWIN, *arguments, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        try:
            wait_until(lambda: any(out.glob("vehicles/part-*")) or process.poll() is not None)
            time.sleep(after_s)
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL, process.communicate()


@pytest.mark.full
@pytest.mark.parametrize("number", range(8))
def test_run_killed_at_a_random_moment(tmp_path: Path, number: int) -> None:
    name, settings = KINDS[number % len(KINDS)]
    generator = np.random.default_rng(number)
    settings = (*settings, "trace.part_seconds=0.02", "trace.messages=true", "time.num_slot=10000")
    arguments = ["run", name, "--policy", "random", "--seed", str(number)]
    for setting in settings:
        arguments += ["--set", setting]
    out = tmp_path / "run"
    kill(out, arguments, float(generator.uniform(0.0, 0.25)))
    num_slot = check_what_is_left(out)
    scenario = Scenario.load(name, settings)
    whole = run(scenario, policy="random", seed=number, num_slot=num_slot + 5)
    slot_ns = to_ns(scenario.time.slot_duration_s)
    check_only_the_last_part_is_lost(out, {table: whole.table(table) for table in TABLES}, slot_ns)


def test_run_killed_before_its_first_part(tmp_path: Path) -> None:
    run(loaded("dtecn", (), 3), policy="random", out=tmp_path / "run")
    manifest = Trace(tmp_path / "run").manifest
    for name in TABLES:
        shutil.rmtree(tmp_path / "run" / name, ignore_errors=True)
    killed = {key: manifest[key] for key in ("schema_version", "scenario", "policy", "seed")} | {"status": "running"}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(killed), "utf-8")
    assert "is incomplete" in twin("check", tmp_path / "run").out
    assert twin("replay", tmp_path / "run").complaint() == f"twin: {tmp_path / 'run'}: holds no slot yet"
