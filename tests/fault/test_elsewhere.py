"""Figures and case sets by somebody else's hands: the same bytes as without, and the same errors in a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from policies.cases.case import CaseSet
from policies.cases.file import read_cases
from sim import Scenario, compare
from sim.learn.build_cases import build
from sim.show import figures
from sim.show.figures import llm6g
from sim.show.figures.measure import measure
from sim.show.figures.plan import PENALTY, PaperPlan, Series
from sim.studies.failures import RunsFailedError
from sim.studies.travel import pickled, unpickled
from tests.support.command import twin
from tests.support.process import at_work, with_value

SCENARIO = Scenario.load("dtecn", ["time.num_slot=30", "vehicles.num_vehicle=3"])
OWN = """
from pathlib import Path
from policies.baselines import EdgeEqual
from twin.decision import Decision

class Own(EdgeEqual):
    def __init__(self, part: str) -> None:
        self.part = float(Path(part).read_text())

    def decide(self, snapshot):
        decision = super().decide(snapshot)
        return Decision(decision.offloading_ratio * self.part, decision.compute_allocation_hz)
"""


def _posted(value: Any) -> Any:
    """Return what comes of a value on another machine."""
    return unpickled(pickled(value, "what is sent").data)


class Posted:
    """An executor that sends calls and what they give as bytes, as one on another machine does."""

    def __init__(self) -> None:
        self.num = 0

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self.num += 1
        future: Future[Any] = Future()
        future.set_result(_posted(call(*_posted(arguments))))
        return future


def built(out: Path, policy: str = "greedy-cost", **more: Any) -> CaseSet:
    return build(SCENARIO, policy, 3, 4, 5, out, name="small", **more)


def assert_same(one: CaseSet, other: CaseSet) -> None:
    assert len(one) == len(other)
    for case, found in zip(one, other, strict=True):
        assert (case.origin, case.snapshot.slot) == (found.origin, found.snapshot.slot)
        np.testing.assert_array_equal(case.decision.offloading_ratio, found.decision.offloading_ratio)
        np.testing.assert_array_equal([case.objective, case.realised], [found.objective, found.realised])


# ------------------------------------------------------------------------------------------------------------ case sets


def test_a_case_set_is_the_same_from_anywhere(tmp_path: Path) -> None:
    """The file byte for byte, and what the function returns; a file that is there is replaced."""
    here = built(tmp_path / "here.parquet")
    posted, done = Posted(), list[int]()
    with ThreadPoolExecutor(1) as executor:
        for name, who in (("threads", executor), ("posted", posted)):
            out = tmp_path / "deep" / f"{name}.parquet"
            out.parent.mkdir(exist_ok=True)
            out.write_text("old", "utf-8")
            assert_same(built(out, executor=who, progress=done.append), here)
            assert out.read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert posted.num == 1
    assert done == [30, 30]
    assert_same(read_cases(tmp_path / "here.parquet", SCENARIO.system()), here)
    built(tmp_path / "local.parquet", executor="local")
    assert (tmp_path / "local.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_origins_name_the_policy_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a path relative to where the command runs, with a file of weights."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, "utf-8")
    Path("part.txt").write_text("0.5", "utf-8")
    policy = "./own.py:Own,part=part.txt"
    built(Path("a.parquet"), policy)
    cases = built(Path("b.parquet"), policy, executor=Posted())
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()
    assert cases[0].origin == f"{policy} small seed=3 slot=0"


NEVER = Scenario.load("dtecn", ["time.num_slot=30", "twin.decision.latency=0.02", "twin.decision.deadline_s=0.01"])


@pytest.mark.parametrize(
    ("scenario", "policy", "num_case"),
    [
        (NEVER, "random", 2),
        (SCENARIO, "random", 99),
        (SCENARIO, "rendom", 2),
        (Scenario.load("llm6g", ["time.num_slot=30"]), "p2-exact", 2),
    ],
)
def test_errors_are_the_same_from_anywhere(scenario: Scenario, policy: str, num_case: int, tmp_path: Path) -> None:
    """And nothing is written, not even a folder; nobody is told of other runs."""
    told: list[str] = []
    found: list[str] = []
    for executor in (None, Posted()):
        with pytest.raises(InputError) as error:
            build(
                scenario, policy, 0, num_case, 3, tmp_path / "deep" / "c.parquet", executor=executor, tell=told.append
            )
        assert not isinstance(error.value, RunsFailedError)
        found.append(str(error.value))
    assert found[0] == found[1]
    assert told == []
    assert not list(tmp_path.iterdir())


def test_a_fault_of_ours_is_no_bad_input(tmp_path: Path) -> None:
    with (
        at_work("sim.learn.build_cases:simulate", lambda: 1 // 0),
        pytest.raises(RuntimeError, match="internal error: ZeroDivisionError") as found,
    ):
        built(tmp_path / "c.parquet", executor=Posted())
    assert "ZeroDivisionError" in str(found.value.__cause__)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--executor dusk", "--executor: 'dusk' is not known; did you mean dask? (accepted: local, dask; in Python"),
        ("--scheduler tcp://x:1", "--scheduler: goes with --executor dask only"),
        ("--executor local --scheduler tcp://x:1", "--scheduler: goes with --executor dask only"),
    ],
)
@pytest.mark.parametrize("command", ["cases build dtecn --count 1 --out x.parquet", "figures llm6g --quick --out x"])
def test_wrong_options_are_one_line(
    command: str, words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything runs."""
    monkeypatch.chdir(tmp_path)
    with at_work("sim.show.figures.measure:runnable", lambda: pytest.fail("it ran")):
        assert said in twin(*command.split(), *words.split()).complaint()
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    """A path is a scheduler's file; a cluster in place of its address is told before anything runs."""
    for scheduler, told in ((tmp_path / "x.json", "x.json cannot be read"), (object(), "object is no address")):
        given: Any = scheduler
        with pytest.raises(InputError, match=f"--scheduler: .*{told}"):
            compare(SCENARIO, ["edge-equal"], (0,), executor="dask", scheduler=given)


