"""Runs that end before their time, and places where a trace cannot go."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.command import HEARING_TWIN, LONG, Done, environment, twin, twin_process, wait_until
from tests.support.process import at_work, press_ctrl_c
from traces.reader import Trace


def stop(out: Path, sign: signal.Signals) -> Done:
    """Start a long run, wait for its first parts, and send it a signal."""
    command = [*HEARING_TWIN, *LONG, "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            wait_until(lambda: (out / "tasks" / "part-00001.parquet").exists() or process.poll() is not None)
            process.send_signal(sign)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    return Done(process.returncode, stdout, stderr)


@pytest.mark.full
def test_killed_run_stays_readable(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert stop(out, signal.SIGKILL).code == -signal.SIGKILL
    trace = Trace(out)
    assert trace.manifest["status"] == "running"
    num_task = trace.table("tasks").num_rows
    assert num_task > 0
    done = twin("check", out)
    assert done.code == 0
    assert f"{out}: is incomplete (the run was killed, or still runs), but readable: {num_task} tasks" in done.out


@pytest.mark.full
def test_interrupted_run_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = stop(out, signal.SIGINT)
    assert done.code == 130, done
    assert f"trace: {out}" in done.err
    assert "Traceback" not in done.err
    summary = done.json()
    assert summary["status"] == "interrupted"
    trace = Trace(out)
    assert trace.manifest["status"] == "interrupted"
    assert trace.mismatches() == []
    ended = sum(summary[f"tasks_{end}"] for end in ("completed", "late", "dropped", "in_flight"))
    assert trace.table("tasks").num_rows == ended == summary["tasks_generated"]
    assert "was interrupted, all digests are right" in twin("check", out).out


def test_a_command_that_keeps_nothing_says_that_it_was_interrupted(tmp_path: Path) -> None:
    with at_work("sim.show.report.write:write_report", press_ctrl_c):
        done = twin("report", tmp_path)
    assert (done.code, done.out, done.err) == (130, "", "twin: interrupted\n")


def test_place_that_holds_a_run(tmp_path: Path) -> None:
    arguments = ("run", "dtecn", "--slots", "2", "--json", "--out", tmp_path / "run")
    assert twin(*arguments).code == 0
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    line = twin(*arguments).complaint()
    assert line == f"twin: {tmp_path / 'run'}: holds a run already (accepted: a new or empty directory)"
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory", "utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/vectwin"), tmp_path / ("x" * 300)):
        line = twin("run", "dtecn", "--slots", "2", "--out", place).complaint()
        assert line.startswith(f"twin: {place}"[:100])
        assert "cannot be" in line
        assert len(line) < 400


def test_damaged_trace(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert twin("run", "dtecn", "--slots", "5", "--out", out).code == 0
    assert "is complete, all digests are right: 150 tasks" in twin("check", out).out
    part = out / "tasks" / "part-00000.parquet"
    content = part.read_bytes()
    part.unlink()
    done = twin("check", out)
    assert (done.code, done.err) == (1, "")
    assert done.out == f"{out}: the digest in the manifest is not that of the rows in: tasks\n"
    part.write_bytes(content[:-100])
    assert f"{part}: cannot be read" in twin("check", out).complaint()
    part.write_bytes(content)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    (out / "manifest.json").write_text(json.dumps(manifest | {"digest": "0" * 32}), "utf-8")
    done = twin("check", out)
    assert (done.code, done.out) == (1, f"{out}: the digest of the run is not that of its tables\n")
    (out / "manifest.json").write_text("{", "utf-8")
    assert "manifest.json: is not JSON" in twin("check", out).complaint()
    (out / "manifest.json").write_text('{"schema_version": 99}', "utf-8")
    assert "schema_version: 99 is another version (accepted: 2, 3)" in twin("check", out).complaint()


def test_directory_that_is_no_run(tmp_path: Path) -> None:
    assert "is not a run: it has no manifest.json" in twin("check", tmp_path).complaint()


def digest(*more: str, seed: int = 1, **variables: str) -> str:
    arguments = ("run", "dtecn", "--seed", str(seed), "--slots", "200", "--json", *more)
    done = twin_process(*arguments, **variables) if variables else twin(*arguments)
    assert done.code == 0, done.err
    return str(done.json()["digest"])


@pytest.mark.full
def test_same_seed_same_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = {digest("--policy", "random", PYTHONHASHSEED=hash_seed) for hash_seed in ("0", "12345")}
    found.add(digest("--policy", "random", "--set", "trace.part_rows=100"))
    found.add(digest("--policy", "random", "--set", "trace.part_seconds=0.001"))
    found.add(digest("--policy", "random", "--set", "trace.messages=true"))
    assert len(found) == 1
    assert digest("--policy", "random", seed=2) not in found
