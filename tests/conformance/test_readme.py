"""The examples of the README work as they stand."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from sim import Scenario, run
from sim.cli.commands import COMMANDS
from tests.data import data_file
from tests.fault.command import twin

README = Path(__file__).parents[2] / "README.md"


def block(language: str, containing: str) -> str:
    """Return the fenced block of a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def test_your_own_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.py"
    path.write_text(block("python", "class BestChannels"), "utf-8")
    runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out
    assert "Differences from BestChannels" in shown
    assert shown.count("edge-equal") == 3
    done = twin(
        "run", "dtecn", "--slots", "3", "--policy", f"{path}:BestChannels,part=0.8", "--json", "--out", tmp_path / "r"
    )
    assert json.loads(done.out)["tasks_generated"] == 90


def test_a_sweep_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.py"
    path.write_text(block("python", "points = sweep("), "utf-8")
    runpy.run_path(str(path))
    shown = capsys.readouterr().out
    assert [line.split()[:2] for line in shown.splitlines() if "edge-equal" in line] == [
        ["5", "edge-equal"],
        ["10", "edge-equal"],
    ]


def test_your_own_scenario(tmp_path: Path) -> None:
    """It runs, loses some messages, and its twin is late and wrong, as the text says."""
    path = tmp_path / "congested.toml"
    path.write_text(block("toml", "Six vehicles"), "utf-8")
    summary = run(Scenario.load(path, ["time.num_slot=50"]), policy="greedy-latency", seed=1).summary
    assert summary["tasks_generated"] == 6 * 50
    assert summary["fallbacks"] == 0
    assert summary["messages_lost"] > 0


def test_your_own_learner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "learner.py"
    path.write_text(block("python", "parallel_env"), "utf-8")
    runpy.run_path(str(path))
    assert capsys.readouterr().out == "(100,) 10\n"


def test_real_traffic(tmp_path: Path) -> None:
    """The scenario of at most 40 lines: more than 900 vehicles of a real town, on a base station and four RSUs."""
    text = block("toml", "A minute of a town")
    assert len(text.splitlines()) <= 40
    path = tmp_path / "town.toml"
    name = "bologna_joined_1s.fcd.parquet"
    path.write_text(text.replace(name, str(data_file(name))), "utf-8")
    result = run(Scenario.load(path, ["time.num_slot=4"]), policy="greedy-cost", seed=1)
    assert result.table("vehicles").num_rows > 4 * 900
    assert len(set(result.table("vehicles")["serving_node"].to_pylist())) == 5


def test_commands_exist() -> None:
    """Every command that the README shows is one of the program."""
    shown = set(re.findall(r"^\$ twin (\w+)", README.read_text("utf-8"), flags=re.MULTILINE))
    assert shown
    assert shown <= COMMANDS.keys()
