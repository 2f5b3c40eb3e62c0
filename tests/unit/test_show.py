"""The summary of a run on a terminal: the penalty stands first, nothing is cut at 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sim import show

SUMMARY = {
    "slots": 123_456,
    "objective_mean": -0.7635712,
    "drift_mean": 1234.5678,
    "stable": None,
    "gap_max": 1.0103e-14,
    "gap_model": "eqs. 7-9, no waiting, no QoS floor; another model with a long name that takes many words to describe",
    "penalty_mean": -1234.5678,
    "energy_local_j": 123_456_789.0,
    "digest": "748e59885d939e5c23d15f827c53a86c",
}


@pytest.mark.parametrize("width", [80, 140])
def test_summary(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = io.StringIO()
    monkeypatch.setattr(show, "console", lambda: Console(file=out, width=width, highlight=False))
    readings = ("eq. 7: every task has a CPU of its own", "eq. 9: every upload has the whole rate of its vehicle")
    show.summary(SUMMARY, "dtecn, policy p2-exact, seed 0", Path("runs/x"), readings)
    text = out.getvalue()
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    assert "…" not in text
    rows = [line.strip() for line in lines]
    assert rows[2].startswith("penalty, realised")
    for number in ("-1234.6", "-0.76357", "1234.6", "1.0103e-14", "123 456 789", "123 456", "the run is too short"):
        assert number in text, number
    where = next(index for index, row in enumerate(rows) if row.startswith("largest certified gap"))
    assert any(row.startswith("the gap holds for") for row in rows[where + 1 : where + 3])  # a label may take two lines
    assert rows[-3:] == [*readings, "trace: runs/x"]
