"""Runs replay bit for bit; a branch is the original up to a moment, and a counterfactual has the same inputs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from physical.errors import InputError
from physical.system import System
from physical.ticks import to_ns
from policies import make, registry
from sim import RunResult, Scenario, run
from sim.runs.replay import branch, counterfactual, verify
from sim.scenario.sources import names
from tests.support.command import twin
from traces.digest import TableDigest
from traces.reader import Trace
from traces.schema import TABLES
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full

INSTALLED = [spec.name for spec in registry._BUILT_IN if spec.installed]
NUM_SLOT = {"blackout": 60, "llm6g": 5}  # the RSU of `blackout` fails in slot 50; the others are eventless
TROUBLE = (
    "twin.sync_window_s=0.06",
    "network.access.jitter_s=0.03",
    "network.access.loss=0.1",
    'network.backhaul.latency_s={kind="exponential", mean_s=0.02}',
    "network.backhaul.loss=0.1",
    'twin.decision.latency={kind="lognormal", median_s=0.03, sigma=1.0}',
    "twin.decision.deadline_s=0.09",
)


def short(name: str, *settings: str) -> Scenario:
    return Scenario.load(name, [f"time.num_slot={NUM_SLOT.get(name, 12)}", "trace.messages=true", *settings])


@cache
def policies_for(name: str) -> list[str]:
    """Return the policies that do not refuse a scenario."""
    system, found = short(name).system(), []
    for policy in INSTALLED:
        try:
            make(policy).reset(system, 0)
        except InputError:
            continue
        found.append(policy)
    return found


def digests(result: RunResult) -> dict[str, str]:
    """Return the digest of every table."""
    return digests_of({name: result.table(name) for name in TABLES})


def digests_of(tables: dict[str, pa.Table]) -> dict[str, str]:
    found = {name: TableDigest(TABLES[name]) for name in tables}
    for name, digest in found.items():
        digest.add(tables[name])
    return {name: digest.hex() for name, digest in found.items()}


def assert_replays(directory: Path) -> None:
    """Replay a finished run, and compare its digest, too."""
    found = verify(directory)
    assert found.difference is None, str(found.difference)
    assert found.result.summary["digest"] == Trace(directory).manifest["digest"]
    assert found.result.status == "complete"


def test_there_are_policies_for_every_scenario() -> None:
    everywhere = {"local-only", "edge-equal", "random"}
    assert all(everywhere <= set(policies_for(name)) for name in names())
    assert set().union(*map(policies_for, names())) == set(INSTALLED)


@pytest.mark.parametrize(("name", "policy"), [(name, policy) for name in names() for policy in policies_for(name)])
def test_every_run_replays(tmp_path: Path, name: str, policy: str) -> None:
    result = run(short(name), policy=policy, seed=1, out=tmp_path / "run")
    assert result.summary["decisions"] == result.summary["slots"] > 0
    assert_replays(tmp_path / "run")


@pytest.mark.parametrize("name", ["dtecn-congested", "corridor", "blackout"])
def test_run_in_trouble_replays(tmp_path: Path, name: str) -> None:
    result = run(short(name, *TROUBLE), policy="random", seed=2, out=tmp_path / "run")
    assert result.summary["messages_lost"] > 0
    assert result.summary["fallbacks"] > 0
    assert len(np.unique(result.table("decisions")["latency_ns"])) > 3
    assert_replays(tmp_path / "run")


@pytest.mark.parametrize("name", ["dtecn", "llm6g", "corridor"])
def test_run_with_measured_latency_replays(tmp_path: Path, name: str) -> None:
    result = run(short(name, "twin.decision.latency=measured"), policy="random", seed=1, out=tmp_path / "run")
    assert (np.asarray(result.table("decisions")["latency_ns"]) > 0).all()
    assert_replays(tmp_path / "run")


class Sleepy:
    """Greedy, after a nap."""

    def __init__(self, nap_s: float) -> None:
        self._nap_s = nap_s
        self._awake = make("greedy-cost")

    def reset(self, system: System, seed: int) -> None:
        self._awake.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        time.sleep(self._nap_s)
        return self._awake.decide(snapshot)


def test_policy_slower_than_the_slot_pays_and_replays(tmp_path: Path) -> None:
    small = ("time.num_slot=7",)
    slow = run(short("dtecn", "twin.decision.latency=measured", *small), policy=Sleepy(0.15), out=tmp_path / "run")
    quick = run(short("dtecn", *small), policy=Sleepy(0.0))
    latency_ns = np.asarray(slow.table("decisions")["latency_ns"])
    assert (latency_ns >= to_ns(0.15)).all()
    assert slow.summary["decisions"] < quick.summary["decisions"] == 7
    assert slow.summary["delay_s_mean"] > 2 * quick.summary["delay_s_mean"]
    assert quick.summary["twin_age_s_mean"] == 0
    assert slow.summary["twin_age_s_mean"] > 0.005
    assert_replays(tmp_path / "run")


def stopped(out: Path, scenario: Scenario, num_slot: int, policy: str) -> RunResult:
    """Run until somebody presses Ctrl-C when so many slots are over."""

    def press(done: int) -> None:
        if done == num_slot:
            signal.raise_signal(signal.SIGINT)

    return run(scenario, policy=policy, seed=3, out=out, progress=press)


@pytest.mark.parametrize("name", ["dtecn-congested", "blackout", "llm6g"])
@pytest.mark.parametrize("trouble", [(), TROUBLE])
def test_interrupted_run_replays(tmp_path: Path, name: str, trouble: tuple[str, ...]) -> None:
    result = stopped(tmp_path / "run", short(name, *trouble), 3, "random")
    assert (result.status, result.summary["slots"]) == ("interrupted", 3)
    assert_replays(tmp_path / "run")
    done = twin("replay", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{tmp_path / 'run'}: is identical, 3 slots, digest ")


def with_swap(scenario: Scenario, at_s: float, policy: str) -> Scenario:
    """Return a scenario whose timeline swaps the policy, after everything else that it has."""
    data = scenario.model_dump(mode="json")
    data["timeline"] = [*data["timeline"], {"kind": "policy", "at_s": at_s, "name": policy}]
    return Scenario.from_dict(data)


def settled(result: RunResult, at_ns: int) -> dict[str, pa.Table]:
    """Return the rows of what had come to an end, been decided, or happened before a time."""
    tables = {name: result.table(name) for name in TABLES}
    tasks, decisions = tables["tasks"], tables["decisions"]
    ended = pc.fill_null(pc.less(tasks["done_ns"], at_ns), False)
    open_slots = pa.array(pc.unique(tasks.filter(pc.invert(ended))["slot"]))
    sent = pc.less(pc.add(decisions["decided_ns"], decisions["latency_ns"]), at_ns)
    begun = tables["vehicles"].filter(pc.less(pc.multiply(tables["vehicles"]["slot"], slot_ns(result)), at_ns))
    kept = {
        "tasks": tasks.filter(ended),
        "jobs": tables["jobs"].filter(ended) if tables["jobs"].num_rows else tables["jobs"],
        "decisions": decisions.filter(sent),
        "twin": tables["twin"].filter(pc.is_in(tables["twin"]["slot"], decisions.filter(sent)["slot"])),
        "vehicles": begun,
        "messages": tables["messages"].filter(pc.less(tables["messages"]["sent_ns"], at_ns)),
        "events": tables["events"].filter(pc.less(tables["events"]["time_ns"], at_ns)),
    }
    past = pc.less_equal(pc.multiply(pc.add(tables["slots"]["slot"], 1), slot_ns(result)), at_ns)
    closed = pc.and_(past, pc.invert(pc.is_in(tables["slots"]["slot"], open_slots)))
    return kept | {"slots": tables["slots"].filter(closed)}


def slot_ns(result: RunResult) -> int:
    assert result.directory is not None
    return to_ns(Trace(result.directory).manifest["scenario"]["time"]["slot_duration_s"])


BRANCHES = [
    ("dtecn", "local-only", "random", 0.5, ()),
    ("dtecn", "random", "p2-exact", 0.537, ()),
    ("dtecn-congested", "random", "greedy-cost", 0.6, TROUBLE),
    ("dtecn-congested", "greedy-latency", "random", 0.777, TROUBLE),
    ("corridor", "edge-equal", "random", 0.4, TROUBLE),
    ("blackout", "random", "edge-equal", 5.05, ()),
    ("llm6g", "edge-equal", "random", 20.0, ()),
    ("llm6g", "random", "rlor", 23.4, ()),
]


@pytest.mark.parametrize(("name", "first", "second", "at_s", "trouble"), BRANCHES)
def test_branch_is_the_original_before_and_a_swap_by_timeline_after(
    tmp_path: Path, name: str, first: str, second: str, at_s: float, trouble: tuple[str, ...]
) -> None:
    scenario, at_ns = short(name, *trouble), to_ns(at_s)
    original = run(scenario, policy=first, seed=4, out=tmp_path / "run")
    _, branched = branch(tmp_path / "run", at_s, second, tmp_path / "branch")
    before, after = settled(original, at_ns), settled(branched, at_ns)
    assert digests_of(before) == digests_of(after)
    assert before["tasks"].num_rows > 0
    assert before["decisions"].num_rows > 0
    assert branched.summary["digest"] != original.summary["digest"]
    swapped = run(with_swap(scenario, at_s, second), policy=first, seed=4)
    assert digests(branched) == digests(swapped)
    assert_replays(tmp_path / "branch")
    kept = Trace(tmp_path / "branch").manifest["branch"]
    assert kept == {"of": str(tmp_path / "run"), "at_s": at_s, "digest": original.summary["digest"]}


@pytest.mark.parametrize(("at_s", "first_slot"), [(0.0, 0), (0.3, 3), (0.3000001, 4), (0.35, 4), (0.4, 4)])
def test_branch_decides_from_its_time_on(tmp_path: Path, at_s: float, first_slot: int) -> None:
    run(short("dtecn"), policy="local-only", seed=1, out=tmp_path / "run")
    _, branched = branch(tmp_path / "run", at_s, "edge-equal")
    offloads = [max(ratio) > 0 for ratio in branched.table("decisions")["offloading_ratio"].to_pylist()]
    assert offloads == [slot >= first_slot for slot in range(12)]


def test_branch_keeps_earlier_swaps_and_drops_later_ones(tmp_path: Path) -> None:
    scenario = with_swap(with_swap(short("dtecn"), 0.2, "edge-equal"), 0.8, "random")
    data = scenario.model_dump(mode="json")
    data["timeline"].append({"kind": "policy", "at_s": 0.1, "every_s": 0.3, "name": "greedy-latency"})
    run(Scenario.from_dict(data), policy="local-only", seed=1, out=tmp_path / "run")
    _, branched = branch(tmp_path / "run", 0.5, "local-only", tmp_path / "branch")
    events = branched.table("events")
    assert list(zip(events["time_ns"].to_pylist(), events["detail"].to_pylist(), strict=True)) == [
        (100_000_000, "name greedy-latency"),
        (200_000_000, "name edge-equal"),
        (400_000_000, "name greedy-latency"),
        (500_000_000, "name local-only"),
    ]
    offloads = [max(ratio) > 0 for ratio in branched.table("decisions")["offloading_ratio"].to_pylist()]
    assert offloads == [False, *[True] * 4, *[False] * 7]
    assert_replays(tmp_path / "branch")


COUNTERFACTUALS = [
    ("dtecn", "local-only", "random", ()),
    ("dtecn-congested", "random", "p2-exact", TROUBLE),
    ("blackout", "edge-equal", "greedy-cost", ()),
    ("llm6g", "random", "rrlo", ()),
]


@pytest.mark.parametrize(("name", "first", "second", "trouble"), COUNTERFACTUALS)
def test_counterfactual_has_the_same_inputs(
    tmp_path: Path, name: str, first: str, second: str, trouble: tuple[str, ...]
) -> None:
    scenario = short(name, *trouble)
    original = run(scenario, policy=first, seed=5, out=tmp_path / "run")
    _, other = counterfactual(tmp_path / "run", second, tmp_path / "what-if")
    fresh = run(scenario, policy=second, seed=5)
    assert digests(other) == digests(fresh)
    effects = [column.name for column in TABLES["vehicles"].columns if column.effect]
    caused, given = (result.table("vehicles").drop_columns(effects) for result in (other, original))
    assert caused.equals(given)
    inputs = ["slot", "vehicle", "task_class", "size_bytes", "generated_ns"]
    assert other.table("tasks").select(inputs).equals(original.table("tasks").select(inputs))
    assert digests(other)["decisions"] != digests(original)["decisions"]
    manifest = Trace(tmp_path / "what-if").manifest
    assert (manifest["policy"], manifest["seed"]) == (second, 5)
    assert_replays(tmp_path / "what-if")


def test_counterfactual_ignores_swaps(tmp_path: Path) -> None:
    run(with_swap(short("dtecn"), 0.5, "edge-equal"), policy="local-only", seed=1, out=tmp_path / "run")
    assert_replays(tmp_path / "run")
    _, other = counterfactual(tmp_path / "run", "random")
    assert digests(other) == digests(run(short("dtecn"), policy="random", seed=1))


def test_counterfactual_of_an_interrupted_run_is_as_long(tmp_path: Path) -> None:
    stopped(tmp_path / "run", short("dtecn"), 5, "random")
    for arguments in (("replay",), ("branch", "--at", "0.2")):
        done = twin(arguments[0], tmp_path / "run", *arguments[1:], "--policy", "local-only", "--json")
        assert done.code == 0, done.err
        assert (done.json()["slots"], done.json()["status"]) == (5, "complete")
        assert done.json()["original"]["slots"] == 5


def test_commands_answer(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert twin("run", "dtecn", "--slots", 6, "--policy", "random", "--out", out).code == 0
    digest = Trace(out).manifest["digest"]
    done = twin("replay", out)
    assert (done.code, done.out) == (0, f"{out}: is identical, 6 slots, digest {digest}\n")
    found = twin("replay", out, "--json").json()
    assert (found["identical"], found["difference"], found["digest"]) == (True, None, digest)
    done = twin("branch", out, "--at", "0.25", "--policy", "local-only", "--out", tmp_path / "branch")
    assert done.code == 0
    assert "random, from 0.25 s local-only" in done.out
    assert json.loads((tmp_path / "branch" / "manifest.json").read_text("utf-8"))["branch"]["at_s"] == 0.25
    assert twin("replay", tmp_path / "branch").code == 0
    # From before the first decision on, all is the other policy's.
    whole = twin("branch", out, "--at", 0, "--policy", "local-only", "--json").json()
    other = twin("replay", out, "--policy", "local-only", "--json").json()
    assert {key: whole[key] for key in ("delay_s_mean", "energy_j_mean")} == {
        key: other[key] for key in ("delay_s_mean", "energy_j_mean")
    }


COMPLAINTS: list[tuple[Callable[[Path], tuple[object, ...]], str]] = [
    (lambda run: ("branch", run, "--at", 0.6, "--policy", "random"), "--at: 0.6 s is outside the run (accepted: from"),
    (lambda run: ("branch", run, "--at", -0.1, "--policy", "random"), "--at: -0.1 s is outside the run"),
    (lambda run: ("branch", run, "--at", "nan", "--policy", "random"), "--at: nan s is outside the run"),
    (lambda run: ("branch", run, "--at", 0.1, "--policy", "randm"), "did you mean random?"),
    (lambda run: ("branch", run, "--at", 0.1, "--policy", "rlor"), "--policy: rlor: "),
    (lambda run: ("replay", run, "--policy", "randm"), "did you mean random?"),
    (lambda run: ("replay", run, "--policy", "layers-exact"), "--policy: layers-exact: "),
    (lambda run: ("replay", run, "--policy", "random", "--out", run), "holds a run already"),
    (lambda run: ("replay", run, "--out", run / "new"), "--out: goes with --policy only"),
    (lambda run: ("replay", run / "no"), "is not a run: it has no manifest.json"),
]


@pytest.mark.parametrize(("arguments", "words"), COMPLAINTS)
def test_bad_requests_are_one_line(tmp_path: Path, arguments: Callable[[Path], tuple[object, ...]], words: str) -> None:
    run(short("dtecn", "time.num_slot=6"), policy="local-only", out=tmp_path / "run")
    before = sorted(path for path in tmp_path.rglob("*"))
    assert words in twin(*arguments(tmp_path / "run")).complaint()
    assert sorted(path for path in tmp_path.rglob("*")) == before
