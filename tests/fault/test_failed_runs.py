"""Runs that fail by their own fault: the others go on, each fault is told once, and what is finished is kept."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from physical.system import System
from policies.baselines import EdgeEqual
from sim import Scenario, compare, sweep
from sim.inputs.streams import Streams
from sim.runs import run as runs
from sim.scenario.kinds import register
from sim.studies.entrants import AnyPolicy
from sim.studies.failures import RunsFailedError
from tests.support.command import twin
from tests.support.process import as_before, at_work, with_value
from twin.decision import Decision
from twin.estimators import Estimates, Estimator, EstimatorKind, Heard, Knowledge
from twin.snapshot import TwinSnapshot

SMALL = Scenario.load("dtecn", ["time.num_slot=3", "vehicles.num_vehicle=2"])
BY = ("in-process", "workers", "threads")
SEEDS = {Streams(seed).policy_seed(): seed for seed in range(6)}
"""What a policy is given -> seed of the run."""


@contextlib.contextmanager
def by(name: str) -> Iterator[dict[str, Any]]:
    """Say who runs."""
    if name != "threads":
        yield {"num_worker": 2 if name == "workers" else 1}
        return
    with ThreadPoolExecutor(2) as executor:
        yield {"executor": executor}


class Healthy:
    """Decides as edge-equal, and leaves marks where the environment says: what it holds would count as a file."""

    def reset(self, system: System, seed: int) -> None:
        if marks := os.environ.get("MARKS"):
            with (Path(marks) / f"{type(self).__name__}-{SEEDS[seed]}").open("a") as file:
                file.write("x")
        self.inner = EdgeEqual()
        self.inner.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)


class Refuses(Healthy):
    """Refuses its scenario with odd seeds, for two reasons."""

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        if (of := SEEDS[seed]) % 2:
            raise InputError("cannot do this" if of < 2 else "cannot do that", accepted="even seeds")


class Raises(Healthy):
    """Has a fault of its own."""

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        if SEEDS[seed] == 1:
            raise ZeroDivisionError("by zero")


class Leaves(Healthy):
    """Ends the process, or so it believes."""

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        if SEEDS[seed] == 1:
            raise SystemExit(7)


def tried(marks: Path) -> dict[str, int]:
    return {file.name: len(file.read_text()) for file in marks.iterdir()}


@pytest.mark.parametrize("name", BY)
def test_a_policy_that_refuses_some_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once per policy and problem; one error with a count; what is finished is not run again."""
    marks, out, told, ends = tmp_path / "marks", tmp_path / "out", list[str](), list[tuple[int, int]]()
    marks.mkdir()
    monkeypatch.setenv("MARKS", str(marks))
    both: dict[str, AnyPolicy] = {"refuses": Refuses, "healthy": Healthy}
    with by(name) as who, pytest.raises(RunsFailedError) as found:
        compare(SMALL, both, range(4), out, **who, tell=told.append, progress=lambda *done: ends.append(done))
    assert ends == [(done, 8) for done in range(9)]
    assert len(told) == 2
    for line, (seeds, problem) in zip(sorted(told), (("1", "this"), ("3", "that")), strict=True):
        expected = rf"a run failed, the others go on: refuses with seed {seeds}: .*cannot do {problem} .*even seeds\)"
        assert re.fullmatch(expected, line)
    assert str(found.value).endswith("; 2 of 8 runs failed; the others are kept")
    assert all(f"cannot do {what}" in str(found.value) for what in ("this", "that"))
    assert {(job.entrant.name, job.seed) for job in found.value.failures} == {("refuses", seed) for seed in (1, 3)}
    assert not (out / "compare.json").exists()
    once = {f"{policy}-{seed}": 1 for policy in ("Refuses", "Healthy") for seed in range(4)}
    assert tried(marks) == once
    with pytest.raises(RunsFailedError, match="2 of 8 runs failed"):
        compare(SMALL, both, range(4), out)
    assert tried(marks) == once | {"Refuses-1": 2, "Refuses-3": 2}
    whole = compare(SMALL, both, (0, 2), out)
    assert whole.num_reused == 4
    assert whole.to_dict() == compare(SMALL, both, (0, 2)).to_dict()


@pytest.mark.parametrize("name", BY)
def test_any_fault_of_a_policy_costs_its_run_only(name: str, tmp_path: Path) -> None:
    both: dict[str, AnyPolicy] = {"raises": Raises, "leaves": Leaves}
    told = list[str]()
    with by(name) as who, pytest.raises(RunsFailedError, match="2 of 4 runs failed") as found:
        compare(SMALL, both, (0, 1), tmp_path, **who, tell=told.append)
    assert {(job.entrant.name, job.seed) for job in found.value.failures} == {("raises", 1), ("leaves", 1)}
    assert len(told) == 2
    assert compare(SMALL, both, (0,), tmp_path).num_reused == 2


@pytest.mark.parametrize("name", ["in-process", "threads"])
def test_a_fault_of_ours_is_no_bad_input(name: str, tmp_path: Path) -> None:
    """It says where in the code it was; the others are through and kept."""

    def faulty(scenario: Scenario, *, seed: int, **more: Any) -> Any:
        if seed == 1:
            raise AttributeError("no such thing\nin two lines")
        return runs.run(scenario, seed=seed, **more)

    told = list[str]()
    with with_value("sim.studies.jobs:run", faulty), by(name) as who, pytest.raises(RuntimeError) as found:
        compare(SMALL, ["random", "edge-equal"], range(3), tmp_path, **who, tell=told.append)
    assert not isinstance(found.value, InputError)
    assert "internal error: AttributeError: no such thing in two lines" in str(found.value)
    assert str(found.value).endswith("2 of 6 runs failed; the others are kept")
    assert "in faulty" in str(found.value.__cause__)
    assert len(told) == 2
    assert compare(SMALL, ["random", "edge-equal"], range(3), tmp_path).num_reused == 4


