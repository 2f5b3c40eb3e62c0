"""The examples of the README work as they stand."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from sim import Scenario, run
from sim.cli import app

README = Path(__file__).parents[2] / "README.md"


def block(language: str, containing: str) -> str:
    """Return the fenced block of a language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def test_your_own_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.py"
    path.write_text(block("python", "class BestChannels"), "utf-8")
    runpy.run_path(str(path))
    lines = capsys.readouterr().out.split("\n")
    assert [line.split()[-1] for line in lines if line] == ["6000", "6000"]


def test_your_own_scenario(tmp_path: Path) -> None:
    """It runs, loses some messages, and its twin is late and wrong, as the text says."""
    path = tmp_path / "congested.toml"
    path.write_text(block("toml", "Six vehicles"), "utf-8")
    summary = run(Scenario.load(path, ["time.num_slot=50"]), policy="greedy-latency", seed=1).summary
    assert summary["tasks_generated"] == 6 * 50
    assert summary["fallbacks"] == 0
    assert summary["messages_lost"] > 0


def test_commands_exist() -> None:
    """Every command that the README shows is one of the program."""
    shown = set(re.findall(r"^\$ twin (\w+)", README.read_text("utf-8"), flags=re.MULTILINE))
    assert shown
    assert shown <= {command.name for command in app.registered_commands}
