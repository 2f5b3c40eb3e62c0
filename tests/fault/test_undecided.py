"""A policy that does not decide: its numbers are the fallback's, and nobody should take them for its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physical.system import System
from sim import Scenario, compare, run
from tests.support.command import twin
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class Fails:
    """Raises from some slot on."""

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def reset(self, system: System, seed: int) -> None:
        self.shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        if snapshot.slot >= self.first:
            raise ValueError("no idea")
        return Decision(np.zeros(self.shape), np.zeros(self.shape))


class Greedy(Fails):
    """Allocates more than there is, in every slot."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return Decision(np.ones(self.shape), np.full(self.shape, snapshot.system.node_hz[0]))


def short() -> Scenario:
    return Scenario.load("dtecn", ["time.num_slot=6", "vehicles.num_vehicle=3"])


def test_a_comparison_says_who_did_not_decide(tmp_path: Path) -> None:
    """Two seeds of six slots: twelve decisions."""
    mixed = {"never": Fails, "late": Fails(4), "greedy": Greedy, "equal": "edge-equal"}
    found = compare(short(), mixed, [3, 4], tmp_path)
    notes = [note for note in found.notes() if "seeds:" not in note]
    assert notes[0].startswith(
        "never did not decide: the fallback took 12 of 12 decisions; the first with seed 3, slot 0:"
    )
    assert "no idea" in notes[0]
    assert notes[1].startswith(
        "late did not always decide: the fallback took 4 of 12 decisions; the first with seed 3, slot 4:"
    )
    assert notes[2] == "none of the 12 decisions of greedy was feasible: all were projected on the feasible set."
    assert len(notes) == 3
    again = compare(short(), mixed, [3, 4], tmp_path)
    assert again.num_reused == 8
    assert again.notes() == found.notes()
    assert "never did not decide" in str(again)
    assert "8 of 8 runs reused" in str(again)


def test_a_run_says_so_too(tmp_path: Path) -> None:
    summary = run(short(), Fails(2), seed=1).summary
    assert summary["fallbacks"] == 4
    assert summary["fallback_first"].startswith("slot 2: ")
    assert "fallback_first" not in run(short(), "edge-equal").summary
    (tmp_path / "mine.py").write_text(
        "class A:\n    def reset(self, system, seed): ...\n    def decide(self, snapshot): return 7\n", "utf-8"
    )
    done = twin("run", "dtecn", "--slots", "3", "--policy", f"{tmp_path / 'mine.py'}:A", "--out", tmp_path / "run")
    assert done.code == 0
    assert done.err.startswith("twin: warning: 3 of 3 decisions were taken by the fallback; the first, slot 0: ")
