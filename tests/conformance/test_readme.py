"""README: one page whose blocks run, whose commands exist and whose links lead somewhere; CITATION.cff agrees."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from docs.figures.system import svg
from sim import Scenario, compare
from sim.cli.commands import COMMANDS
from tests.support.command import twin

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LINES_MAX = 180


def block(language: str, containing: str) -> str:
    """Return the fenced block of a language that contains a text."""
    blocks = re.findall(rf"```{language}[^\n]*\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def test_is_one_page() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= LINES_MAX


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


def test_a_policy_in_20_lines() -> None:
    (_, _, policy) = block("python", "class BestChannels").partition("@dataclass")
    policy, _, _ = policy.partition("if __name__")
    assert len(policy.strip().splitlines()) <= 20


def test_your_own_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the text: import, then run; the vehicles of the run are those of the file."""
    monkeypatch.chdir(tmp_path)
    Path("drive.csv").write_text(block("csv", "time,car"), "utf-8")
    Path("drive.toml").write_text(block("toml", "drive.parquet"), "utf-8")
    commands = [line.split()[2:] for line in block("console", "twin import csv").splitlines()]
    assert [command[0] for command in commands] == ["import", "run"]
    for command in commands:
        assert twin(*command, *(["--out", "run"] if command[0] == "run" else [])).code == 0
    assert json.loads(Path("run/manifest.json").read_text("utf-8"))["summary"]["tasks_generated"] == 2 * 21


def bare(text: str) -> str:
    """Return a cell or a line without what only its lay-out needs."""
    return re.sub(r"[\s,`]", "", text)


@pytest.mark.slow
def test_the_first_table_is_what_is_measured() -> None:
    """Every number of the table is in the row of its policy, as the command of README prints it; 80 CPU seconds."""
    rows = [line.strip("|").split("|") for line in README.read_text("utf-8").splitlines() if line.startswith("| `")]
    table = {bare(row[0]): [bare(cell) for cell in row[1:]] for row in rows if len(row) == 7}
    assert len(table) == 6
    printed = str(compare(Scenario.load("rush-hour", ["time.num_slot=400"]), [*table], range(10), baseline="p2-exact"))
    for policy, numbers in table.items():
        lines = "".join(bare(line) for line in printed.splitlines() if line.startswith(f"{policy} "))
        assert [number for number in numbers if number not in lines] == []


def test_commands_exist() -> None:
    """Every command that the README shows is one of the program."""
    shown = set(re.findall(r"^\$ twin (\w+)", README.read_text("utf-8"), flags=re.MULTILINE))
    assert shown
    assert shown <= COMMANDS.keys()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert links
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_the_picture_is_the_one_that_the_command_draws() -> None:
    picture = (ROOT / "docs/figures/system.svg").read_text("utf-8")
    assert picture == svg(), "draw it with: python -m docs.figures"
    assert ET.fromstring(picture).tag.endswith("svg")


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    told = dict(re.findall(r"^([a-z-]+): (\S.*)$", citation, flags=re.MULTILINE))
    assert told["cff-version"] == "1.2.0"
    assert told["title"] == project["name"]
    assert told["version"] == project["version"]
    assert told["license"] == project["license"]
    arxiv = re.compile(r"arXiv:(\d{4}\.\d{5})")
    assert set(arxiv.findall(README.read_text("utf-8"))) == set(arxiv.findall(citation))