def test_the_command_line_builds_by_an_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("cases", "build", "dtecn", "--policy", "random", "--count", 2, "--out")
    assert twin(*words, "a.parquet").code == 0
    done = twin(*words, "b.parquet", "--executor", "local")
    assert done.out == "b.parquet: 2 cases of 10 vehicles, 3 task classes, 2 with a realised objective\n"
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()


def test_dask_builds_a_case_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of a cluster, with a policy of the user's own that names a file; a fault there is a line here."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, "utf-8")
    Path("part.txt").write_text("0.5", "utf-8")
    words = ("cases", "build", "dtecn", "--policy", "own.py:Own,part=part.txt", "--count", 2, "--out")
    assert twin(*words, "a.parquet").code == 0
    done = twin(*words, "b.parquet", "--executor", "dask")
    assert done.code == 0, done
    assert "dashboard" in done.err
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()


# -------------------------------------------------------------------------------------------------------------- figures


def tiny(_plan: PaperPlan | None = None) -> PaperPlan:
    """Two cheap methods beside the optimum, two points."""
    plan = llm6g.plan(quick=True)
    worlds = [dataclasses.replace(world, settings=(*world.settings, "time.num_slot=2")) for world in plan.worlds]
    kept = [dataclasses.replace(world, points=world.points[:2]) for world in worlds]
    methods = [method for method in plan.methods if method.policy in ("layers-exact", "rlor", "rrlo")]
    return dataclasses.replace(plan, worlds=tuple(kept), methods=tuple(methods))


def test_figures_are_measured_by_any_executor(tmp_path: Path) -> None:
    """With few results in memory, too: all numbers are the same."""
    plan = tiny()
    here = measure(plan, ("corrected", "paper"), (0, 1), tmp_path / "here")
    told: list[str] = []
    with ThreadPoolExecutor(2) as executor, with_value("sim.studies.results:IN_MEMORY", 3):
        there = measure(plan, ("corrected", "paper"), (0, 1), tmp_path / "there", executor=executor, tell=told.append)
    assert there.penalties() == here.penalties()
    for mode in ("corrected", "paper"):
        for method in plan.methods:
            for metric in (PENALTY, llm6g.COMPLETION, plan.objective):
                series = Series(method.policy, plan.worlds[0].name)
                np.testing.assert_array_equal(
                    there.values(mode, series, metric), here.values(mode, series, metric), strict=True
                )
        worlds = [world.name for world in plan.worlds]
        assert there.gap_max(mode, worlds) == here.gap_max(mode, worlds)
        assert there.gap_model(mode) == here.gap_model(mode)
        assert there.unstable(mode) == here.unstable(mode)
    assert there.total("rlor", "decisions") == here.total("rlor", "decisions") > 0
    assert told == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", (2, None, None)),
        ("--workers 5", (5, None, None)),
        ("--executor local", (2, "local", None)),
        ("--executor dask", (None, "dask", None)),
        ("--executor dask --workers 3", (3, "dask", None)),
        ("--executor dask --scheduler tcp://a:1", (None, "dask", "tcp://a:1")),
    ],
)
def test_who_measures_is_passed_on(
    words: str, expected: tuple[int | None, str | None, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster has its own workers: the two processes of the command are for this machine only."""
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {}

    def produce(*_: Any, **more: Any) -> figures.Produced:
        given.update(more)
        raise InputError("that is enough")

    with with_value("sim.show.figures.measure:runnable", tiny), with_value("sim.show.figures:produce", produce):
        assert "that is enough" in twin("figures", "llm6g", "--quick", "--out", "x", *words.split()).complaint()
    assert (given["num_worker"], given["executor"], given["scheduler"]) == expected