def test_a_fault_of_ours_ends_the_command(tmp_path: Path) -> None:
    words = ("dtecn", "--policies", "random", "--slots", 3, "--seeds", "0..2", "--warmup", 0, "--out", tmp_path)
    with at_work("sim.studies.jobs:run", lambda: 1 // 0):
        done = twin("compare", *words)
    assert (done.code, done.out) == (70, "")
    lines = done.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("twin: a run failed, the others go on: random with seed 0: internal error: ZeroDiv")
    assert "3 of 3 runs failed" in lines[1]
    assert "Traceback" not in done.err


class Tiring(EstimatorKind):
    """Believes what it hears, for some time."""

    lasts: int = 99

    def estimator(self, known: Knowledge) -> Estimator:
        return Tired(self.lasts)


class Tired:
    def __init__(self, lasts: int) -> None:
        self.left = lasts

    def estimate(self, heard: Heard) -> Estimates:
        self.left -= 1
        if self.left < 0:
            raise KeyError("tired")
        states = heard.states
        return Estimates(states.size_bytes, states.x_m, states.y_m, states.channel_gain)


@pytest.mark.parametrize("name", ["workers"])
def test_a_kind_that_raises_costs_its_points_only(name: str, tmp_path: Path) -> None:
    """Told once for each policy, though it fails with every seed."""
    told, grid = list[str](), {"twin.estimator.lasts": [1, 99]}
    with as_before():
        register("estimator", "tiring", Tiring)
        scenario = Scenario.load(
            "dtecn", ["time.num_slot=3", "vehicles.num_vehicle=2", "twin.estimator={kind='tiring'}"]
        )
        with by(name) as who, pytest.raises(RunsFailedError, match=r"tired.*; 2 of 4 runs failed; the others are kept"):
            sweep(scenario, ["edge-equal"], grid, (0, 1), tmp_path, **who, tell=told.append)
        (point,) = sweep(scenario, ["edge-equal"], {"twin.estimator.lasts": [99]}, (0, 1), tmp_path)
    assert point.comparison.num_reused == 2
    assert len(told) == 1
    assert "edge-equal with seed" in told[0]
    assert "at twin.estimator.lasts=1: " in told[0]


POINT = "vehicles.num_vehicle"


def test_a_sweep_names_the_point(tmp_path: Path) -> None:
    with pytest.raises(RunsFailedError, match=rf"refuses with seed 1 at {POINT}=[23]: .*; 2 of 8 runs failed; the"):
        sweep(SMALL, {"refuses": Refuses, "healthy": Healthy}, {POINT: [2, 3]}, (0, 1), tmp_path)
    whole = sweep(SMALL, {"refuses": Refuses, "healthy": Healthy}, {POINT: [2, 3]}, (0,), tmp_path)
    assert [point.comparison.num_reused for point in whole] == [2, 2]


def test_the_command_line_says_it_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from policies.baselines import EdgeEqual\n"
        "from physical.errors import InputError\n"
        "class Mine(EdgeEqual):\n"
        "    def reset(self, system, seed):\n"
        f"        if seed in {tuple(SEEDS)[2:4]}: raise InputError('not with such a seed')\n"
        "        super().reset(system, seed)\n",
        "utf-8",
    )
    policies = f"{tmp_path / 'mine.py'}:Mine,random"
    words = ("dtecn", "--policies", policies, "--slots", 3, "--warmup", 0, "--out", tmp_path / "out")
    done = twin("compare", *words, "--seeds", "0..3")
    assert (done.code, done.out) == (2, "")
    first, last = done.err.splitlines()
    assert first.startswith("twin: a run failed, the others go on: ")
    assert "not with such a seed" in first
    assert "2 of 8 runs failed; the others are kept" in last
    assert twin("compare", *words, "--seeds", "0,1", "--json").json()["runs_reused"] == 4


class Kills(Healthy):
    """Takes its worker along with all seeds but 0, always."""

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        if SEEDS[seed]:
            os._exit(9)


@pytest.mark.slow
def test_a_policy_that_kills_its_workers_costs_its_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs beside it run again; of its own a few are tried, and then no more, which is told."""
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    told = list[str]()
    with pytest.raises(RunsFailedError, match=r"Kills with seed 1: .*its worker died 3 times .*5 of 12 runs") as found:
        compare(SMALL, [Kills, Healthy], range(6), tmp_path / "out", num_worker=2, tell=told.append)
    assert {(job.entrant.name, job.seed) for job in found.value.failures} == {("Kills", seed) for seed in range(1, 6)}
    assert [line.partition("--workers: ")[2][:19] for line in told] == ["its worker died 3 t", "was not run: its wo"]
    assert "Kills-5" not in tried(tmp_path / "marks")
    monkeypatch.delenv("MARKS")
    assert compare(SMALL, [Healthy], range(6), tmp_path / "out").num_reused == 6
    assert compare(SMALL, [Kills], (0,), tmp_path / "out").num_reused == 1
