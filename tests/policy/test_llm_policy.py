"""`llm` in runs: what is recorded, what repeats, what a failing model costs, and that a replay needs no model."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from policies.baselines import EdgeEqual
from policies.cases.case import Case
from policies.llm.bundled.environments import RandomEnvironment, solved_cases
from policies.llm.guard import Guard
from policies.llm.models import manifest_path, resolve, sha256
from policies.registry import make
from policies.scoring import predicted_objective
from sim import Scenario, run
from sim.learn.build_cases import build
from sim.runs.replay import verify
from sim.runs.run import RunResult
from tests.support.process import at_work
from twin.decision import Decision

pytest.importorskip("llama_cpp", reason="reason: needs the extra llm")

CONGESTED = ["vehicles.num_vehicle=4", "time.num_slot=30"]
START = 4


def simulate(policy: str = f"llm:start={START}", settings: list[str] | None = None, **more: Any) -> RunResult:
    return run(Scenario.load("dtecn-congested", CONGESTED + (settings or [])), policy=policy, seed=3, **more)


def column(result: RunResult, table: str, name: str) -> list[Any]:
    found: list[Any] = result.table(table).column(name).to_pylist()
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return simulate(out=tmp_path_factory.mktemp("llm") / "run")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the bundled model and its manifest, to be damaged."""
    path = tmp_path / "copy.gguf"
    bundled = resolve("bundled").path
    shutil.copy(bundled, path)
    shutil.copy(manifest_path(bundled), manifest_path(path))
    return path


@pytest.mark.full
def test_every_answer_is_recorded(plain: RunResult) -> None:
    """The teacher decides the first slots; then each decision has a prompt, and no decision fails."""
    assert column(plain, "prompts", "slot") == list(range(START, 30))
    assert plain.summary["fallbacks"] == 0
    assert plain.summary["decisions_repaired"] == 0
    num_case = column(plain, "prompts", "num_case")
    assert num_case[0] == START
    assert max(num_case) == 8
    assert all(
        0 < reused < total
        for reused, total in list(
            zip(column(plain, "prompts", "num_reused_token"), column(plain, "prompts", "num_token"), strict=True)
        )[1:4]
    )
    assert len(set(column(plain, "prompts", "digest"))) == 30 - START
    assert all(
        seconds > 0 for name in ("prefill_wall_s", "decode_wall_s") for seconds in column(plain, "prompts", name)
    )
    assert sum(column(plain, "prompts", "guarded")) == plain.summary["decisions_guarded"]
    tokens = [
        a + b
        for a, b in zip(
            column(plain, "prompts", "num_token"), column(plain, "prompts", "num_answer_token"), strict=True
        )
    ]
    assert column(plain, "decisions", "num_token")[START:] == tokens


def test_the_manifest_names_the_model(plain: RunResult) -> None:
    from traces.reader import Trace

    assert plain.directory is not None
    details = Trace(plain.directory).manifest["policy_details"]
    assert details["model"] == "bundled"
    assert details["sha256"] == sha256(resolve("bundled").path)


@pytest.mark.full
def test_the_same_seed_gives_the_same_trace(plain: RunResult) -> None:
    assert simulate().summary["digest"] == plain.summary["digest"]


def test_a_replay_needs_no_model(plain: RunResult) -> None:
    def gone() -> None:
        raise AssertionError("a replay has asked for the model")

    assert plain.directory is not None
    with at_work("policies.llm.policy:resolve", gone), at_work("policies.llm.bundled.engine:LlamaSession", gone):
        assert verify(plain.directory).difference is None


def test_a_case_set_takes_the_teachers_place(tmp_path: Path) -> None:
    file = tmp_path / "cases.parquet"
    build(Scenario.load("dtecn-congested", ["vehicles.num_vehicle=4"]), "p2-exact", 9, 16, 2, file)
    result = simulate(f"llm:case_file={file},grow=no", num_slot=6)
    assert column(result, "prompts", "slot") == list(range(6))
    assert column(result, "prompts", "num_case") == [8] * 6


def test_zero_cases_are_possible() -> None:
    result = simulate("llm:cases=0,start=0,guard=no", num_slot=4)
    assert column(result, "prompts", "num_case") == [0] * 4
    assert result.summary["decisions_guarded"] == 0


def test_a_deadline_costs_decisions_and_not_the_run() -> None:
    result = simulate(f"llm:start={START},deadline_ms=0.001", num_slot=10)
    assert result.summary["fallbacks"] == 10 - START
    reasons = [detail for detail in column(result, "events", "detail") if "Deadline" in detail]
    assert len(reasons) == 10 - START


