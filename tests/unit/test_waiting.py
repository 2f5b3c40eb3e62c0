"""What waits: its true value follows from the tables of tasks, and the twin knows what was reported of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.errors import InputError
from sim import RunResult, Scenario, run
from tests.support.observers import Spy
from tests.support.scenarios import SLOT_NS, make_scenario
from tests.support.tables import column
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full  # whole runs; the quick loop has some in tests/smoke

NUM_SLOT, NUM_VEHICLE, NUM_CLASS = 40, 3, 2
CYCLES_PER_BYTE = np.array([2000.0, 3000.0])
# Times are recorded in whole nanoseconds: what that is at 2.5 GHz, and what it is of a few tasks' bytes.
ATOL_CYCLES, ATOL_BYTES = 20.0, 1e-3
# A server and CPUs that take longer than a slot for the tasks of a slot, an uplink that takes about one.
LOADED = (
    f"time.num_slot={NUM_SLOT}",
    "vehicles.cpu_hz=[0.4e9, 0.6e9, 0.5e9]",
    "vehicles.cpu=per-task",
    "radio.uplink=each",
    "radio.bandwidth_hz=4e5",
    "radio.fading=none",
    "server.frequency_hz=0.6e9",
    "server.discipline=slices",
)
WAITING = ("cpu_backlog_cycles", "uplink_backlog_bytes", "flow_backlog_cycles")


class Half(Spy):
    """Offloads half of every task, at equal shares of the server."""

    def decide(self, snapshot: TwinSnapshot) -> Any:
        decision = super().decide(snapshot)
        decision.offloading_ratio[:] = 0.5
        return decision


def watched(*settings: str, policy: Spy | None = None) -> tuple[RunResult, list[TwinSnapshot]]:
    """Run the loaded scenario; return what its policy saw, too."""
    spy = policy or Half()
    result = run(make_scenario(*LOADED, *settings), policy=spy, seed=2)
    return result, spy.seen


def seen(snapshots: list[TwinSnapshot], name: str) -> Floats:
    return np.stack([getattr(snapshot, name) for snapshot in snapshots])


def true(result: RunResult, name: str) -> Floats:
    return column(result, "vehicles", name).reshape(NUM_SLOT, NUM_VEHICLE)


def stages(result: RunResult) -> dict[str, NDArray[Any]]:
    """Return the columns of the table of tasks; a time that never came is beyond the end."""
    found = {name: column(result, "tasks", name) for name in result.table("tasks").column_names if name != "outcome"}
    return {
        name: np.where(values == -1, 2**62, values) if name.endswith("_ns") else values
        for name, values in found.items()
    }


def test_cpu_backlog_is_what_tasks_have_left_at_full_speed() -> None:
    """Every task has a CPU of its own: it has left what it takes from now to its end, or all of it."""
    result, _ = watched()
    tasks, hz = stages(result), np.array([0.4e9, 0.6e9, 0.5e9])
    # The last tasks have no recorded end: it follows from their size.
    need_ns = tasks["size_bytes"] * 0.5 * CYCLES_PER_BYTE[tasks["task_class"]] / hz[tasks["vehicle"]] * 1e9
    local_end_ns = np.minimum(tasks["local_end_ns"], np.rint(tasks["started_ns"] + need_ns))
    for slot in range(NUM_SLOT):
        now = slot * SLOT_NS
        runs = (tasks["started_ns"] <= now) & (local_end_ns > now) & (tasks["slot"] < slot)
        left = np.where(runs, (local_end_ns - now) / 1e9 * hz[tasks["vehicle"]], 0.0)
        expected = np.bincount(tasks["vehicle"], weights=left, minlength=NUM_VEHICLE)
        np.testing.assert_allclose(true(result, "cpu_backlog_cycles")[slot], expected, rtol=0, atol=ATOL_CYCLES)
    assert (true(result, "cpu_backlog_cycles")[1:] > 0).any(axis=0).all()


def test_uplink_backlog_is_what_uploads_have_left_at_their_rates() -> None:
    """Every upload has the whole rate, which changes from slot to slot: what is sent until its end is all it has."""
    result, _ = watched()
    tasks, rate_bps = stages(result), true(result, "uplink_rate_bps")
    edges_ns = np.arange(NUM_SLOT + 1) * SLOT_NS
    expected = np.zeros((NUM_SLOT, NUM_VEHICLE))
    sent = (tasks["upload_end_ns"] < 2**62) & (tasks["local_end_ns"] < 2**62)
    for row in np.flatnonzero(sent):
        vehicle, begin, end = tasks["vehicle"][row], tasks["local_end_ns"][row], tasks["upload_end_ns"][row]
        span_ns = np.clip(np.minimum(edges_ns[1:], end) - np.maximum(edges_ns[:-1], begin), 0, None)
        sent_bytes = span_ns / 1e9 * rate_bps[:, vehicle] / 8
        np.testing.assert_allclose(sent_bytes.sum(), tasks["size_bytes"][row] * 0.5, rtol=1e-6)
        for slot in range(NUM_SLOT):
            if begin <= edges_ns[slot] < end:
                expected[slot, vehicle] += sent_bytes[slot:].sum()
    first_open = tasks["slot"][~sent].min(initial=NUM_SLOT)
    assert first_open > NUM_SLOT // 2
    found = true(result, "uplink_backlog_bytes")[:first_open]
    np.testing.assert_allclose(found, expected[:first_open], rtol=0, atol=ATOL_BYTES)
    assert (found > 0).any(axis=0).all()


def test_flow_backlog_is_what_arrived_less_what_was_served() -> None:
    """Commands take effect when slots begin: the head of a flow has left what its speeds have not done since then."""
    result, snapshots = watched()
    tasks, found = stages(result), seen(snapshots, "flow_backlog_cycles")
    speed_hz = np.stack(column(result, "decisions", "compute_allocation_hz").tolist())
    flow = tasks["vehicle"] * NUM_CLASS + tasks["task_class"]
    work = tasks["size_bytes"] * 0.5 * CYCLES_PER_BYTE[tasks["task_class"]]
    edges_ns = np.arange(NUM_SLOT + 1) * SLOT_NS
    served_s = (
        np.clip(edges_ns[1:] - np.maximum(edges_ns[:-1], tasks["service_begin_ns"][:, np.newaxis]), 0, None) / 1e9
    )
    served_cycles = np.cumsum(served_s * speed_hz[:, flow].T, axis=1)
    for slot, snapshot in enumerate(snapshots):
        waits = (tasks["arrived_ns"] <= edges_ns[slot]) & (tasks["service_end_ns"] > edges_ns[slot])
        left = np.where(waits, work - (served_cycles[:, slot - 1] if slot else 0.0), 0.0)
        expected = np.bincount(flow, weights=left, minlength=NUM_VEHICLE * NUM_CLASS)
        np.testing.assert_allclose(found[slot].ravel(), expected, rtol=1e-6, atol=ATOL_CYCLES)
        by_class = snapshot.flow_backlog_cycles.sum(axis=0) / CYCLES_PER_BYTE
        np.testing.assert_allclose(by_class, snapshot.backlog_bytes, rtol=1e-9, atol=1e-6)
    assert (found[-1] > 0).all()
    recorded = result.table("decisions")["estimated_flow_backlog_cycles"].to_pylist()
    assert recorded == [cycles.ravel().tolist() if cycles.any() else [] for cycles in found]


def test_other_disciplines_tell_of_no_flow() -> None:
    result, snapshots = watched("server.discipline=fifo")
    assert not seen(snapshots, "flow_backlog_cycles").any()
    assert seen(snapshots, "backlog_bytes")[-1].all()
    assert {len(items) for items in result.table("decisions")["estimated_flow_backlog_cycles"].to_pylist()} == {0}


@pytest.mark.parametrize("estimator", ["hold", "predict"])
def test_the_twin_knows_the_last_report(estimator: str) -> None:
    """Reports of every fourth slot, 30 ms on their way: the twin decides with those of the slot before it hears."""
    settings = ("vehicles.report_interval=4", "network.backhaul.latency_s=0.03", f"twin.estimator={estimator}")
    result, snapshots = watched(*settings, "twin.sync_window_s=0.01")
    for name in WAITING[:2]:
        truth, believed = true(result, name), seen(snapshots, name)
        for slot in range(1, NUM_SLOT):
            reported = (slot - 1) // 4 * 4  # that of the slot itself is still on its way
            np.testing.assert_array_equal(believed[slot], truth[reported], err_msg=name)
        assert (truth[5::4] > 0).any()
        recorded = column(result, "twin", f"estimated_{name}").reshape(NUM_SLOT, NUM_VEHICLE)
        np.testing.assert_array_equal(recorded, believed)


def test_a_lost_report_leaves_the_one_before() -> None:
    """Every vehicle's backlog is that of the slot of its last delivered report, which its age tells."""
    result, snapshots = watched("network.access.loss=0.4", "twin.command.missing=local")
    age_slots = np.rint(seen(snapshots, "age_of_information_s") / 0.1).astype(int)
    heard = np.arange(NUM_SLOT)[:, np.newaxis] - age_slots
    assert (age_slots > 0).mean() > 0.2
    for name in WAITING[:2]:
        expected = np.take_along_axis(true(result, name), heard, axis=0)
        np.testing.assert_array_equal(seen(snapshots, name), expected, err_msg=name)


