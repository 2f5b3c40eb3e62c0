"""When the twin decides, how long that takes, and what vehicles do meanwhile: seen in the trace of real runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from physical.arrays import Ints
from sim import RunResult, run
from tests.support.observers import Spy
from tests.support.scenarios import QUANTUM_M, SLOT_NS, make_scenario
from tests.support.tables import by_slot, column
from twin.cloud import decision_latency_s
from twin.decision import Decision
from twin.params import DecisionTime
from twin.snapshot import TwinSnapshot

MS = 1_000_000
RECORD = "trace.messages=true"


def messages(result: RunResult, kind: str) -> list[dict[str, Any]]:
    """Return the messages of a kind, read from the files of the run."""
    assert result.directory is not None
    rows = pq.read_table(result.directory / "messages").to_pylist()
    return [row for row in rows if row["kind"] == kind]


def sent_ns(result: RunResult, kind: str) -> dict[int, int]:
    """Return when the messages of a kind were sent, by slot."""
    return {row["slot"]: row["sent_ns"] for row in messages(result, kind)}


def decided_ns(result: RunResult) -> Ints:
    """Return how long after the start of its slot each decision was made."""
    values: Ints = column(result, "decisions", "decided_ns") - SLOT_NS * column(result, "decisions", "slot")
    return values


def test_an_ideal_network_lets_the_twin_decide_at_the_slot_start() -> None:
    result = run(make_scenario(), policy="edge-equal")
    assert decided_ns(result).tolist() == [0] * 12
    assert column(result, "decisions", "latency_ns").tolist() == [0] * 12
    assert column(result, "decisions", "slot").tolist() == list(range(12))
    np.testing.assert_array_equal(column(result, "tasks", "started_ns"), column(result, "tasks", "generated_ns"))


def test_the_twin_decides_when_the_last_report_is_in(tmp_path: Path) -> None:
    jitter = ("network.access.jitter_s=0.015", "network.backhaul.latency_s=0.002", "twin.sync_window_s=0.05")
    result = run(make_scenario(RECORD, *jitter), policy="edge-equal", seed=3, out=tmp_path)
    rows = messages(result, "report")
    last = [max(row["delivered_ns"] for row in rows if row["slot"] == slot) for slot in range(12)]
    assert column(result, "decisions", "decided_ns").tolist() == last
    assert len({row["delivered_ns"] for row in rows}) == 36  # every report has its own way
    ages = by_slot(result, "twin", "age_of_information_s")
    np.testing.assert_allclose(ages, (np.array(last) - np.arange(12) * SLOT_NS)[:, np.newaxis] / 1e9 * np.ones(3))


def test_the_window_closes_on_late_and_on_lost_reports() -> None:
    late = run(make_scenario("network.backhaul.latency_s=0.03", "twin.sync_window_s=0.007"), policy="edge-equal")
    lost = run(make_scenario("network.backhaul.loss=1", "twin.sync_window_s=0.007"), policy="edge-equal")
    for result in (late, lost):
        assert decided_ns(result).tolist() == [7 * MS] * 12
    # Late reports are used one slot later; without any, the age counts from the registration.
    expected = 0.007 + 0.1 * np.minimum(np.arange(12), 1)
    np.testing.assert_allclose(by_slot(late, "twin", "age_of_information_s")[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(by_slot(lost, "twin", "age_of_information_s")[:, 0], 0.007 + 0.1 * np.arange(12))


@pytest.mark.parametrize("latency", ["latency_s=0.012", 'latency_s={kind="uniform", low_s=0.011, high_s=0.012}'])
def test_a_slot_without_expected_reports_is_not_waited_for(latency: str) -> None:
    """Vehicles report in even slots only; nothing is on its way in odd ones."""
    result = run(make_scenario("vehicles.report_interval=2", f"network.backhaul.{latency}"), policy="edge-equal")
    assert (decided_ns(result)[0::2] >= 11 * MS).all()
    assert decided_ns(result)[1::2].tolist() == [0] * 6


def test_a_fixed_latency_delays_the_command(tmp_path: Path) -> None:
    result = run(make_scenario(RECORD, "twin.decision.latency=0.013"), policy="edge-equal", out=tmp_path)
    assert column(result, "decisions", "latency_ns").tolist() == [13 * MS] * 12
    assert sent_ns(result, "command") == {slot: slot * SLOT_NS + 13 * MS for slot in range(12)}
    waited = column(result, "tasks", "started_ns") - column(result, "tasks", "generated_ns")
    assert set(waited.tolist()) == {13 * MS}


def test_a_distributed_latency_is_drawn_for_each_decision(tmp_path: Path) -> None:
    law = 'twin.decision.latency={kind="uniform", low_s=0.01, high_s=0.03}'
    result = run(make_scenario(RECORD, law, "time.num_slot=200"), policy="edge-equal", seed=5, out=tmp_path)
    latency = column(result, "decisions", "latency_ns")
    assert ((latency >= 10 * MS) & (latency <= 30 * MS)).all()
    assert len(set(latency.tolist())) == 200
    assert abs(latency.mean() / MS - 20) < 4 * 20 / np.sqrt(12 * 200)
    expected = {slot: slot * SLOT_NS + int(ns) for slot, ns in enumerate(latency)}
    assert sent_ns(result, "command") == expected


def test_latency_kinds() -> None:
    generator = np.random.default_rng(0)
    assert decision_latency_s(DecisionTime(), 5.0, generator) == 0.0
    assert decision_latency_s(DecisionTime(latency="measured"), 0.25, generator) == 0.25
    assert decision_latency_s(DecisionTime.model_validate({"latency": "30 ms"}), 0.25, generator) == 0.03


class Sleeper(Spy):
    """Takes its time, in reality."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        time.sleep(0.02 if snapshot.slot % 2 else 0.001)
        return super().decide(snapshot)


