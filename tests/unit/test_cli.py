"""The command line: what it prints where, its exit codes, and how quickly it starts."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from physical.registry import EngineName
from sim import Scenario, bench, run
from sim.bench import kernel, optimal, timing
from sim.cli import app
from sim.cli.commands import COMMANDS, PANELS
from sim.show import terminal
from tests.support.command import TWIN, environment, twin, twin_process
from tests.support.process import at_work, press_ctrl_c

pytestmark = pytest.mark.full  # starts whole commands; the quick loop has a chain of them in tests/smoke

# Scripts rely on these keys.
SUMMARY_KEYS = {
    *("qos_mean", "delay_s_mean", "energy_j_mean", "energy_local_j", "energy_edge_j", "objective_mean"),
    *("objective_predicted_mean", "deadline_miss_ratio", "backlog_bytes_mean", "tasks_generated", "tasks_completed"),
    *("tasks_late", "tasks_dropped", "tasks_in_flight", "twin_age_s_mean", "decision_ms_p50", "decision_ms_p99"),
    *("decisions_repaired", "fallbacks", "wall_s", "vehicle_slots_per_s", "digest"),
}


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_run_prints_one_json_object() -> None:
    done = twin("run", "dtecn", "--seed", 1, "--slots", 5, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1
    summary = done.json()
    assert summary.keys() >= SUMMARY_KEYS | {"trace", "status"}
    assert summary["status"] == "complete"
    assert json.loads(Path(summary["trace"], "manifest.json").read_text("utf-8"))["seed"] == 1


def test_run_prints_a_table_with_units() -> None:
    done = twin("run", "dtecn", "--slots", 5, "--set", "title=[x]")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["dtecn,", "policy", "edge-equal,", "seed", "0"]
    assert ["Energy"] in lines
    assert ["generated", "150"] in lines
    assert next(line for line in lines if line[:3] == ["delay", "of", "a"])[-1] == "s"
    assert next(line for line in lines if line[:2] == ["edge", "servers,"])[-1] == "J"
    assert lines[-1] == ["trace:", "runs/dtecn-edge-equal-seed0"]


def test_default_directories_are_numbered() -> None:
    places = [twin("run", "dtecn", "--seed", 7, "--slots", 1, "--json").json()["trace"] for _ in range(3)]
    assert places == ["runs/dtecn-edge-equal-seed7", "runs/dtecn-edge-equal-seed7-2", "runs/dtecn-edge-equal-seed7-3"]


def test_command_line_and_python_agree() -> None:
    summary = twin("run", "dtecn", "--policy", "random", "--seed", 3, "--slots", 20, "--json").json()
    result = run(Scenario.load("dtecn", ["time.num_slot=20"]), policy="random", seed=3)
    assert summary["digest"] == result.summary["digest"]


@pytest.mark.parametrize(
    ("duration", "num_slot"), [("2", 20), ("0.3", 3), ("300 ms", 3), ("0.31 s", 4), ("1e-3", 1), ("0.1 s", 1)]
)
def test_duration(duration: str, num_slot: int) -> None:
    assert twin("run", "dtecn", "--duration", duration, "--json").json()["slots"] == num_slot


USAGE = [
    (
        (),
        "COMMAND: is missing (accepted: run, replay, branch, compare, sweep, figures, bench, train, cases, models, "
        "import, export, report, scenarios, policies, kinds, keys, check; "
        "see twin --help)",
    ),
    (("fly",), "No such command 'fly'"),
    (("rnu",), "did you mean 'run'?"),
    (("run",), "SCENARIO: is missing (accepted: see twin run --help)"),
    (("check",), "FILE: is missing"),
    (("run", "dtecn", "--polcy", "x"), "run: No such option: --polcy"),
    (("run", "dtecn", "--seed"), "Option '--seed' requires an argument"),
    (("run", "dtecn", "--seed", "x"), "--seed: 'x' is wrong (accepted: an integer)"),
    (("run", "dtecn", "--seed", "-1"), "--seed: '-1' is wrong (accepted: greater than or equal to 0)"),
    (("run", "dtecn", "--slots", "0"), "--slots: '0' is wrong"),
    (("run", "dtecn", "--slots", "1.5"), "--slots: '1.5' is wrong"),
    (("run", "dtecn", "--slots", "99999999999"), "--slots: time.num_slot: 99999999999 is out of range"),
    (("run", "dtecn", "--slots", "2", "--duration", "2"), "--slots, --duration: are given both"),
    (("run", "dtecn", "--duration", "soon"), "--duration: 'soon' is not a duration (accepted: a number in s"),
    (("run", "dtecn", "--duration", "3 kg"), "--duration: '3 kg' is not a duration"),
    (("run", "dtecn", "--duration", "-1"), "--duration: '-1' is out of range (accepted: > 0)"),
    (("run", "dtecn", "--duration", "nan"), "--duration: 'nan' is not a duration"),
    (("run", "dtecn", "extra"), "unexpected extra argument"),
    (("run", "dtecn", "--policy", "edge-eqaul"), "--policy: there is no policy 'edge-eqaul'; did you mean edge-equal?"),
    (("run", "dtecn", "--policy", "random:x=1"), "--policy: random: there is no option 'x' (accepted: no options)"),
    (
        ("bench", "kernal"),
        "there is no bench 'kernal'; did you mean kernel? "
        "(accepted: kernel, optimal, layers, traces, batch, llm, heldout, study, jobs, training)",
    ),
    (("policies", "--jsn"), "--jsn"),
]


@pytest.mark.parametrize(("arguments", "words"), USAGE)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in twin(*arguments).complaint()


def test_lists() -> None:
    lines = twin("scenarios").out.splitlines()
    assert any(line.startswith("dtecn ") and "Table I" in line for line in lines)
    listed = [entry["name"] for entry in twin("scenarios", "--json").json()["scenarios"]]
    assert listed == ["blackout", "corridor", "dtecn", "dtecn-congested", "llm6g", "rush-hour"]
    lines = twin("policies").out.splitlines()
    assert any(line.startswith("edge-equal ") and "equal shares" in line for line in lines)
    listed = twin("policies", "--json").json()["policies"]
    assert {"name": "random", "extra": "", "installed": True}.items() <= listed[2].items()


WITH_COMMANDS = {
    "cases": ("build", "show"),
    "models": ("list", "verify", "train"),
    "import": ("fcd", "csv", "requests", "link"),
}
CALLS = [(), *((name,) for name in COMMANDS), *((name, one) for name, some in WITH_COMMANDS.items() for one in some)]


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("width", [80, 140])
def test_a_help_text_fits(command: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has examples; no line is cut or too long, and no type of Python or name in another case is shown."""
    monkeypatch.setenv("COLUMNS", str(width))
    done = twin(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Examples:\n    twin {' '.join(command)}".rstrip() in done.out
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= min(width, 120)
    assert [line for line in lines if line.endswith("...") and not line.startswith("Usage: ")] == []
    assert not re.search(r"<\w+|\{", done.out)


def test_help_names_every_command_in_its_panel() -> None:
    """The panels stand in their order, and in each its commands with what they do, which fits into 80 columns."""
    found = re.findall(r"^(\S.*):$|^  ([a-z]+) +(\S.*)$", twin("--help").out.partition("Options:")[2], re.MULTILINE)
    assert [panel for panel, _, _ in found if panel] == list(PANELS)
    listed = [(name, about) for _, name, about in found if name]
    assert listed == [(name, entry.about) for name, entry in COMMANDS.items()]
    assert all(len(about) <= 60 for _, about in listed)


def test_every_command_is_listed_and_is_there() -> None:
    """A module that is imported registers the commands that the table says it has, and no others."""
    for name, entry in COMMANDS.items():
        module, _, attribute = entry.target.partition(":")
        assert hasattr(importlib.import_module(module), attribute)
        assert twin(name, "--help").out.startswith(f"Usage: twin {name} ")
    registered = [one.name for one in app.registered_commands] + [one.name for one in app.registered_groups]
    assert sorted(map(str, registered)) == sorted(COMMANDS)


def complete(words: str) -> list[str]:
    """Return what bash is told to go on with; the last word is the one that is completed."""
    variables = {"_TWIN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = twin_process(**variables)
    assert (done.code, done.err) == (0, "")
    return done.out.split()


@pytest.mark.full
def test_a_shell_completes_commands_and_options() -> None:
    assert complete("twin re") == ["replay", "report"]
    assert complete("twin import f") == ["fcd"]
    assert complete("twin run --sl") == ["--slots"]
    assert set(complete("twin ")) == set(COMMANDS)


@pytest.mark.full
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_for_a_shell(shell: str, tmp_path: Path) -> None:
    done = twin_process(
        "--install-completion", shell, HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert (done.code, done.err) == (0, "")
    installed = [path for path in tmp_path.rglob("*") if path.is_file() and "_TWIN_COMPLETE" in path.read_text("utf-8")]
    assert len(installed) == 1
    assert str(installed[0]) in done.out.replace("\n", "")


def test_version() -> None:
    assert twin("--version").out.startswith("twin 0.")


def test_check_of_a_scenario() -> None:
    assert twin("check", "dtecn").out == (
        "dtecn: is a valid scenario: 10 vehicles, 3 task classes, 1000 slots of 0.1 s\n"
        "dtecn: warning: radio.noise_w: -110.0 dBm on 20 MHz is 9.0 dB below thermal noise (kTB), -101.0 dBm\n"
        "dtecn: keeps eq. 7: every task has a CPU of its own\n"
        "dtecn: keeps eq. 9: every upload has the whole rate of its vehicle\n"
    )
    assert len(twin("check", "corridor").out.splitlines()) == 1


def test_interrupt() -> None:
    with at_work("sim.runs.check:check", press_ctrl_c):
        assert twin("check", "dtecn").code == 130


@pytest.mark.full
def test_closed_pipe() -> None:
    command = [*TWIN, "run", "dtecn", "--slots", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.full
def test_process_gives_exit_code() -> None:
    done = twin_process("run", "dtecn", "--slots", "1", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json()["slots"] == 1


def test_progress_bar_counts_slots() -> None:
    with terminal.progress(10, shown=False) as progress:
        progress(5)
    with terminal.spinner("working", shown=False):
        pass


@pytest.mark.full
def test_bench_of_little(capsys: pytest.CaptureFixture[str]) -> None:
    slots: dict[EngineName, dict[int, int]] = {"columns": {10: 4, 100: 2}, "events": {10: 2, 100: 1}}
    report = kernel.measure(kernel.KernelEffort(slots, 0.01, 1, 1000, lambda: [2**20, 0]))
    measured = json.loads(json.dumps(report.values))
    assert [(one["family"], one["engine"], one["num_vehicle"]) for one in measured["runs"]] == [
        (family, engine, count)
        for family, engine in (
            ("table1", "columns"),
            ("stress", "columns"),
            ("rush-hour", "columns"),
            ("table1", "events"),
        )
        for count in (10, 100)
    ]
    assert [one["goal"] for one in measured["runs"]] == [0.035, 0.12, None, None, None, None, 0.006, 0.006]
    assert all(one["ratio_min"] <= one["ratio"] <= one["ratio_max"] for one in measured["runs"])
    assert all(one["ratio"] > 0 < one["setup_s"] for one in measured["runs"])
    terminal.report(report)
    shown = capsys.readouterr().out
    assert "vehicle-slots/s" in shown
    assert "slot 200: +1.0 MiB, from slot 1000: +0.0 MiB" in shown
    assert [spec.name for spec in bench.select(())] == [
        "kernel",
        "optimal",
        "layers",
        "traces",
        "batch",
        "llm",
        "heldout",
        "training",
    ]


def test_bench_of_the_optimum() -> None:
    """Whatever the time they take: no solver is below `p2-exact`, and Clarabel allocates as well to 1e-7."""
    small, large = optimal.measure({4: 3, 50: 2}).values["sizes"]
    assert set(small["others"]) == {"slsqp", "clarabel", "clarabel alone"}
    assert set(large["others"]) == {"clarabel", "clarabel alone"}
    for entry in (small, large):
        assert 0 <= entry["gap_max"] <= 1e-6
        assert all(other["above_min"] >= -1e-9 for other in entry["others"].values())
        assert entry["others"]["clarabel"]["above_max"] <= 1e-7


def test_bench_scenarios_keep_the_load_per_vehicle() -> None:
    table1 = kernel.scenario("table1", 100, 5)
    assert table1.server.frequency_hz / table1.num_vehicle == Scenario.load("dtecn").server.frequency_hz / 10
    stress = kernel.scenario("stress", 10, 200)
    offered = sum(0.5 * sum(task.units) * (task.cycles_per_byte or 0.0) for task in stress.tasks)
    assert offered / stress.time.slot_duration_s > 12e9


def test_peak_memory_grows() -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=20", "trace.part_seconds=0.001"])
    assert timing.peak_bytes() > 10 * 2**20
    assert all(growth >= 0 for growth in timing.peak_growth_bytes(scenario, "local-only", 1, (5, 10)))