def test_servers_that_are_not_heard_have_nothing_waiting() -> None:
    _, snapshots = watched("network.lan.loss=1", "network.backhaul.loss=1", "twin.command.missing=previous")
    for name in (*WAITING, "backlog_bytes"):
        assert not seen(snapshots, name).any(), name


def test_biases_are_added_and_nothing_is_negative() -> None:
    """A policy that looks at nothing does the same in both runs: what is believed differs by the bias."""
    result, plain = watched("server.discipline=fifo")
    settings = ("cpu_backlog_cycles=-20e6", "uplink_backlog_bytes=1 kB", "server_backlog_bytes=-50 kB")
    biased_result, biased = watched("server.discipline=fifo", *(f"twin.bias.{setting}" for setting in settings))
    assert biased_result.table("tasks").equals(result.table("tasks"))
    for name, bias in (("cpu_backlog_cycles", -20e6), ("uplink_backlog_bytes", 1e3), ("backlog_bytes", -50e3)):
        expected = np.maximum(seen(plain, name) + bias, 0.0)
        np.testing.assert_array_equal(seen(biased, name), expected, err_msg=name)
        assert (expected > 0).any()
    assert (seen(biased, "backlog_bytes") == 0).any()


@pytest.mark.parametrize("bias", ["-50 kB", "20 kB"])
def test_flows_are_scaled_with_the_backlog_of_their_class(bias: str) -> None:
    _, snapshots = watched(f"twin.bias.server_backlog_bytes={bias}")
    by_flow = seen(snapshots, "flow_backlog_cycles")
    waits, by_class = by_flow.any(axis=1), by_flow.sum(axis=1) / CYCLES_PER_BYTE
    np.testing.assert_allclose(by_class[waits], seen(snapshots, "backlog_bytes")[waits], rtol=1e-9, atol=1e-6)
    assert 0 < waits.sum() < waits.size


