"""`twin policies SCENARIO`: who fits is who runs, and the others say why not."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from physical.errors import InputError
from policies import register, registry
from policies.baselines import Random
from sim import Scenario, run
from sim.runs.fitting import fits
from tests.support.command import twin
from tests.support.process import as_before

pytestmark = pytest.mark.full  # runs every policy


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    with as_before():
        yield


@pytest.mark.full
@pytest.mark.parametrize("name", ["dtecn", "llm6g", "corridor"])
def test_who_fits_runs_and_who_does_not_is_refused_with_the_reason(name: str) -> None:
    scenario = Scenario.load(name, ["time.num_slot=2"])
    found = fits(scenario)
    assert [one.spec.name for one in found] == registry.names()
    for policy, reason in ((one.spec.name, one.reason) for one in found):
        if reason:
            with pytest.raises(InputError) as caught:
                run(scenario, policy=policy)
            assert reason.partition(" (accepted")[0] in str(caught.value)
        else:
            summary = run(scenario, policy=policy).summary
            assert (summary["slots"], summary["fallbacks"]) == (2, 0), policy
    assert any(one.fits for one in found)
    assert not all(one.fits for one in found)


def test_an_extra_that_is_missing_is_the_reason_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torch", "llama_cpp"):
        monkeypatch.setitem(sys.modules, library, None)  # as if there were none
    for module in [name for name in sys.modules if name.startswith("policies.marl")]:
        monkeypatch.delitem(sys.modules, module)
    reasons = {one.spec.name: one.reason for one in fits(Scenario.load("dtecn"))}
    marl = "needs the extra marl (No module named 'torch') (accepted: after pip install \"vectwin[marl]\")"
    assert reasons["apg"] == reasons["maddpg"] == reasons["ddpg"] == marl
    assert reasons["llm"].startswith("needs the extra llm (No module named 'llama_cpp')")
    assert reasons["edge-equal"] == ""
    assert not any(name.startswith("policies.marl") for name in sys.modules)


def test_a_stranger_s_policy_may_refuse_as_it_likes_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Loud(Random):
        def reset(self, system: object, seed: int) -> None:
            raise RuntimeError("no\nlicence")

        def close(self) -> None:
            closed.append(self)

    def needs_more(weights: str) -> Random:
        raise AssertionError

    register("loud", Loud)
    register("more", needs_more)
    reasons = {one.spec.name: one.reason for one in fits(Scenario.load("corridor"))}
    assert reasons["loud"] == "RuntimeError: no licence"
    needed = "a class with reset(system, seed) and decide(snapshot)"
    assert reasons["more"] == f"is a function, and its argument 'weights' is missing (accepted: {needed})"
    assert len(closed) == 1


def test_the_command_lists_each_policy_with_its_reason() -> None:
    lines = {line.split()[0]: line for line in twin("policies", "dtecn").out.splitlines() if line.strip()}
    assert lines["random"].split() == ["random", "fits"]
    assert (
        lines["layers-exact"]
        .split("  ", 1)[1]
        .strip()
        .startswith("no: decides layers, power and bandwidth (accepted: a scenario")
    )
    told = twin("policies", "llm6g", "--json").json()
    assert told["scenario"] == "llm6g"
    assert {"name": "layers-exact", "fits": True, "reason": None} in told["policies"]
    few = twin("policies", "dtecn", "--set", "vehicles.num_vehicle=0")
    assert "num_vehicle" in few.complaint()
    assert "--set: goes with a scenario only" in twin("policies", "--set", "time.num_slot=2").complaint()
    assert "did you mean dtecn" in twin("policies", "dtcn").complaint()
    assert "did you mean random?" in twin("policies", "randon").complaint()
