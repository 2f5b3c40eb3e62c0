"""A policy of one's own in a comparison: from a script, from a notebook, from the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.command import environment, twin

POLICY = """
class Mine:
    def reset(self, system, seed):
        self.inner = make("greedy-cost")
        self.inner.reset(system, seed)
    def decide(self, snapshot):
        return self.inner.decide(snapshot)
"""
IMPORTS = "from policies import make\nfrom sim import Scenario, compare\n"
COMPARE = """
short = Scenario.load("rush-hour", ["time.num_slot=20"])
found = compare(short, [Mine, "greedy-cost", "edge-equal"], range(3), {out!r}, num_worker=2)
"""
SCRIPT = f"{IMPORTS}{POLICY.lstrip()}{COMPARE.lstrip()}print(found)\n"


def penalties(text: str) -> dict[str, str]:
    """Return what the first table says about each policy."""
    rows = re.findall(r"^(Mine|greedy-cost|edge-equal) +(\S+ ± \S+)", text, re.MULTILINE)
    assert len(rows) >= 3
    return dict(reversed(rows))


def check(text: str) -> None:
    """Mine decides as greedy-cost, and the other one does not."""
    found = penalties(text)
    assert found["Mine"] == found["greedy-cost"] != found["edge-equal"]


@pytest.mark.full
def test_a_script_without_a_guard(tmp_path: Path) -> None:
    """Twice: the second time nothing is run; after an edit only what is the script's own is."""
    script = tmp_path / "study.py"
    out = tmp_path / "out"

    def once(text: str) -> tuple[str, set[str]]:
        script.write_text(text, "utf-8")
        before = {file.name for file in (out / "runs").glob("*")}
        done = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        )
        return done.stdout, {file.name for file in (out / "runs").iterdir()} - before

    text = SCRIPT.format(out=str(out))
    assert len(text.splitlines()) == 10 + 1  # the scenario is a short one, so that the test is quick
    first, made = once(text)
    check(first)
    assert len(made) == 9
    note = "9 of 9 runs reused: nothing that they depend on has changed (fresh=True runs them again)\n"
    assert once(text) == (first + note, set())
    edited = text.replace('make("greedy-cost")', 'make("edge-equal")')
    second, made = once(edited)
    assert len(made) == 3
    assert penalties(second)["Mine"] == penalties(second)["edge-equal"]


def shown_by(cells: list[str], folder: Path) -> str:
    """Run a notebook in a kernel of its own; return what its last cell shows."""
    made: Any = nbformat.v4
    notebook = made.new_notebook(cells=[made.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    (shown,) = notebook.cells[-1].outputs
    text: str = shown["data"]["text/plain"]
    return text


@pytest.mark.full
def test_a_notebook(tmp_path: Path) -> None:
    """A second kernel, in whose cell the class decides otherwise, does not get the first one's results."""
    cells = [IMPORTS, POLICY, COMPARE.format(out=str(tmp_path / "out")), "found"]
    check(shown_by(cells, tmp_path))
    found = penalties(shown_by([cells[0], POLICY.replace("greedy-cost", "edge-equal"), *cells[2:]], tmp_path))
    assert found["Mine"] == found["edge-equal"] != found["greedy-cost"]


@pytest.mark.full
def test_by_path_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IMPORTS.splitlines()[0] + POLICY, "utf-8")
    policies = f"{tmp_path / 'mine.py'}:Mine,greedy-cost,edge-equal"
    out = tmp_path / "out"
    words = ("compare", "rush-hour", "--slots", "20", "--seeds", "0..2", "--policies", policies, "--out", out, "--json")
    found = json.loads(twin(*words).out)
    mean = {Path(name).name: row["penalty_mean"]["mean"] for name, row in found["mean"].items()}
    assert mean["mine.py:Mine"] == mean["greedy-cost"] != mean["edge-equal"]
    assert json.loads(twin(*words).out)["runs_reused"] == 9
    swept = ("sweep", "rush-hour", "--slots", "5", "--seeds", "0", "--policies", policies, "--json", "--workers", "2")
    grid = ("--grid", "vehicles.num_vehicle=3,4", "--out", tmp_path / "swept")
    (first, second) = json.loads(twin(*swept, *grid).out)["points"]
    assert [len(point["mean"]) for point in (first, second)] == [3, 3]


@pytest.mark.full
def test_a_registered_class_takes_part_in_workers(tmp_path: Path) -> None:
    """Also as the fallback of a scenario: workers know what this process has registered."""
    script = tmp_path / "study.py"
    script.write_text(
        f"{IMPORTS}import policies{POLICY}policies.register('mine', Mine, 'as greedy-cost')\n"
        "scenario = Scenario.load('rush-hour', ['time.num_slot=20', 'policy.fallback=mine'])\n"
        "print(compare(scenario, ['mine', 'greedy-cost', 'edge-equal'], range(2), num_worker=2))\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    check(done.stdout.replace("mine ", "Mine "))
