"""Who runs the jobs of a study, and what takes part: classes and objects, workers, executors, commands side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from physical.system import System
from policies.baselines import EdgeEqual
from sim import Scenario, compare, sweep
from sim.studies.entrants import AnyPolicy
from tests.support.command import environment
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


def small() -> Scenario:
    return Scenario.load("dtecn", ["time.num_slot=5", "vehicles.num_vehicle=3"])


class Doubled:
    """Decides as edge-equal, and says so."""

    def __init__(self, part: float = 1.0) -> None:
        self.part = part

    def reset(self, system: System, seed: int) -> None:
        self.inner = EdgeEqual()
        self.inner.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)


@pytest.mark.full
def test_classes_objects_and_names_take_part(tmp_path: Path) -> None:
    """Called as the mapping says; what decides alike has alike penalties; an object with another state runs anew."""
    both: dict[str, AnyPolicy] = {"class": Doubled, "object": Doubled(0.5), "name": "edge-equal"}
    found = compare(small(), both, [0, 1], tmp_path, num_worker=2)
    assert {round(row["penalty_mean"].mean, 12) for row in found.means.values()} == {
        round(found.means["name"]["penalty_mean"].mean, 12)
    }
    assert compare(small(), both, [0, 1], tmp_path).num_reused == 6
    both["object"] = Doubled(0.6)
    changed = compare(small(), both, [0, 1], tmp_path)
    assert changed.num_reused == 4
    assert "object" in str(changed)
    with pytest.raises(InputError, match="'Doubled' is given twice"):
        compare(small(), [Doubled, Doubled], [0])
    with pytest.raises(InputError, match="is not a policy: it needs reset"):
        compare(small(), [dict], [0])
    held = Doubled()
    held.inner = threading.Lock()  # type: ignore[assignment]  # what a user's object may hold
    with pytest.raises(InputError, match="cannot travel"):
        compare(small(), [held], [0])


def test_an_object_may_hold_a_module(tmp_path: Path) -> None:
    """What deepcopy refuses: each run gets a copy all the same, and the object stays as it was."""
    held = Doubled()
    held.json = json  # type: ignore[attr-defined]  # what a user's object may hold
    found = compare(small(), {"held": held, "plain": "edge-equal"}, [0, 1], tmp_path)
    assert found.means["held"]["penalty_mean"].mean == found.means["plain"]["penalty_mean"].mean
    assert not hasattr(held, "inner")
    assert compare(small(), {"held": held}, [0, 1], tmp_path).num_reused == 2


def test_any_executor_runs_the_jobs(tmp_path: Path) -> None:
    alone = compare(small(), ["edge-equal", Doubled], range(3))
    with ThreadPoolExecutor(2) as executor:
        shared = compare(small(), ["edge-equal", Doubled], range(3), tmp_path, executor=executor)
        assert executor.submit(int, "7").result() == 7  # it is still open
    assert shared.to_dict() == alone.to_dict()
    assert compare(small(), ["edge-equal", Doubled], range(3), tmp_path).num_reused == 6


class Dies:
    """Takes its process along, the first times."""

    def __init__(self, folder: str, times: int) -> None:
        self.folder = folder
        self.times = times

    def reset(self, system: System, seed: int) -> None:
        marks = Path(self.folder)
        if len(list(marks.iterdir())) < self.times:
            (marks / str(os.getpid())).touch()
            os._exit(9)
        self.inner = Doubled()
        self.inner.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)


@pytest.mark.full
def test_a_worker_that_dies_costs_a_repetition(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    mixed: dict[str, AnyPolicy] = {"dies": Dies(str(tmp_path / "marks"), 1), "lives": Doubled}
    found = compare(small(), mixed, range(3), tmp_path / "c", num_worker=2)
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert found.means["dies"]["penalty_mean"].mean == found.means["lives"]["penalty_mean"].mean
    (tmp_path / "more").mkdir()
    compare(small(), {"lives": Doubled}, [5], tmp_path / "d")
    mixed["dies"] = Dies(str(tmp_path / "more"), 99)
    words = r"dies with seed 5: --workers: its worker died 3 times .*; 1 of 2 runs failed; the others are kept"
    with pytest.raises(InputError, match=words):
        compare(small(), mixed, [5], tmp_path / "d", num_worker=2)
    assert len(list((tmp_path / "more").iterdir())) == 3


@pytest.mark.full
def test_two_commands_write_one_store(tmp_path: Path) -> None:
    """At the same time, with jobs in common: what they print is what they print one after the other."""
    arguments = ["compare", "dtecn", "--slots", "40", "--warmup", "0", "--json", "--out"]
    rivals = (("local-only,edge-equal", "0..5"), ("edge-equal,random", "2..9"))

    def start(folder: Path, policies: str, seeds: str) -> subprocess.Popen[str]:
        words = [*arguments, str(folder), "--policies", policies, "--seeds", seeds, "--workers", "2"]
        command = [sys.executable, "-m", "sim.cli", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def told(process: subprocess.Popen[str]) -> dict[str, object]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found: dict[str, object] = json.loads(out)
        return {key: value for key, value in found.items() if key not in ("directory", "runs_reused")}

    together = [start(tmp_path / "together", *rival) for rival in rivals]
    at_once = [told(process) for process in together]
    in_turn = [told(start(tmp_path / "turn", *rival)) for rival in rivals]
    assert at_once == in_turn
    files = {folder: {one.name for one in (tmp_path / folder / "runs").iterdir()} for folder in ("together", "turn")}
    assert files["together"] == files["turn"]
    assert len(files["turn"]) == 2 * 6 + 2 * 8 - 4  # edge-equal with seeds 2 to 5 is in both


def test_a_sweep_takes_any_policy_and_is_reused(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"vehicles.num_vehicle": [2, 3], "server.frequency_hz": ["40 GHz"]}
    points = sweep(small(), ["edge-equal", Doubled], grid, [0], tmp_path)
    assert [point.values["vehicles.num_vehicle"] for point in points] == ["2", "3"]
    again = sweep(small(), ["edge-equal", Doubled], grid, [0], tmp_path)
    assert [point.comparison.num_reused for point in again] == [2, 2]
    assert [point.comparison.to_dict() for point in again] == [point.comparison.to_dict() for point in points]


class Told(Doubled):
    """Its value is one of the class, which a script may set anew; `NUMBER` is one of its module."""

    scale = 1.0

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decision = super().decide(snapshot)
        return Decision(decision.offloading_ratio * self.scale * NUMBER, decision.compute_allocation_hz)


NUMBER = 1.0


@pytest.mark.full
@pytest.mark.parametrize("num_worker", [1, 2])
def test_values_of_classes_and_modules_count(num_worker: int, tmp_path: Path) -> None:
    """As they are by now, in this process and in workers; and a comparison leaves the class as it is."""
    method, space = Told.decide, Told.decide.__globals__

    def once() -> tuple[float, int]:
        found = compare(small(), [Told], [0], tmp_path, num_worker=num_worker)
        return found.means["Told"]["penalty_mean"].mean, found.num_reused

    first = once()
    assert once() == (first[0], 1)
    try:
        Told.scale = 0.5
        second = once()
        Told.scale = 1.0
        space["NUMBER"] = 0.5
        third = once()
    finally:
        Told.scale = space["NUMBER"] = 1.0
    assert second == third == (second[0], 0)
    assert second[0] != first[0]
    assert Told.decide is method
    assert Told.decide.__globals__ is space is globals()