def test_measured_latency_is_the_wall_time_and_delays_the_command(tmp_path: Path) -> None:
    result = run(
        make_scenario(RECORD, "twin.decision.latency=measured", "time.num_slot=4"), policy=Sleeper(), out=tmp_path
    )
    latency = column(result, "decisions", "latency_ns")
    np.testing.assert_allclose(latency, column(result, "decisions", "policy_wall_s") * 1e9, atol=1)
    by = dict(zip(column(result, "decisions", "slot").tolist(), latency.tolist(), strict=True))
    assert all(ns >= (20 * MS if slot % 2 else MS) for slot, ns in by.items())
    decided = dict(zip(by, column(result, "decisions", "decided_ns").tolist(), strict=True))
    assert sent_ns(result, "command") == {slot: decided[slot] + ns for slot, ns in by.items()}


def test_the_deadline_brings_the_fallback_at_the_deadline(tmp_path: Path) -> None:
    settings = ("twin.decision.latency=0.03", "twin.decision.deadline_s=0.02", "policy.fallback=local-only")
    result = run(make_scenario(RECORD, *settings), policy=Spy(), out=tmp_path)
    assert column(result, "decisions", "latency_ns").tolist() == [20 * MS] * 12
    assert result.table("decisions").column("fallback").to_pylist() == [True] * 12
    assert sent_ns(result, "command") == {slot: slot * SLOT_NS + 20 * MS for slot in range(12)}
    assert set(column(result, "tasks", "offloading_ratio").tolist()) == {0.0}
    events = pq.read_table(tmp_path / "events").to_pylist()
    assert [(event["slot"], event["kind"]) for event in events] == [(slot, "fallback") for slot in range(12)]
    assert all("30 ms" in event["detail"] and "20 ms" in event["detail"] for event in events)
    assert result.summary["fallbacks"] == 12


def test_the_deadline_itself_is_still_in_time() -> None:
    settings = ("twin.decision.latency=0.02", "twin.decision.deadline_s=0.02")
    result = run(make_scenario(*settings), policy=Spy())
    assert result.summary["fallbacks"] == 0
    assert set(column(result, "tasks", "offloading_ratio").tolist()) == {1.0}


@pytest.mark.parametrize(
    ("latency_ms", "first"), [(100, [0, 1, 2]), (199, [0, 1, 3]), (200, [0, 2, 4]), (250, [0, 2, 5])]
)
def test_a_decision_that_takes_longer_than_a_slot_skips_to_the_newest(latency_ms: int, first: list[int]) -> None:
    """Back to back decisions: at each end the newest slot that has begun is next, its reports being in."""
    result = run(make_scenario(f"twin.decision.latency={latency_ms / 1e3}"), policy=Spy())
    slots, starts = [0], [0]
    while (end := starts[-1] + latency_ms * MS) < 12 * SLOT_NS:
        newest = end // SLOT_NS
        slots.append(newest if newest > slots[-1] else slots[-1] + 1)
        starts.append(max(end, slots[-1] * SLOT_NS))
    assert slots[:3] == first
    finished = [(s, t) for s, t in zip(slots, starts, strict=True) if t + latency_ms * MS < 12 * SLOT_NS]
    rows = result.table("decisions").to_pylist()
    assert [(row["slot"], row["decided_ns"]) for row in rows] == finished


