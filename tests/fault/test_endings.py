"""SIGTERM and SIGHUP end a command as Ctrl-C does; workers end with their parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim.runs import stopping
from tests.support.command import HEARING_TWIN, LONG, TWIN, Done, environment, twin, wait_until
from tests.support.process import at_work
from traces.reader import Trace

pytestmark = pytest.mark.full

ENDINGS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
STUCK = """
    import re
    from policies.baselines import EdgeEqual


    class Stuck(EdgeEqual):
        def decide(self, snapshot):
            with open("marks", "a") as marks:
                marks.write("x")
            re.match("(a+)+$", "a" * 60 + "b")  # years of C that let no other thread run
"""


@pytest.fixture(autouse=True)
def _no_signal_is_ignored() -> Iterator[None]:
    """Children inherit what is ignored, and what is stays so: under nohup, all of these tests would hear no SIGHUP."""
    before = {sign: signal.signal(sign, signal.SIG_DFL) for sign in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


def ended(command: list[str], folder: Path, ready: Callable[[], bool], sign: signal.Signals, *, times: int = 1) -> Done:
    """Start a command, wait until it is ready, and send it a signal."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=folder
    )
    with process:
        try:
            wait_until(lambda: ready() or process.poll() is not None)
            workers = children(process.pid)
            for _ in range(times):
                process.send_signal(sign)
                time.sleep(0.05)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    wait_until(lambda: not any(map(is_alive, workers)))
    return Done(process.returncode, stdout, stderr)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(("sign", "code"), ENDINGS)
def test_a_run_ends_after_its_slot(tmp_path: Path, sign: signal.Signals, code: int) -> None:
    out = tmp_path / "run"
    ready = (out / "tasks" / "part-00001.parquet").exists
    done = ended([*HEARING_TWIN, *LONG, "--out", "run"], tmp_path, ready, sign)
    assert done.code == code, done
    assert done.err.startswith("twin: interrupted after ")
    assert done.err.count("\n") == 1
    assert done.json()["status"] == "interrupted"
    trace = Trace(out)
    assert trace.manifest["status"] == "interrupted"
    assert trace.mismatches() == []
    assert trace.table("slots").num_rows == done.json()["slots"]
    assert "is identical" in twin("replay", out).out


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("replay", "base", "--policy", "p2-exact", "--out", "out"), "out/manifest.json"),
        (("branch", "base", "--at", "0.5", "--policy", "p2-exact", "--out", "out"), "out/manifest.json"),
    ],
)
def test_runs_made_again_end_after_their_slot(tmp_path: Path, words: tuple[str, ...], place: str) -> None:
    assert twin("run", "dtecn", "--slots", "1000", "--out", tmp_path / "base").code == 0
    done = ended([*TWIN, *words], tmp_path, (tmp_path / place).exists, signal.SIGTERM)
    assert done.code == 143, done
    assert done.err.startswith("twin: interrupted after ")
    trace = Trace(tmp_path / "out")
    assert trace.manifest["status"] == "interrupted"
    assert trace.mismatches() == []


