"""A decision is projected and scored once: what a policy has fitted itself, the guard and its cases take as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physical.system import System
from policies.baselines import EdgeEqual
from policies.cases.policies import NearestCase
from policies.feasible import JOINT_FIELDS, project, rest_hz
from policies.guarded import GuardedPolicy
from policies.scoring import Scored, command, fit, predicted_objective, slot_outcome, split_outcome
from sim import Scenario
from tests.support.cases import JOINT, SYSTEM, make_case
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SLICES = Scenario.load("dtecn", ["vehicles.num_vehicle=3", "server.discipline=slices"]).system()
FIELDS = ("offloading_ratio", "compute_allocation_hz", *JOINT_FIELDS)


def assert_same_bits(one: Decision, other: Decision) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def drawn(seed: int, system: System = SYSTEM, *, waits: bool = False) -> tuple[TwinSnapshot, Decision]:
    """Draw a snapshot with biases of at most a thousandth of the server, so that there is room for floors."""
    case = make_case(seed, system)
    bias_hz = case.snapshot.estimation_bias_hz * 1e-3
    cycles = case.snapshot.flow_backlog_cycles * float(waits)
    return replace(case.snapshot, estimation_bias_hz=bias_hz, flow_backlog_cycles=cycles), case.decision


@pytest.mark.parametrize("system", [SYSTEM, JOINT, SLICES], ids=["p2", "cost", "slices"])
@pytest.mark.parametrize("seed", range(8))
def test_to_project_again_would_change_nothing(system: System, seed: int) -> None:
    snapshot, decision = drawn(seed, system, waits=system is SLICES)
    fitted = fit(snapshot, decision)
    plain = Decision(*(getattr(fitted, name) for name in FIELDS))
    again, repaired = project(system, plain, snapshot.estimation_bias_hz, snapshot.serving_node, rest_hz(snapshot))
    assert_same_bits(again, fitted)
    assert not repaired
    assert fit(snapshot, fitted) is fitted


def test_what_is_promised_is_the_closed_form() -> None:
    snapshot, decision = drawn(1)
    fitted = fit(snapshot, decision)
    assert fitted.objective == predicted_objective(snapshot, fitted) == float(slot_outcome(snapshot, fitted).objective)
    snapshot, decision = drawn(1, JOINT)
    fitted = fit(snapshot, decision)
    assert fitted.objective == float(split_outcome(snapshot, fitted).objective)


def test_what_fits_one_snapshot_is_made_to_fit_another() -> None:
    snapshot, decision = drawn(1)
    fitted, other = fit(snapshot, decision), drawn(2)[0]
    elsewhere = fit(other, fitted)
    assert elsewhere is not fitted
    assert elsewhere.snapshot is other
    assert elsewhere.objective == predicted_objective(other, elsewhere) != fitted.objective
    assert predicted_objective(other, fitted) != fitted.objective


def test_a_fitted_decision_is_sent_and_remembered_as_it_is() -> None:
    policy = NearestCase(teacher="edge-equal", start=1)
    guarded = GuardedPolicy(policy, EdgeEqual())
    guarded.reset(SYSTEM, 1)
    for slot in range(3):
        snapshot = drawn(slot)[0]
        ruling = guarded.rule(snapshot)
        guarded.learn([(snapshot.slot, 1.0)])
        case = policy.memory.cases[-1]
        assert ruling.decision is case.decision
        assert isinstance(ruling.decision, Scored)
        assert ruling.decision.snapshot is snapshot
        assert not ruling.repaired
        assert case.objective == ruling.decision.objective


def test_beside_leftovers_the_part_for_new_work_is_the_fitted_one() -> None:
    snapshot, decision = drawn(3, SLICES, waits=True)
    fitted = fit(snapshot, decision)
    sent, repaired = command(snapshot, fitted)
    anew, _ = command(snapshot, decision)
    assert not repaired
    assert_same_bits(sent, anew)


class Stranger:
    """Somebody else's policy: it overfills the server, and claims that this fits."""

    def reset(self, system: System, seed: int) -> None:
        pass

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        shape = snapshot.size_bytes.shape
        return Scored(np.ones(shape), np.full(shape, 1e12), snapshot=snapshot)


def test_what_a_stranger_calls_fitted_is_projected() -> None:
    guarded = GuardedPolicy(Stranger(), EdgeEqual())
    guarded.reset(SYSTEM, 1)
    ruling = guarded.rule(replace(drawn(0)[0], serving_node=np.zeros(3, dtype=np.int64)))
    assert ruling.fallback == ""
    assert ruling.repaired
    assert ruling.decision.compute_allocation_hz.sum() < 1.01 * float(SYSTEM.node_hz[0])