def test_truth_is_that_of_the_decision_not_of_its_end() -> None:
    """A perfect twin makes no error when it decides, however long the decision takes."""
    settings = ("twin.decision.latency=0.15", "mobility.kind=straight", "time.num_slot=30")
    result = run(make_scenario(*settings), policy=Spy())
    np.testing.assert_allclose(column(result, "twin", "position_error_m"), 0.0, atol=QUANTUM_M)
    np.testing.assert_allclose(column(result, "twin", "channel_gain_error_db"), 0.0, atol=QUANTUM_M)


class Alternating(Spy):
    """Offloads a part that tells the slot: 1 / (2 + slot)."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decision = super().decide(snapshot)
        ratio = np.full_like(decision.offloading_ratio, 1.0 / (2 + snapshot.slot))
        return Decision(ratio, decision.compute_allocation_hz)


def started(missing: str, *settings: str) -> tuple[NDArray[np.float64], Ints]:
    """Return ratio and waiting time of the tasks, one per slot; commands take 70 ms and 20 ms of patience."""
    late = ("network.backhaul.latency_s=0.035", "twin.sync_window_s=0.04", "twin.command.patience_s=0.02")
    result = run(make_scenario(*late, f"twin.command.missing={missing}", *settings), policy=Alternating())
    ratio = column(result, "tasks", "offloading_ratio").reshape(12, 6)
    waited = (column(result, "tasks", "started_ns") - column(result, "tasks", "generated_ns")).reshape(12, 6)
    assert (ratio == ratio[:, :1]).all()
    assert (waited == waited[:, :1]).all()
    return ratio[:, 0], waited[:, 0]


def test_missing_command_previous() -> None:
    ratio, waited = started("previous")
    assert waited.tolist() == [20 * MS] * 12
    # Nothing has been commanded before slot 0: everything stays local.
    np.testing.assert_array_equal(ratio, [0.0, *(1.0 / (1 + slot) for slot in range(1, 12))])


def test_missing_command_local() -> None:
    ratio, waited = started("local")
    assert waited.tolist() == [20 * MS] * 12
    np.testing.assert_array_equal(ratio, 0.0)


def test_missing_command_wait() -> None:
    ratio, waited = started("wait")
    assert waited.tolist() == [70 * MS] * 12
    np.testing.assert_array_equal(ratio, 1.0 / (2 + np.arange(12)))


@pytest.mark.parametrize("missing", ["previous", "local", "wait"])
def test_a_command_within_patience_is_obeyed_when_it_arrives(missing: str) -> None:
    for patience in (0.07, 0.09):  # at the very end of patience the command still counts
        ratio, waited = started(missing, f"twin.command.patience_s={patience}")
        assert waited.tolist() == [70 * MS] * 12
        np.testing.assert_array_equal(ratio, 1.0 / (2 + np.arange(12)))


def test_a_waiting_vehicle_obeys_the_next_command_when_its_own_is_skipped() -> None:
    """Decisions take 2.5 slots: slots 0, 2, 5, 7, 10 are decided, and the others wait for the next of these."""
    settings = ("twin.decision.latency=0.25", "twin.command.missing=wait")
    result = run(make_scenario(*settings), policy=Alternating())
    ratio = column(result, "tasks", "offloading_ratio").reshape(12, 6)[:, 0]
    begin = column(result, "tasks", "started_ns").reshape(12, 6)[:, 0]
    commands = {0: 250, 2: 500, 5: 750, 7: 1000}  # slot: when its command arrives, ms
    for slot in range(8):
        obeyed = min(decided for decided in commands if decided >= slot)
        assert ratio[slot] == 1.0 / (2 + obeyed)
        assert begin[slot] == commands[obeyed] * MS
    assert (begin[8:] == -1).all()  # in flight at the end: the command for slot 10 comes after it