def test_a_random_walk_of_the_servers_backlog_is_one_per_class() -> None:
    walk = 'twin.bias.server_backlog_bytes={kind="random-walk", start="1 MB", step_std="1 kB"}'
    _, snapshots = watched("server.discipline=fifo", walk)
    _, plain = watched("server.discipline=fifo")
    bias = seen(snapshots, "backlog_bytes") - seen(plain, "backlog_bytes")
    np.testing.assert_allclose(bias[0], 1e6)
    steps = np.diff(bias, axis=0)
    assert 300 < steps.std() < 3000
    assert (steps[:, 0] != steps[:, 1]).all()


def test_a_bias_of_the_server_has_no_vehicles() -> None:
    with pytest.raises(InputError, match="server_backlog_bytes"):
        make_scenario('twin.bias.server_backlog_bytes={kind="per-vehicle", values=[1, 2]}')


def test_the_digest_of_the_belief_covers_what_waits() -> None:
    plain, _ = watched()
    for name, value in (("cpu_backlog_cycles", "1"), ("uplink_backlog_bytes", "1 B")):
        other, _ = watched(f"twin.bias.{name}={value}")
        assert (column(other, "decisions", "belief_digest") != column(plain, "decisions", "belief_digest")).all(), name


def test_work_that_moves_with_its_vehicle_is_counted_once() -> None:
    """Vehicles pass RSUs whose servers are slow, all reports arrive at once: a flow has what of its tasks has arrived
    and is not served, at most all of it and more than nothing.
    """
    at_once = ("network.access.latency_s=0", "network.backhaul.latency_s=0", "network.backhaul.jitter_s=0")
    scenario = Scenario.load("corridor", ["time.num_slot=150", "server.frequency_hz=2e9", *at_once])
    spy = Spy()
    tasks, system = stages(run(scenario, policy=spy, seed=1)), scenario.system()
    assert (np.diff(seen(spy.seen, "serving_node"), axis=0) != 0).sum() > 20
    count, num_class = system.num_vehicle, system.num_class
    sizes = tasks["size_bytes"].reshape(-1, count, num_class)
    any_node = np.zeros(sizes.shape[:2], dtype=np.int64)  # their servers are alike
    work = system.work_cycles(sizes, any_node)[1].ravel()
    flow = tasks["vehicle"] * num_class + tasks["task_class"]
    for slot, snapshot in enumerate(spy.seen):
        waits = (tasks["arrived_ns"] <= slot * SLOT_NS) & (tasks["service_end_ns"] > slot * SLOT_NS)
        most = np.bincount(flow, weights=np.where(waits, work, 0.0), minlength=count * num_class)
        found = snapshot.flow_backlog_cycles.ravel()
        attached = np.repeat(snapshot.serving_node >= 0, num_class)
        assert (found <= most * (1 + 1e-9)).all(), slot
        assert ((found > 0) == ((most > 0) & attached)).all(), slot
    assert seen(spy.seen, "flow_backlog_cycles").any(axis=0).mean() > 0.5
