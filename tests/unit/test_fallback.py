"""The guard: whatever a policy does, the run goes on, and the trace says what happened."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest

from physical.system import System
from policies.api import Policy
from policies.baselines import EdgeEqual
from policies.guarded import GuardedPolicy
from sim import run
from tests.support.observers import Returns
from tests.support.scenarios import make_scenario
from tests.support.snapshots import SHAPE, SHARE_HZ, SNAPSHOT, feasible
from tests.support.tables import column
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot


class Explaining(Returns):
    def diagnostics(self) -> Diagnostics:
        return Diagnostics(feasible=False, objective=1.5, lower_bound=1.0, gap=0.5, solve_s=0.25, num_token=7)


def guard(policy: Policy) -> GuardedPolicy:
    guarded = GuardedPolicy(policy, EdgeEqual())
    guarded.reset(SNAPSHOT.system, 11)
    return guarded


def test_a_feasible_decision_passes_untouched() -> None:
    decision = feasible()
    ruling = guard(Returns(decision)).rule(SNAPSHOT)
    assert (ruling.fallback, ruling.repaired) == ("", False)
    assert ruling.decision.offloading_ratio.tobytes() == decision.offloading_ratio.tobytes()
    assert ruling.decision.compute_allocation_hz.tobytes() == decision.compute_allocation_hz.tobytes()
    assert ruling.wall_s >= 0


def test_reset_reaches_the_policy_with_its_seed() -> None:
    policy = Returns(feasible())
    guard(policy)
    ((system, seed),) = policy.resets
    assert (seed, system.server, system.num_vehicle) == (11, SNAPSHOT.system.server, SNAPSHOT.system.num_vehicle)
    assert system is not SNAPSHOT.system  # nor may it be the one that the world reads


BAD: dict[str, Any] = {
    "ValueError": ValueError("no idea"),
    "ZeroDivisionError": ZeroDivisionError(),
    "MemoryError": MemoryError("too much"),
    "RecursionError": RecursionError("too deep"),
    "NoneType": None,
    "dict": {"offloading_ratio": 1},
    "shape": Decision(np.ones((3, 3)), np.ones((3, 3))),
    "not finite": Decision(np.full(SHAPE, np.nan), np.ones(SHAPE)),
}


@pytest.mark.parametrize("case", BAD)
def test_failure_brings_the_fallback_and_its_reason(case: str) -> None:
    ruling = guard(Returns(BAD[case])).rule(SNAPSHOT)
    assert case in ruling.fallback
    assert not ruling.repaired
    np.testing.assert_array_equal(ruling.decision.offloading_ratio, 1.0)  # edge-equal's
    np.testing.assert_allclose(ruling.decision.compute_allocation_hz, SHARE_HZ, rtol=1e-12)


def test_the_reason_names_error_and_place_in_one_short_line() -> None:
    ruling = guard(Returns(ValueError("x" * 1000))).rule(SNAPSHOT)
    assert len(ruling.fallback) <= 300
    reason = guard(Returns(ValueError("short"))).rule(SNAPSHOT).fallback
    assert reason.startswith("ValueError: short at observers.py:")


def test_an_infeasible_decision_is_repaired() -> None:
    ruling = guard(Returns(Decision(np.full(SHAPE, 2.0), np.full(SHAPE, 60e9)))).rule(SNAPSHOT)
    assert (ruling.fallback, ruling.repaired) == ("", True)
    np.testing.assert_array_equal(ruling.decision.offloading_ratio, 1.0)
    assert ruling.decision.compute_allocation_hz.sum() == pytest.approx(60e9, rel=1e-9)


def test_a_user_who_wants_to_stop_is_not_overruled() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            guard(Returns(KeyboardInterrupt())).rule(SNAPSHOT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_diagnostics_pass_through_and_default_to_nothing_known() -> None:
    assert guard(Explaining(feasible())).rule(SNAPSHOT).diagnostics.num_token == 7
    silent = guard(Returns(feasible())).rule(SNAPSHOT).diagnostics
    assert silent.feasible
    assert np.isnan([silent.objective, silent.lower_bound, silent.gap, silent.solve_s]).all()
    assert silent.num_token == 0
    # What a policy says about a decision that was not taken is not recorded as if it had been.
    assert guard(Explaining(None)).rule(SNAPSHOT).diagnostics.num_token == 0


def test_overruling_calls_only_the_fallback() -> None:
    ruling = guard(Returns(AssertionError("not called"))).rule_by_fallback(SNAPSHOT, "too slow", 1.25)
    assert (ruling.fallback, ruling.wall_s) == ("too slow", 1.25)
    np.testing.assert_array_equal(ruling.decision.offloading_ratio, 1.0)


class Flaky:
    """Raises in every third slot, overdoes it in every third."""

    def reset(self, system: System, seed: int) -> None:
        self.shape = (system.num_vehicle, system.num_class)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        if snapshot.slot % 3 == 0:
            raise RuntimeError(f"slot {snapshot.slot}")
        share_hz = 20e9 if snapshot.slot % 3 == 1 else 1e9
        return Decision(np.ones(self.shape), np.full(self.shape, share_hz))

    def diagnostics(self) -> Diagnostics:
        return Diagnostics(objective=3.25, num_token=4)


def test_a_flaky_policy_costs_only_its_own_slots(tmp_path: Any) -> None:
    result = run(make_scenario("policy.fallback=local-only"), policy=Flaky(), out=tmp_path)
    third = [slot % 3 for slot in range(12)]
    assert column(result, "decisions", "fallback").tolist() == [part == 0 for part in third]
    assert column(result, "decisions", "repaired").tolist() == [part == 1 for part in third]
    ratio = np.stack(column(result, "decisions", "offloading_ratio").tolist())
    np.testing.assert_array_equal(ratio[:, 0], [float(part > 0) for part in third])
    np.testing.assert_array_equal(np.isnan(column(result, "decisions", "objective")), [part == 0 for part in third])
    assert column(result, "decisions", "num_token").tolist() == [4 * (part > 0) for part in third]
    assert (result.summary["fallbacks"], result.summary["decisions_repaired"]) == (4, 4)
    assert result.status == "complete"


class Babbling(Flaky):
    def diagnostics(self) -> Any:
        return "all is well"


def test_diagnostics_that_are_none_do_not_end_the_run() -> None:
    """What a policy returns as diagnostics is as untrusted as its decision."""
    result = run(make_scenario(), policy=Babbling())
    assert result.summary["decisions"] == 12
