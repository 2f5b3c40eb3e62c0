"""Policies that decide by cases: whom they are taught by, what they copy, and what they remember."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from policies import make
from policies.cases.case import Case, CaseSet
from policies.cases.file import open_cases, write_cases
from policies.cases.memory import CaseMemory
from policies.cases.policies import MeanCase, NearestCase
from policies.cases.selection import nearest
from policies.feasible import FLOOR, project
from policies.optimal.p2_exact import P2Exact
from policies.scoring import predicted_objective
from sim import Scenario, run
from sim.learn.build_cases import build
from sim.runs.replay import verify
from tests.support.cases import JOINT, SYSTEM, make_case, make_set
from tests.support.command import twin
from tests.support.observers import Watched, assert_equal
from tests.support.scenarios import make_scenario
from tests.support.tables import column
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full
SMALL = make_scenario()


def memory(**options: Any) -> CaseMemory:
    made = CaseMemory(**dict[str, Any](teacher="edge-equal", start=2, capacity=4, owner="me") | options)
    made.reset(SYSTEM, 1)
    return made


def snapshot_of(seed: int) -> TwinSnapshot:
    """Draw a snapshot whose vehicles all have a node."""
    drawn = make_case(seed).snapshot
    return replace(drawn, serving_node=np.zeros(3, dtype=np.int64), estimation_bias_hz=np.zeros((3, 2)))


def decided(made: CaseMemory, seed: int, realised: float) -> TwinSnapshot:
    """Decide slot `seed` by hand, with a certain outcome."""
    snapshot = snapshot_of(seed)
    made.decided(snapshot, Decision(np.full((3, 2), 0.5), np.full((3, 2), 1e9)))
    made.learn([(seed, realised)])
    return snapshot


# --------------------------------------------------------------------------------------------------------------- memory


def test_the_teacher_decides_until_there_are_enough_cases() -> None:
    made, teacher = memory(), make("edge-equal")
    teacher.reset(SYSTEM, 1)
    for seed in range(2):
        snapshot = snapshot_of(seed)
        taught = made.teach(snapshot)
        assert taught is not None
        assert_equal(taught, teacher.decide(snapshot))
    assert made.teach(snapshot_of(2)) is None
    assert [case.origin for case in made.cases] == ["edge-equal slot=0", "edge-equal slot=1"]
    assert [math.isnan(case.realised) for case in made.cases] == [True, True]
    for case in made.cases:
        assert case.objective == predicted_objective(case.snapshot, case.decision)
        assert math.isnan(case.capacity_price)  # `edge-equal` tells none
    made.learn([(0, 0.25), (1, math.nan), (7, 3.0)])
    np.testing.assert_equal([case.realised for case in made.cases], [0.25, math.nan])
    assert (made.num_taught, made.num_grown) == (2, 0)


def test_cases_keep_the_price_that_a_policy_tells() -> None:
    made, exact = memory(teacher="p2-exact"), P2Exact()
    exact.reset(SYSTEM, 1)
    for seed in range(2):
        made.teach(snapshot_of(seed))
        exact.decide(snapshot_of(seed))
        assert made.cases[seed].capacity_price == exact.diagnostics().capacity_price > 0
    made.decided(snapshot_of(2), Decision(np.full((3, 2), 0.5), np.full((3, 2), 1e9)), 0.75)
    made.learn([(2, 1.0)])
    assert made.cases[2].capacity_price == 0.75


def test_a_decided_slot_is_added_while_there_is_room() -> None:
    made = memory(start=0)
    for seed in range(4):
        assert len(made.cases) == seed
        decided(made, seed, float(seed))
    assert [case.realised for case in made.cases] == [0, 1, 2, 3]
    assert [case.origin for case in made.cases] == [f"me slot={seed}" for seed in range(4)]
    assert (made.num_grown, made.num_displaced, made.num_refused) == (4, 0, 0)


@pytest.mark.parametrize("realised", [0.9, 1.0, 1.1])
def test_then_it_displaces_its_nearest_case_unless_it_is_worse(realised: float) -> None:
    made = memory(start=0)
    for seed in range(4):
        decided(made, seed, 1.0)
    near = nearest(made.cases, 1, snapshot_of(9))[0]
    version, before = made.version, list(made.cases)
    decided(made, 9, realised)
    after = list(made.cases)
    if realised > 1.0:
        assert after == before
        assert (made.version, made.num_refused, made.num_displaced) == (version, 1, 0)
        return
    assert [case for case in before if case not in after] == [near]
    assert after[:-1] == [case for case in before if case is not near]
    assert (after[-1].snapshot.slot, after[-1].realised) == (9, realised)
    assert made.version > version
    assert (made.num_refused, made.num_displaced, made.num_grown) == (0, 1, 4)


@pytest.mark.parametrize("better", [True, False])
def test_against_an_unknown_outcome_expectations_are_compared(tmp_path: Path, better: bool) -> None:
    case = make_case(1, realised=math.nan, objective=1e9 if better else -1e9)
    write_cases(CaseSet(SYSTEM, [case]), tmp_path / "a.parquet")
    made = memory(file=str(tmp_path / "a.parquet"), start=0, capacity=1)
    decided(made, 5, -1e8 if not better else 1e8)  # the outcome says the opposite
    assert (made.num_displaced, made.num_refused) == (int(better), int(not better))


def test_what_has_no_outcome_is_not_remembered() -> None:
    made = memory(start=0)
    decided(made, 1, math.nan)
    made.learn([(1, 0.5)])
    still = memory(start=0, grow=False)
    decided(still, 1, 0.5)
    assert len(made.cases) == len(still.cases) == 0


def test_slots_of_a_file_are_other_slots(tmp_path: Path) -> None:
    """A case of a file has a slot number, too, but not of this run."""
    write_cases(make_set(3), tmp_path / "a.parquet")
    made = memory(file=str(tmp_path / "a.parquet"))
    before = list(made.cases)
    made.learn([(slot, 9.0) for slot in range(3)])
    assert list(made.cases) == before
    assert made.teach(snapshot_of(4)) is None


def test_the_nearest_are_chosen_anew_for_each_slot() -> None:
    made = memory(start=0)
    snapshots = [decided(made, seed, 1.0) for seed in range(4)]
    for snapshot in snapshots:
        chosen = made.choose(snapshot, 2)
        assert len(chosen) == 2
        assert chosen[-1].snapshot is snapshot


@pytest.mark.parametrize("kind", ["diverse", "best", "recent", "random"])
def test_other_choices_are_kept_for_a_while(kind: Any) -> None:
    made = memory(start=0, select=kind, refresh=5, capacity=30)
    assert made.choose(snapshot_of(50), 4) == ()
    for seed in range(3):
        decided(made, seed, 1.0)
    assert len(made.choose(snapshot_of(50), 4)) == 3
    decided(made, 3, 0.5)
    first = made.choose(snapshot_of(51), 4)  # at once: it was not complete
    assert len(first) == 4
    for seed in range(4, 12):
        decided(made, seed, 0.25)
    assert [made.choose(snapshot_of(60 + index), 4) for index in range(4)] == [first] * 4
    second = made.choose(snapshot_of(70), 4)
    assert second != first
    assert [made.choose(snapshot_of(80 + index), 4) for index in range(9)] == [second] * 9  # nothing has changed
    assert len(made.choose(snapshot_of(90), 2)) == 2
    assert [case.snapshot.slot for case in made.nearest(snapshot_of(7), 3)][-1] == 7


def test_equal_seeds_choose_equally() -> None:
    chosen = []
    for seed in (1, 1, 2):
        made = CaseMemory(start=0, select="random")
        made.reset(SYSTEM, seed)
        for slot in range(12):
            decided(made, slot, 1.0)
        chosen.append([case.snapshot.slot for case in made.choose(snapshot_of(20), 6)])
    assert chosen[0] == chosen[1] != chosen[2]


def test_reset_forgets() -> None:
    made = memory()
    made.teach(snapshot_of(0))
    made.decided(snapshot_of(1), Decision(np.ones((3, 2)), np.full((3, 2), 1e9)))
    made.reset(SYSTEM, 1)
    made.learn([(0, 1.0), (1, 1.0)])
    assert (len(made.cases), made.num_taught, made.num_grown) == (0, 0, 0)


WRONG: list[tuple[str, str]] = [
    ("nearest-case:start=-1", "nearest-case: start -1 without a file leaves nothing to decide by"),
    ("mean-case:start=0", "mean-case: start 0 without a file leaves nothing to decide by"),
    ("nearest-case:grow=maybe", "nearest-case.grow: 'maybe' is wrong"),
    ("nearest-case:start=-1,file=x", "nearest-case: start -1 is negative"),
]


@pytest.mark.parametrize(("name", "words"), WRONG)
def test_wrong_options(name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        make(name)
    assert str(caught.value).startswith(f"--policy: {words}")


@pytest.mark.parametrize(("options", "words"), [({"capacity": 1}, "capacity 1 is less"), ({"refresh": 0}, "refresh 0")])
def test_wrong_memory(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CaseMemory(start=2, **options)


def test_complaints_of_and_about_the_teacher(tmp_path: Path) -> None:
    for name, words in (
        ("mean-case", "--policy: mean-case: teacher p2-exact: solves P2 of one server (accepted: "),
        ("nearest-case:teacher=p2-exat", "--policy: nearest-case: teacher p2-exat: there is no policy 'p2-exat'; did"),
        ("nearest-case:file=no.parquet", "no.parquet: there is no such file"),
        ("mean-case:teacher=nearest-case:file=no.parquet", "no.parquet: there is no such file"),
    ):
        with pytest.raises(InputError) as caught:
            make(name).reset(JOINT, 0)
        assert str(caught.value).startswith(words)
    # Where the file has enough cases, nobody asks the teacher.
    write_cases(make_set(3, JOINT), tmp_path / "a.parquet")
    make(f"nearest-case:start=3,file={tmp_path / 'a.parquet'}").reset(JOINT, 0)


def test_a_timed_change_of_policy_names_the_file_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_cases(make_set(2, JOINT), path)
    data = SMALL.model_dump(mode="json")
    data["timeline"] = [{"kind": "policy", "at_s": 0.3, "name": f"nearest-case:file={path}"}]
    with pytest.raises(InputError, match="num_class: is 1 in this case set") as caught:
        run(Scenario.from_dict(data))
    assert caught.value.where == str(path)


# ------------------------------------------------------------------------------------------------------------- policies


def test_nearest_case_copies_the_nearest_decision() -> None:
    scenario = make_scenario("time.num_slot=30")
    policy = NearestCase(start=5, grow=False)
    watched = Watched(policy)
    run(scenario, policy=watched, seed=1)
    teacher = make("p2-exact")
    teacher.reset(scenario.system(), 0)
    for snapshot, answer in zip(watched.seen[:5], watched.answers[:5], strict=True):
        assert_equal(answer, teacher.decide(snapshot))
    known = CaseSet(scenario.system(), policy.memory.cases)
    assert len(known) == 5
    for snapshot, answer in zip(watched.seen[5:], watched.answers[5:], strict=True):
        index = int(known.distances(snapshot).argmin())
        assert_equal(answer, watched.answers[index])


def test_mean_case_is_the_mean_of_ratios_and_shares() -> None:
    scenario = make_scenario("time.num_slot=20", "server.frequency_hz=90e9")
    policy = MeanCase(start=4, grow=False)
    watched = Watched(policy)
    run(scenario, policy=watched, seed=1)
    taught = watched.answers[:4]
    ratio = np.add.reduce([answer.offloading_ratio for answer in taught]) / 4
    share_hz = np.add.reduce([answer.compute_allocation_hz for answer in taught]) / 4
    assert (ratio > 0).any()
    for snapshot, answer in zip(watched.seen[4:], watched.answers[4:], strict=True):
        least_hz = np.where(ratio > 0, FLOOR * 90e9, 0.0)
        np.testing.assert_allclose(answer.offloading_ratio, ratio, rtol=1e-12)
        np.testing.assert_allclose(answer.compute_allocation_hz, np.maximum(share_hz, least_hz), rtol=1e-9)
        assert not project(snapshot.system, answer, snapshot.estimation_bias_hz)[1]


@pytest.mark.parametrize("name", ["nearest-case", "mean-case"])
@pytest.mark.parametrize(
    "settings",
    [
        ("twin.bias.cpu_frequency_hz={kind='random-walk', step_std='0.5 GHz'}",),
        ("model.mode=paper", "twin.bias.cpu_frequency_hz=5e9"),
    ],
)
def test_copies_fit_the_present_capacity(name: str, settings: tuple[str, ...]) -> None:
    """A bias that walks changes what the server holds: nothing that these policies decide has to be repaired."""
    result = run(make_scenario("time.num_slot=40", *settings), policy=f"{name}:start=4", seed=2)
    assert (result.summary["decisions_repaired"], result.summary["fallbacks"]) == (0, 0)


@pytest.mark.parametrize("name", ["nearest-case", "mean-case"])
@pytest.mark.parametrize(("scenario", "teacher"), [("corridor", "edge-equal"), ("llm6g", "layers-exact")])
def test_any_system_that_the_teacher_decides(name: str, scenario: str, teacher: str) -> None:
    small = Scenario.load(scenario, ["time.num_slot=12"])
    result = run(small, policy=f"{name}:start=3,teacher={teacher}", seed=1)
    assert (result.summary["decisions_repaired"], result.summary["fallbacks"]) == (0, 0)


@pytest.mark.parametrize("name", ["nearest-case", "mean-case"])
def test_a_run_by_cases_replays(tmp_path: Path, name: str) -> None:
    scenario = Scenario.load("dtecn-congested", ["time.num_slot=60"])
    result = run(scenario, policy=f"{name}:start=4,teacher=greedy-cost", seed=1, out=tmp_path / "run")
    found = verify(tmp_path / "run")
    assert found.difference is None
    assert found.result.summary["digest"] == result.summary["digest"]


# --------------------------------------------------------------------------------------------------- building from runs


def test_built_cases_are_those_of_the_run(tmp_path: Path) -> None:
    scenario = make_scenario("time.num_slot=40")
    cases = build(scenario, "greedy-cost", 3, 6, 4, tmp_path / "a.parquet", name="small")
    result = run(scenario, policy="greedy-cost", seed=3)
    objective = dict(zip(column(result, "slots", "slot"), column(result, "slots", "objective"), strict=True))
    predicted = column(result, "decisions", "objective_predicted")
    ratios = result.table("decisions")["offloading_ratio"].to_pylist()
    assert [case.snapshot.slot for case in cases] == [0, 4, 8, 12, 16, 20]
    for case in cases:
        slot = case.snapshot.slot
        assert case.realised == objective[slot]
        assert case.objective == pytest.approx(predicted[slot], rel=1e-12)
        assert case.decision.offloading_ratio.reshape(-1).tolist() == ratios[slot]
        assert case.origin == f"greedy-cost small seed=3 slot={slot}"
    assert open_cases(tmp_path / "a.parquet").rows.num_rows == 6


def test_slots_of_the_fallback_are_no_cases(tmp_path: Path) -> None:
    late = ("twin.decision.latency={kind='uniform', low_s=0, high_s=0.02}", "twin.decision.deadline_s=0.01")
    scenario = make_scenario("time.num_slot=40", *late)
    cases = build(scenario, "random", 3, 20, 2, tmp_path / "a.parquet")
    fallback = column(run(scenario, policy="random", seed=3), "decisions", "fallback")
    assert [case.snapshot.slot for case in cases] == [slot for slot in range(0, 40, 2) if not fallback[slot]]
    assert 0 < len(cases) < 20
    never = make_scenario("time.num_slot=10", "twin.decision.latency=0.02", "twin.decision.deadline_s=0.01")
    with pytest.raises(InputError, match="decided none of the slots"):
        build(never, "random", 3, 2, 2, tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"time.num_slot: 5 cases, one in 3 slots, need 13 of 10 slots"):
        build(never, "random", 3, 5, 3, tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


def test_tasks_in_flight_leave_the_outcome_unknown(tmp_path: Path) -> None:
    scenario = make_scenario("time.num_slot=6", "server.frequency_hz=1e9")
    cases: list[Case] = list(build(scenario, "edge-equal", 1, 6, 1, tmp_path / "a.parquet"))
    in_flight = column(run(scenario, policy="edge-equal", seed=1), "slots", "num_in_flight")
    assert [math.isnan(case.realised) for case in cases] == (in_flight > 0).tolist()
    assert math.isnan(cases[-1].realised)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("dtecn-congested", "--policy", "greedy-cost", "--seed", 2, "--count", 3, "--every", 2)
    done = twin("cases", "build", *arguments, "--out", "a.parquet", "--set", "vehicles.num_vehicle=4")
    line = "a.parquet: 3 cases of 4 vehicles, 3 task classes, 3 with a realised objective"
    assert (done.code, done.out, done.err) == (0, f"{line}\n", "")
    again = twin("cases", "build", *arguments, "--out", "b.parquet", "--set", "vehicles.num_vehicle=4", "--json").json()
    shown = twin("cases", "show", "a.parquet", "--json").json()
    assert again["digest"] == shown["digest"]
    assert (shown["num_case"], shown["num_vehicle"], shown["num_class"], shown["num_realised"]) == (3, 4, 3, 3)
    assert [case["slot"] for case in shown["cases"]] == [0, 2, 4]
    for case in shown["cases"]:
        assert 0 < case["used_share"] <= 1 + 1e-9
        assert (0 < case["num_offloaded"] <= 12, case["capacity_price"]) == (True, None)
    lines = twin("cases", "show", "a.parquet").out.splitlines()
    assert lines[0].strip() == line
    assert sum("greedy-cost dtecn-congested seed=2 slot=" in text for text in lines) == 3
    assert twin("check", "a.parquet").out.startswith("a.parquet: is a valid case set: 3 cases")
    policy = "nearest-case:file=a.parquet,start=3"
    summary = twin(
        "run", "dtecn-congested", "--set", "vehicles.num_vehicle=4", "--slots", 20, "--policy", policy, "--json"
    ).json()
    assert (summary["fallbacks"], summary["decisions"]) == (0, 20)


BAD: list[tuple[tuple[object, ...], str]] = [
    (("cases",), "COMMAND: is missing (accepted: build, show; see twin cases --help)"),
    (("cases", "build", "dtecn"), "--out: is missing"),
    (("cases", "build", "dtecn", "--out", "a.csv"), "a.csv: has another suffix (accepted: .parquet)"),
    (("cases", "build", "dtecn", "--out", "a.parquet", "--count", 0), "--count: '0' is wrong"),
    (("cases", "build", "llm6g", "--count", 2, "--out", "a.parquet"), "--policy: p2-exact: solves P2 of one server"),
    (
        ("cases", "build", "dtecn", "--out", "a.parquet", "--count", 999),
        "dtecn: time.num_slot: 999 cases, one in 5 slo",
    ),
    (("cases", "show", "a.parquet"), "a.parquet: there is no such file"),
    (("check", "a.parquet"), "a.parquet: there is no such file"),
    (("run", "dtecn", "--policy", "nearest-case:file=a.parquet"), "a.parquet: there is no such file"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_requests_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in twin(*arguments).complaint()
    assert not list(tmp_path.iterdir())