SEEDS = ("--seeds", "0..999", "--policies", "random", "--out", "out")


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "dtecn", *SEEDS),
        ("compare", "dtecn", *SEEDS, "--workers", "2"),
    ],
)
def test_studies_keep_what_is_finished(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ended([*TWIN, *words], tmp_path, lambda: any(tmp_path.glob("out/runs/*.parquet")), signal.SIGTERM)
    assert done.code == 143, done
    assert done.err == "twin: interrupted; finished runs are kept, the same command goes on: out\n"
    assert not list(tmp_path.glob("out/runs/*.tmp"))


KEPT = "interrupted; finished runs are kept, the same command goes on: {out}"


@pytest.mark.parametrize(
    ("words", "busy", "line"),
    [
        ("compare dtecn --policies random --seeds 0 --out {out}", "sim.studies.compare:compare", KEPT),
        ("sweep dtecn --policies random --seeds 0 --grid time.num_slot=2 --out {out}", "sim.studies.sweep:sweep", KEPT),
        ("figures llm6g --seeds 0 --out {out}", "sim.show.figures:produce", KEPT),
        ("cases build dtecn --count 1 --out {out}.parquet", "sim.learn.build_cases:build", "interrupted"),
        ("import fcd a.xml --out {out}.parquet", "traces.exogenous:import_file", "interrupted"),
        ("report {out} --out {out}.html", "sim.show.report.write:write_report", "interrupted"),
        ("check {out}", "sim.runs.check:check", "interrupted"),
        (
            "train apg dtecn --out {out}.safetensors",
            "sim.learn.train:train",
            "interrupted; the same command with --resume goes on: {out}.safetensors",
        ),
        (
            "models train --out {out}.gguf",
            "policies.llm.bundled.training.train:train",
            "stopped; the checkpoint is beside {out}.gguf, go on with --resume",
        ),
    ],
)
@pytest.mark.parametrize(("sign", "code"), ENDINGS[:2])
def test_every_command_ends_as_with_ctrl_c(
    tmp_path: Path, words: str, busy: str, line: str, sign: signal.Signals, code: int
) -> None:
    def hear() -> None:
        signal.raise_signal(sign)
        raise AssertionError("the signal was not heard")

    out = str(tmp_path / "out")
    with at_work(busy, hear):
        done = twin(*words.format(out=out).split())
    assert (done.code, done.out, done.err) == (code, "", f"twin: {line.format(out=out)}\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(sign) is signal.SIG_DFL


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Although the present slot, of a policy that never decides, would last for years."""
    policy = STUCK.replace('re.match("(a+)+$", "a" * 60 + "b")', "__import__('time').sleep(0.3); self.decide(snapshot)")
    (tmp_path / "policy.py").write_text(textwrap.dedent(policy), "utf-8")
    command = [*TWIN, "run", "dtecn", "--policy", "./policy.py:Stuck", "--out", "run"]
    done = ended(command, tmp_path, (tmp_path / "marks").exists, signal.SIGTERM, times=2)
    assert done.code == -signal.SIGTERM, done
    assert "Traceback" not in done.err


def script(folder: Path, text: str, ready: Callable[[], bool], sign: signal.Signals = signal.SIGTERM) -> Done:
    begin = "from sim import Scenario, run, compare\nimport signal\nlong = Scenario.load('dtecn', ["
    begin += "'time.num_slot=1000000', 'trace.part_seconds=0.05'])\n"
    return ended([sys.executable, "-c", begin + textwrap.dedent(text)], folder, ready, sign)


def test_a_script_without_a_handler_ends_with_a_whole_trace(tmp_path: Path) -> None:
    ready = (tmp_path / "run" / "tasks" / "part-00001.parquet").exists
    done = script(tmp_path, "run(long, out='run')\nprint('goes on')", ready)
    assert (done.code, done.out, done.err) == (-signal.SIGTERM, "", "")
    trace = Trace(tmp_path / "run")
    assert trace.manifest["status"] == "interrupted"
    assert trace.mismatches() == []


def test_a_script_keeps_its_handlers(tmp_path: Path) -> None:
    text = """
        import sys
        def mine(*_):
            print("mine", flush=True)
            sys.exit(7)
        signal.signal(signal.SIGTERM, mine)
        try:
            run(long, out="run")
        finally:
            print(signal.getsignal(signal.SIGTERM) is mine)
    """
    done = script(tmp_path, text, (tmp_path / "run" / "tasks" / "part-00001.parquet").exists)
    assert (done.code, done.out) == (7, "mine\nTrue\n")
    assert Trace(tmp_path / "run").manifest["status"] == "running"


def test_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    """A command under nohup outlives its terminal."""
    words = '"run", "dtecn", "--slots", "200", "--out", "run", "--json"'
    command = [
        sys.executable,
        "-c",
        f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from sim.cli import main; main([{words}])",
    ]
    done = ended(command, tmp_path, (tmp_path / "run" / "manifest.json").exists, signal.SIGHUP)
    assert (done.code, done.json()["status"]) == (0, "complete")


def test_handlers_are_as_before() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with stopping.as_interrupts():
        inside = [signal.getsignal(number) for number in numbers[1:]]
        assert inside[0] is inside[1] is not signal.SIG_DFL
        with stopping.after_slot(lambda: None, keeps=True), stopping.at_once(has_workers=True):
            pass  # of a run's own handlers, a study changes none
        assert [signal.getsignal(number) for number in numbers[1:]] == inside
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.skipif(sys.platform != "linux", reason="the list of processes is Linux's")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Also in the middle of a call in C that lets no other thread of theirs run."""
    (tmp_path / "policy.py").write_text(textwrap.dedent(STUCK), "utf-8")
    words = ("compare", "dtecn", "--policies", "./policy.py:Stuck", "--seeds", "0..3", "--workers", "2")
    with subprocess.Popen(
        [*TWIN, *words], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        marks = tmp_path / "marks"
        wait_until(lambda: process.poll() is not None or (marks.exists() and len(marks.read_text("utf-8")) == 2))
        workers = children(process.pid)
        assert len(workers) >= 2
        process.kill()
        killed_s = time.monotonic()
        wait_until(lambda: not any(map(is_alive, workers)))
        assert time.monotonic() - killed_s < 5  # a fraction of a second on a machine that is not busy
        assert process.communicate(timeout=60) == ("", "")


def test_a_handler_that_ends_a_script_is_heard_inside_a_policy(tmp_path: Path) -> None:
    """What it raises there is no mistake of the policy."""
    text = """
        import sys
        from policies.baselines import EdgeEqual
        class Stopped(EdgeEqual):
            def decide(self, snapshot):
                signal.raise_signal(signal.SIGTERM)
                return super().decide(snapshot)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        run(long, policy=Stopped())
    """
    done = script(tmp_path, text, lambda: False)
    assert (done.code, done.out, done.err) == (7, "", "")


@pytest.mark.parametrize(("sign", "code"), ENDINGS)
@pytest.mark.parametrize("method", ["parse_args", "format_commands", "resolve_command"])
def test_a_signal_while_the_command_line_is_read_has_its_code_and_its_line(
    sign: signal.Signals, code: int, method: str
) -> None:
    before = {one: signal.getsignal(one) for one, _ in ENDINGS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with at_work(f"sim.cli.app:LazyCommands.{method}", lambda: signal.raise_signal(sign)):
            done = twin("--help" if method == "format_commands" else "keys")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert (done.code, done.out, done.err) == (code, "", "twin: interrupted\n")