def test_the_models_own_slowness_counts() -> None:
    """With the latency `measured`, commands leave as late as the model took."""
    result = simulate(settings=["twin.decision.latency=measured"], num_slot=8)
    latency_s = np.array(column(result, "decisions", "latency_ns")) / 1e9
    wall_s = np.array(column(result, "decisions", "policy_wall_s"))
    np.testing.assert_allclose(latency_s, wall_s, atol=1e-9)
    assert (latency_s[START:] > 0.5e-3).all()


@pytest.mark.parametrize("select", ["nearest", "diverse", "best", "recent", "random"])
def test_every_selection_works(select: str) -> None:
    result = simulate(f"llm:start=12,select={select},cases=4", num_slot=16)
    assert column(result, "prompts", "num_case") == [4] * 4
    assert result.summary["fallbacks"] == 0


def refusal(policy: str, name: str = "dtecn-congested", settings: list[str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        run(Scenario.load(name, ["time.num_slot=3", *(settings or [])]), policy=policy)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_wrong_options_are_named() -> None:
    assert "cases" in refusal("llm:cases=-1")
    assert "nearest" in refusal("llm:select=near")
    assert "does not exist" in refusal("llm:model=/nowhere.gguf")
    assert "digest" in refusal("llm:sha256=12")
    assert "SHA-256" in refusal("llm:sha256=" + "0" * 64)
    assert "there is no policy" in refusal("llm:teacher=p3")
    assert "GPU" in refusal("llm:n_gpu_layers=-1")
    assert "neither [cost]" in refusal("llm", "llm6g")
    assert "60 vehicles" in refusal("llm", settings=["vehicles.num_vehicle=61"])


@pytest.mark.parametrize("how", ["flipped", "truncated", "empty", "magic", "manifest", "language"])
def test_a_damaged_model_is_refused_in_one_line(copied: Path, how: str) -> None:
    data = bytearray(copied.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "truncated":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    elif how == "magic":
        data[:4] = b"GGML"
    elif how == "manifest":
        manifest_path(copied).write_text("{}", "utf-8")
    else:
        text = manifest_path(copied).read_text("utf-8").replace('"schema_version": 3', '"schema_version": 99')
        manifest_path(copied).write_text(text, "utf-8")
    copied.write_bytes(data)
    assert copied.stem in refusal(f"llm:model={copied}")


@pytest.mark.full
def test_a_model_of_ones_own_is_as_good_as_the_bundled_one(copied: Path, plain: RunResult) -> None:
    digests = simulate(f"llm:start={START},model={copied}").summary["digest"]
    assert digests == plain.summary["digest"]


def test_the_guard_takes_the_better_decision_and_counts() -> None:
    environment = RandomEnvironment(2)
    cases, (query,) = solved_cases(environment, 3, 1)
    guard = Guard()
    guard.reset(environment.system, 0)
    equal = EdgeEqual()
    equal.reset(environment.system, 0)
    bad = equal.decide(query)
    bad = Decision(bad.offloading_ratio, bad.compute_allocation_hz * 1e-3)
    chosen, replaced = guard.check(query, bad, list(cases))
    assert replaced
    assert guard.num_replaced == 1
    assert predicted_objective(query, chosen) < predicted_objective(query, bad)
    exact = make("p2-exact")
    exact.reset(environment.system, 0)
    best = exact.decide(query)
    kept, replaced = guard.check(query, best, list(cases))
    assert np.array_equal(kept.offloading_ratio, best.offloading_ratio)
    assert np.array_equal(kept.compute_allocation_hz, best.compute_allocation_hz)
    assert not replaced
    assert guard.num_replaced == 1


def test_nothing_but_the_snapshot_and_the_cases_counts() -> None:
    """What the language does not say changes nothing: positions, speeds, ages and known biases of the query."""
    environment = RandomEnvironment(2)
    cases, (query,) = solved_cases(environment, 8, 1)
    policy = make("llm:guard=no")
    policy.reset(environment.system, 0)
    engine: Any = policy._engine  # type: ignore[attr-defined]  # not part of the protocol
    shown: list[Case] = list(cases)
    before = engine.decide(shown, query, None).decision
    other = replace(query, x_m=query.x_m + 50.0, speed_mps=query.speed_mps * 2, slot=query.slot + 5)
    after = engine.decide(shown, other, None).decision
    assert (before.compute_allocation_hz == after.compute_allocation_hz).all()
