"""A policy that fails costs single decisions, never the run; what it did is in the summary and in the events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.system import System
from policies import register
from tests.support.command import Done, twin
from traces.reader import Trace
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

NUM_SLOT = 12


def good(snapshot: TwinSnapshot) -> Decision:
    shape = snapshot.size_bytes.shape
    return Decision(np.full(shape, 0.5), np.full(shape, snapshot.system.server.frequency_hz / np.prod(shape)))


def policy_type(decide: Callable[[TwinSnapshot], Any]) -> type:
    class Bad:
        def reset(self, system: System, seed: int) -> None:
            pass

        def decide(self, snapshot: TwinSnapshot) -> Any:
            return decide(snapshot)

    return Bad


def fail(_: TwinSnapshot) -> Decision:
    raise RuntimeError("out of ideas\non two lines")


def fail_sometimes(snapshot: TwinSnapshot) -> Decision:
    return fail(snapshot) if snapshot.slot % 3 == 0 else good(snapshot)


def fail_to_compare(snapshot: TwinSnapshot) -> Decision:
    return good(snapshot) if snapshot.size_bytes else fail(snapshot)


def wrong_shape(snapshot: TwinSnapshot) -> Decision:
    return Decision(np.zeros(3), np.zeros(3))


def not_finite(snapshot: TwinSnapshot) -> Decision:
    decision = good(snapshot)
    return Decision(decision.offloading_ratio * np.nan, decision.compute_allocation_hz)


def infinite(snapshot: TwinSnapshot) -> Decision:
    decision = good(snapshot)
    return Decision(decision.offloading_ratio, decision.compute_allocation_hz * np.inf)


def texts(snapshot: TwinSnapshot) -> Any:
    return Decision("half", "all")  # type: ignore[arg-type]  # the fault under test


def change_belief(snapshot: TwinSnapshot) -> Decision:
    snapshot.size_bytes[0, 0] = 1.0
    return good(snapshot)


def change_system(snapshot: TwinSnapshot) -> Decision:
    snapshot.system.deadline_s[0] = 1.0
    return good(snapshot)


def change_scenario(snapshot: TwinSnapshot) -> Decision:
    snapshot.system.server.num_core = 1000
    return good(snapshot)


def recurse(snapshot: TwinSnapshot) -> Decision:
    return recurse(snapshot)


FAILING = {
    "raises": (fail, "RuntimeError: out of ideas"),
    "ambiguous": (fail_to_compare, "ValueError: The truth value"),
    "none": (lambda _: None, "returned NoneType, not a Decision"),
    "wrong-shape": (wrong_shape, "offloading_ratio has shape [3], not [10, 3]"),
    "nan": (not_finite, "offloading_ratio has values that are not finite"),
    "inf": (infinite, "compute_allocation_hz has values that are not finite"),
    "texts": (texts, "offloading_ratio is not an array of numbers"),
    "changes-belief": (change_belief, "read-only"),
    "changes-system": (change_system, "read-only"),
    "changes-scenario": (change_scenario, "frozen"),
    "recursion": (recurse, "RecursionError"),
}


def run(name: str, out: Path, *more: str) -> Done:
    return twin("run", "dtecn", "--policy", name, "--slots", NUM_SLOT, "--out", out, "--json", *more)


@pytest.mark.parametrize("name", FAILING)
def test_failing_policy_is_replaced(tmp_path: Path, name: str) -> None:
    decide, reason = FAILING[name]
    register(f"bad-{name}", policy_type(decide))
    done = run(f"bad-{name}", tmp_path / "run")
    assert done.code == 0, done.err
    summary = done.json()
    assert summary["status"] == "complete"
    assert summary["fallbacks"] == summary["decisions"] == NUM_SLOT
    assert summary["tasks_generated"] == 30 * NUM_SLOT
    events = Trace(tmp_path / "run").table("events").to_pylist()
    assert len(events) == NUM_SLOT
    assert all(event["kind"] == "fallback" and reason in event["detail"] for event in events)
    # The fallback is local-only: nothing is offloaded.
    ratios = Trace(tmp_path / "run").table("decisions").column("offloading_ratio").to_pylist()
    assert np.all(np.array(ratios) == 0.0)


def test_single_failures(tmp_path: Path) -> None:
    register("bad-sometimes", policy_type(fail_sometimes))
    summary = run("bad-sometimes", tmp_path / "run", "--set", "policy.fallback=edge-equal").json()
    assert summary["fallbacks"] == NUM_SLOT // 3
    trace = Trace(tmp_path / "run")
    assert trace.table("events").column("slot").to_pylist() == list(range(0, NUM_SLOT, 3))
    decisions = trace.table("decisions").to_pylist()
    assert [row["fallback"] for row in decisions] == [slot % 3 == 0 for slot in range(NUM_SLOT)]
    assert [row["offloading_ratio"][0] for row in decisions[:3]] == [1.0, 0.5, 0.5]


def beyond_ratios(snapshot: TwinSnapshot) -> Decision:
    decision = good(snapshot)
    signs = np.where(np.arange(decision.offloading_ratio.size) % 2, -1.0, 1.0).reshape(decision.offloading_ratio.shape)
    return Decision(3.0 * signs, decision.compute_allocation_hz)


def beyond_capacity(snapshot: TwinSnapshot) -> Decision:
    decision = good(snapshot)
    return Decision(decision.offloading_ratio, 7.0 * decision.compute_allocation_hz)


def nothing_allocated(snapshot: TwinSnapshot) -> Decision:
    decision = good(snapshot)
    return Decision(decision.offloading_ratio, 0.0 * decision.compute_allocation_hz)


@pytest.mark.parametrize("decide", [beyond_ratios, beyond_capacity, nothing_allocated])
def test_infeasible_decision_is_repaired(tmp_path: Path, decide: Callable[[TwinSnapshot], Decision]) -> None:
    name = f"bad-{decide.__name__}"
    register(name, policy_type(decide))
    done = run(name, tmp_path / "run")
    assert done.code == 0, done.err
    summary = done.json()
    assert summary["decisions_repaired"] == summary["decisions"] == NUM_SLOT
    assert summary["fallbacks"] == 0
    for row in Trace(tmp_path / "run").table("decisions").to_pylist():
        assert row["repaired"]
        assert 0.0 <= min(row["offloading_ratio"]) <= max(row["offloading_ratio"]) <= 1.0
        assert sum(row["compute_allocation_hz"]) <= 400e9 * (1 + 1e-9)
        assert min(row["compute_allocation_hz"]) >= 0.0


def test_policy_that_cannot_get_ready(tmp_path: Path) -> None:
    class NoModel:
        def reset(self, system: System, seed: int) -> None:
            raise FileNotFoundError(2, "No such file or directory", "models/none.gguf")

        def decide(self, snapshot: TwinSnapshot) -> Decision:
            return good(snapshot)

    register("bad-reset", NoModel)
    assert "models/none.gguf: cannot be used: No such file" in run("bad-reset", tmp_path / "run").complaint()
    assert not (tmp_path / "run").exists()


def test_internal_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def reset(self, system: System, seed: int) -> None:
            raise ZeroDivisionError("two\nlines")

        def decide(self, snapshot: TwinSnapshot) -> Decision:
            return good(snapshot)

    register("bad-stranger", Broken)
    done = run("bad-stranger", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("twin: --policy: Broken.reset: ZeroDivisionError: two lines at test_bad_policies.py:")
    ours = type("Broken", (Broken,), {"__module__": "policies.broken"})  # what our own code raises is our fault
    register("bad-internal", ours)
    done = run("bad-internal", tmp_path / "run")
    assert done.code == 70
    assert done.out == ""
    assert done.err == "twin: internal error: ZeroDivisionError: two lines (set VECTWIN_TRACEBACK=1 to see where)\n"
    monkeypatch.setenv("VECTWIN_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in run("bad-internal", tmp_path / "run").err
