"""Standard output that is closed, full, or cannot spell a sign; words that are no text; signs that steer a terminal."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from sim.cli import main
from tests.support.command import TWIN, Done, environment, twin
from traces.reader import Trace

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
ESCAPE = "\x1b[31m"


def twin_into(stream: io.TextIOWrapper, *arguments: object) -> tuple[int, str]:
    """Call the command line in this process with another standard output; return exit code and errors."""
    errors = io.StringIO()
    with redirect_stdout(stream), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0), errors.getvalue()


def shell(words: str, folder: Path) -> Done:
    """Run the command line in a shell, which can close its streams."""
    command = ["sh", "-c", f'exec "$@" {words}', "sh", *TWIN]
    return run_in(folder, command)


def run_in(folder: Path, command: list[str]) -> Done:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=folder, timeout=120
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "run"
    assert twin("run", "dtecn", "--slots", "5", "--out", out).code == 0
    return out


COMMANDS = (
    "--help",
    "run --help",
    "--version",
    "scenarios",
    "scenarios --json",
    "policies",
    "policies dtecn",
    "check dtecn",
    "run dtecn --slots 2 --out {out}",
    "run dtecn --slots 2 --out {out} --json",
    "compare dtecn --policies local-only,edge-equal --seeds 0,1 --slots 2 --out {out}",
    "sweep dtecn --policies local-only --seeds 0,1 --slots 2 --grid vehicles.num_vehicle=2,3 --out {out}",
    "replay {base}",
    "replay {base} --policy random --out {out}",
    "branch {base} --at 0.2 --policy random",
    "export {base} --to csv --out {out}",
    "export {base} --to perfetto --out {out}.json",
    "report {base} --out {out}.html",
    "cases build dtecn --count 1 --out {out}.parquet",
    "models list",
)


@needs_full
@pytest.mark.parametrize("words", COMMANDS)
def test_full_output(tmp_path: Path, base: Path, words: str) -> None:
    """One line that says where the results are, and a code that says that something is wrong."""
    out = tmp_path / "out"
    with FULL.open("w") as stream:
        code, errors = twin_into(stream, *words.format(out=out, base=base).split())
    assert code == 2, errors
    assert errors.count("\n") == 1
    assert errors.startswith("twin: standard output: cannot be written: No space left on device")
    if "{out}" in words:
        assert f"; the results are in {out}" in errors
    if words.startswith("run dtecn"):
        trace = Trace(out)
        assert trace.manifest["status"] == "complete"
        assert trace.mismatches() == []


@pytest.mark.parametrize("words", ["scenarios", "scenarios --json", "run dtecn --slots 2 --out run", "--version"])
def test_closed_output(tmp_path: Path, words: str) -> None:
    done = shell(f"{words} >&-", tmp_path)
    assert done.code == 2, done
    assert done.err.count("\n") == 1
    assert done.err.startswith("twin: standard output: cannot be written: Bad file descriptor")


@pytest.mark.full
def test_streams_that_are_closed_in_other_ways(tmp_path: Path) -> None:
    """What is printed never gets into a file that took the number of a closed stream; errors nobody sees stay codes."""
    done = shell("run dtecn --slots 2 --out run <&- >&- 2>&-", tmp_path)
    assert (done.code, done.out, done.err) == (2, "", "")
    assert Trace(tmp_path / "run").mismatches() == []
    assert shell("scenarios 2>&-", tmp_path).code == 0
    assert shell("check absent.toml 2>&-", tmp_path).code == 2
    if FULL.exists():
        assert shell("check absent.toml 2>/dev/full", tmp_path).code == 2
    assert shell("run dtecn --slots 2 --out piped | true", tmp_path).err == ""


@pytest.mark.parametrize("words", COMMANDS)
def test_output_in_ascii(tmp_path: Path, base: Path, words: str) -> None:
    bytes_ = io.BytesIO()
    stream = io.TextIOWrapper(bytes_, encoding="ascii")
    code, errors = twin_into(stream, *words.format(out=tmp_path / "out", base=base).split())
    stream.flush()
    assert (code, errors) == (0, "")
    text = bytes_.getvalue().decode("ascii")
    assert text.strip()
    if words.startswith("compare"):
        assert " +- " in text
        assert "-----" in text


def test_names_that_ascii_lacks(tmp_path: Path) -> None:
    """A name of the user's own is spelled by its number; JSON is the same in any encoding."""
    bytes_ = io.BytesIO()
    stream = io.TextIOWrapper(bytes_, encoding="ascii")
    assert twin_into(stream, "run", "dtecn", "--slots", "2", "--out", tmp_path / "été") == (0, "")
    stream.flush()
    assert bytes_.getvalue().endswith(b"\\xe9t\\xe9\n")
    assert Trace(tmp_path / "été").mismatches() == []


@pytest.mark.parametrize(
    "words",
    [
        ("run", "dtecn", "--slots", "2", "--out", "bad\udcff"),
        ("check", "bad\udcff"),
        ("run", "dtecn", "--set", "title=bad\udcff"),
        ("compare", "dtecn", "--policies", "bad\udcff", "--seeds", "0"),
        ("bad\udcff",),
    ],
)
def test_words_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    line = twin(*words).complaint()
    assert line.startswith("twin: command line: '")
    assert "bad\\udcff' is not text (accepted: utf-8)" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    done = shell("run dtecn --slots 2 --out \"$(printf 'bad\\377')\"", tmp_path)
    assert done.complaint() == "twin: command line: 'bad\\udcff' is not text (accepted: utf-8)"


def test_signs_that_steer_a_terminal(tmp_path: Path) -> None:
    """Texts of files reach neither standard output nor errors with them, and no line is endless."""
    scenario = tmp_path / "my.toml"
    scenario.write_text('"\\u001b[31m" = 1\n', "utf-8")
    assert ESCAPE not in twin("check", scenario).complaint()
    long = twin("run", "dtecn", "--set", f"vehicles.cpu_hz={'b' * 100_000}").complaint()
    assert len(long) < 1_100
    assert long.startswith("twin: --set: vehicles.cpu_hz: ")
    file = tmp_path / f"{ESCAPE}.csv"
    file.write_text("t_s,uplink_rate_bps\n0,1e6\n", "utf-8")
    done = twin("import", "link", file, "--out", tmp_path / "link.parquet")
    assert done.code == 0
    shown = twin("check", tmp_path / "link.parquet")
    assert shown.code == 0
    assert "[31m.csv" in shown.out
    assert "\x1b" not in done.out + done.err + shown.out + shown.err
