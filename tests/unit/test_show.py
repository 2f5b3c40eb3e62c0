"""Summaries, benches and lists on a terminal: the penalty stands first, no number is cut however narrow it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sim.bench.report import Report
from sim.show import terminal
from tests.support.screen import as_terminal, plain

WIDTHS = (60, 80, 100, 140)
SUMMARY: dict[str, Any] = {
    "slots": 123_456,
    "objective_mean": -0.7635712,
    "drift_mean": 1234.5678,
    "stable": None,
    "gap_max": 1.0103e-14,
    "gap_model": "eqs. 7-9, no waiting, no QoS floor; another model with a long name that takes many words to describe",
    "penalty_mean": -1234.5678,
    "energy_local_j": 123_456_789.0,
    "energy_transmit_j": 1e-18,
    "decisions_guarded": 7,
    "digest": "748e59885d939e5c23d15f827c53a86c",
}
NUMBERS = ("-1234.6", "-0.76357", "1234.6", "1.0103e-14", "123 456 789", "123 456", SUMMARY["digest"])
Captured = pytest.CaptureFixture[str]


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch, capsys: Captured, width: int) -> Captured:
    """Return what a terminal of that width gets."""
    as_terminal(monkeypatch, width)
    return capsys


def lines_of(out: Captured, width: int) -> list[str]:
    text = plain(out.readouterr().out)
    assert "…" not in text
    lines = text.splitlines()
    assert [line for line in lines if len(line) > width] == []
    return lines


def test_summary(out: Captured, width: int) -> None:
    readings = ("eq. 7: every task has a CPU of its own", "eq. 9: every upload has the whole rate of its vehicle")
    terminal.summary(SUMMARY, "dtecn, policy p2-exact, seed 0", Path("runs/x"), readings)
    rows = [line.strip() for line in lines_of(out, width)]
    assert rows[2].startswith("penalty, realised")
    for number in NUMBERS:
        assert any(re.search(rf"(^|  ){re.escape(number)}(  |$)", row) for row in rows), number
    words = " ".join(" ".join(rows).split())
    assert "the run is too short" in words
    assert SUMMARY["gap_model"] in words
    assert next(row for row in rows if row.startswith("transmission, total")).split()[-2:] == ["0", "J"]
    assert rows[-3:] == [*readings, "trace: runs/x"]


def test_summaries_side_by_side(out: Captured, width: int) -> None:
    """Numbers stand below the name of their run, where their units are told too."""
    other = {**SUMMARY, "penalty_mean": 3.25, "digest": "a" * 32, "gap_model": None}
    names = ("p2-exact:margin=0.1,max_node=90000", "greedy-cost")
    terminal.side_by_side(dict(zip(names, (SUMMARY, other), strict=True)), "runs/x", None)
    lines = lines_of(out, width)
    penalty = next(line for line in lines if line.strip().startswith("penalty, realised"))
    assert re.split("  +", penalty.strip())[1:] == ["-1234.6", "3.25", "per slot"]
    heading = next(line for line in lines if "greedy-cost" in line)
    assert heading.index("greedy-cost") + len("greedy-cost") == penalty.index("3.25") + len("3.25")
    text = " ".join(" ".join(lines).split())
    assert SUMMARY["digest"] in text
    assert other["digest"] in text
    assert SUMMARY["gap_model"] in text


@pytest.mark.parametrize("num_row", [2, 12])
def test_bench(out: Captured, width: int, num_row: int) -> None:
    columns = ("vehicles", "slots", "vehicle-slots/s", "ratio", "range", "goal", "reached", "B/vehicle-slot", "solver")
    row = ("table one", 1000, 1_234_567, "0.1234", "0.1200 - 0.1300", "0.2", "no", 12.5, "clarabel alone")
    terminal.report(Report("Engine", columns, (row,) * num_row, ("a note with 1 234 567 in it",) * 9, {}))
    lines = lines_of(out, width)
    cells = [cell for line in lines for cell in re.split("  +", line.strip())]
    left_out = re.search(r"left out: (.*?) \(a terminal of", " ".join(" ".join(lines).split()))
    missing = left_out.group(1).split(", ") if left_out else []
    for label, cell in list(zip(columns, row, strict=True))[1:]:
        assert cells.count(cell if isinstance(cell, str) else terminal.number(cell)) == num_row * (label not in missing)
    assert not missing or (num_row == 12 and width < 140)
    assert sum("1 234 567 in it" in line for line in lines) == 9


def test_cases(out: Captured, width: int) -> None:
    row = {"origin": "dtecn-congested seed 3 p2-exact:margin=0.05", "slot": 1205, "objective": -0.123456}
    row |= {"realised": None, "num_offloaded": 12, "used_share": 0.98765, "capacity_price": 1234567.8}
    terminal.cases([row] * 20, "c.parquet: 20 cases of 10 vehicles")
    lines = lines_of(out, width)
    cells = [cell for line in lines for cell in re.split("  +", line.strip())]
    for number in ("1 205", "-0.12346", "12", "98.8%"):
        assert cells.count(number) == 20, number
    assert cells.count("1 234 568") == (0 if width == 60 else 20)
    assert ("left out: price (a terminal" in "\n".join(lines)) == (width == 60)


def test_lists(out: Captured, width: int) -> None:
    """Words go on below themselves; a number and its unit stay in a line."""
    words = "ten vehicles on 1 000 m of a road, a server of 10 GHz and 5 MB of tasks, thermal noise, with -110.0 dBm"
    terminal.listing([("dtecn", words), ("", f"- {words}"), ("dtecn-congested", words)])
    lines = lines_of(out, width)
    assert " ".join(" ".join(lines).split()) == f"dtecn {words} - {words} dtecn-congested {words}"
    assert all(line.startswith(("dtecn", " " * 17)) for line in lines)
    for number in ("1 000 m", "10 GHz", "5 MB", "-110.0 dBm"):
        assert sum(number in line for line in lines) == 3
