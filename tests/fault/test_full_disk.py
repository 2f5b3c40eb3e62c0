"""Disks that are full, or refuse: one line, and what was written before stays whole."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.support.command import TWIN, Done, environment, twin
from tests.support.process import at_work
from traces.reader import Trace

LIMIT_BYTES = 20_000


def limited(*words: object, most_bytes: int = LIMIT_BYTES) -> Done:
    """Run the command line where no file may be larger: writing fails in the middle, as on a full disk."""
    done = subprocess.run(
        [*TWIN, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    assert twin("run", "dtecn", "--slots", "40", "--out", out).code == 0
    return out


def test_a_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    # The first files of a part are small enough, that of the tasks is not.
    done = limited("run", "dtecn", "--slots", "4000", "--set", "trace.part_rows=900", "--out", out, most_bytes=60_000)
    assert done.complaint() == f"twin: {out}: cannot be written: File too large"
    trace = Trace(out)
    assert trace.manifest["status"] == "running"
    assert trace.table("decisions").num_rows > 0
    assert not list(tmp_path.rglob("*.tmp"))
    assert "but readable" in twin("check", out).out
    assert "is identical" in twin("replay", out).out


@pytest.mark.full
@pytest.mark.parametrize(
    "words",
    [
        "replay {base} --policy random --out {out}",
        "branch {base} --at 0.2 --policy random --out {out}",
        "compare dtecn --policies random --seeds 0,1 --slots 20 --warmup 0 --out {out}",
        "sweep dtecn --policies random --seeds 0 --slots 20 --grid vehicles.num_vehicle=2 --warmup 0 --out {out}",
        "cases build dtecn --count 40 --out {out}.parquet",
        "report {base} --out {out}.html",
        "export {base} --to csv --out {out}",
        "export {base} --to csv --out {out}.zip",
        "export {base} --to perfetto --out {out}.json",
    ],
)
def test_other_commands(tmp_path: Path, base: Path, words: str) -> None:
    done = limited(*words.format(base=base, out=tmp_path / "out").split(), most_bytes=2_000)
    line = done.complaint()
    assert "cannot be written: File too large" in line
    assert str(tmp_path / "out") in line
    assert not list(tmp_path.rglob("*.tmp"))


def test_whatever_else_writes(tmp_path: Path) -> None:
    """A place that nobody has thought of ends in a line, too; so does a memory that is full."""

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there.txt")

    def lacking() -> None:
        raise MemoryError

    with at_work("sim.show.terminal:listing", full):
        assert twin("scenarios").complaint() == "twin: there.txt: cannot be used: No space left on device"
    with at_work("sim.show.terminal:listing", lacking):
        assert twin("scenarios").complaint().startswith("twin: memory: there is not enough for this")


def test_names_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is an address."""
    monkeypatch.chdir(tmp_path)
    assert twin("run", "dtecn", "--slots", "2", "--out", "a:b").code == 0
    assert "all digests are right" in twin("check", "a:b").out
    assert twin("cases", "build", "dtecn", "--count", "2", "--out", "a:b.parquet").code == 0
    assert "is a valid case set" in twin("check", "a:b.parquet").out
    Path("q:r.csv").write_text("t_s,uplink_rate_bps\n0,1e6\n", "utf-8")
    assert twin("import", "link", "q:r.csv", "--out", "s3:c.parquet").code == 0
    assert "is a valid import" in twin("check", "s3:c.parquet").out
    words = ("compare", "dtecn", "--policies", "local-only", "--seeds", "0", "--slots", "2", "--out", "file:d")
    assert twin(*words).code == twin(*words).code == 0
    assert "1 of 1 runs reused" in twin(*words).out
