"""A policy's first decision does nothing that can be done before: it opens no file, imports nothing, reads no case."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.cases.file import read_cases
from policies.cases.policies import MeanCase, NearestCase
from sim import Scenario, run
from sim.learn.build_cases import build
from tests.support.command import environment

# Lets every policy decide some slots of a scenario; prints what its decisions opened and imported, or why there are
# none. The teacher's slots are among them, and so is the first one after those.
_WATCH = """
import json, sys
deciding, seen = None, {}
def watch(event, arguments):
    if deciding and event in ("open", "import"):
        seen[deciding].append(f"{event} {arguments[0]}")
sys.addaudithook(watch)
from physical.errors import InputError
from policies.registry import make, names, register
from sim import Scenario, run
class Watched:
    def __init__(self, name):
        self.name, self.policy = name, make(name)
        self.reset = self.policy.reset
    def decide(self, snapshot):
        global deciding
        deciding = self.name
        try:
            return self.policy.decide(snapshot)
        finally:
            deciding = None
for name in names():
    try:
        made = Watched(name)
        register(f"watched-{name}", lambda made=made: made)
        seen[name] = []
        run(Scenario.load(sys.argv[1], ["time.num_slot=18"]), policy=f"watched-{name}")
    except InputError:
        seen[name] = None
print(json.dumps(seen))
"""


@pytest.mark.full
@pytest.mark.parametrize(("scenario", "some"), [("dtecn", "p2-exact"), ("llm6g", "layers-exact")])
def test_no_decision_opens_a_file_or_imports_a_module(scenario: str, some: str) -> None:
    command = [sys.executable, "-c", _WATCH, scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    seen: dict[str, list[str] | None] = json.loads(done.stdout)
    assert seen[some] == []
    assert [name for name, events in seen.items() if events] == []


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.load("dtecn-congested", ["vehicles.num_vehicle=4", "time.num_slot=11"])


@pytest.fixture(scope="module")
def case_file(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "cases.parquet"
    build(scenario, "p2-exact", seed=0, num_case=10, every=1, out=path, name="few")
    return path


def test_a_mean_of_cases_is_ready(scenario: Scenario, case_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, system = MeanCase(file=str(case_file)), scenario.system()
    policy.reset(system, 1)
    monkeypatch.delattr(MeanCase, "_mean_share")
    assert policy.decide(read_cases(case_file, system)[0].snapshot).offloading_ratio.shape == (4, 3)


def test_an_index_of_cases_is_ready(scenario: Scenario, case_file: Path) -> None:
    """Nobody looks at the features of the cases again: without them, the nearest case is still the slot's own."""
    policy, system = NearestCase(file=str(case_file)), scenario.system()
    policy.reset(system, 1)
    policy.memory.cases._features.clear()
    case = read_cases(case_file, system)[3]
    assert np.array_equal(policy.decide(case.snapshot).offloading_ratio, case.decision.offloading_ratio)


@pytest.mark.parametrize("select", ["random", "best", "recent", "diverse"])
def test_a_language_model_has_read_its_cases(
    select: str, scenario: Scenario, case_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file before the run: its first decision reads no case, and its first answer finds all in the cache."""
    llm = pytest.importorskip("policies.llm.policy", reason="needs the extra llm").Llm
    cache = pytest.importorskip("policies.llm.bundled.prompt_cache", reason="needs the extra llm").PromptCache
    read: list[Any] = []
    read_case = cache._read_case

    def reading(self: Any, tokens: Any) -> None:
        read.append(tokens)
        read_case(self, tokens)

    monkeypatch.setattr(cache, "_read_case", reading)
    policy, system = llm(case_file=str(case_file), select=select, start=4), scenario.system()
    policy.reset(system, 1)
    assert len(read) == 8
    policy.decide(read_cases(case_file, system)[0].snapshot)
    prompt = policy.diagnostics().prompt
    policy.close()
    assert len(read) == prompt.num_case == 8
    assert prompt.num_reused_token > 0.5 * prompt.num_token


def test_a_language_model_without_a_file_reads_what_it_was_taught(scenario: Scenario) -> None:
    pytest.importorskip("policies.llm.bundled.engine", reason="needs the extra llm")
    prompts = run(scenario, policy="llm:start=8,grow=no", seed=1).table("prompts")
    reused = prompts.column("num_reused_token").to_pylist()
    assert len(reused) == 3
    assert len(set(reused)) == 1
    assert reused[0] > 0
