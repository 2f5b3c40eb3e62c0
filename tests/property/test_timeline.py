"""What timed events do to a run: at the right moment, to those they concern, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.registry import EngineName
from physical.ticks import to_ns
from sim import RunResult, Scenario, run
from tests.support.town import NUM_SLOT, SLOT_NS, TOWN, Columns, columns

NODES = ["base-station", "west", "east"]


Town = Callable[..., RunResult]


@pytest.fixture
def town(engine: EngineName) -> Town:
    """Return what runs the town with some timed events on an engine."""

    def simulate(*events: dict[str, Any], settings: tuple[str, ...] = (), policy: str = "edge-equal") -> RunResult:
        scenario = Scenario.from_dict(TOWN | {"timeline": list(events)}, settings=settings)
        return run(scenario, policy=policy, seed=3, engine=engine)

    return simulate


def node_of(result: RunResult) -> NDArray[Any]:
    """Return the serving nodes, [slots, vehicles]."""
    return columns(result, "vehicles")["serving_node"].reshape(NUM_SLOT, -1)


def test_node_that_fails_inside_a_slot_stops_at_that_moment(town: Town) -> None:
    at_ns = to_ns(0.34)
    event = {"kind": "node-down", "at_s": 0.34, "node": "east"}
    forward = {rule: town(event, settings=(f"model.handover={rule}",)) for rule in ("forward", "finish", "drop")}
    usual = columns(town(), "tasks")
    hit = np.flatnonzero(node_of(town())[3] == "east")
    assert 0 < len(hit) < 8
    for rule, result in forward.items():
        tasks = columns(result, "tasks")
        mine = np.isin(tasks["vehicle"], hit)
        # What had been done by then stays done, and the others do not notice before the next slot.
        same = (usual["done_ns"] <= at_ns) | (~mine & (usual["done_ns"] < 4 * SLOT_NS))
        assert same.sum() > 50
        assert all((tasks[name][same] == usual[name][same]).all() for name in tasks), rule
        for stage in ("upload_end_ns", "arrived_ns", "service_begin_ns", "service_end_ns"):
            during = mine & (tasks[stage] > at_ns) & (tasks[stage] < 4 * SLOT_NS)
            assert not during.any(), (rule, stage)
        there = mine & (usual["arrived_ns"] <= at_ns) & (usual["service_end_ns"] > at_ns)
        assert there.any()
        dropped = tasks["outcome"] == "dropped: handover"
        if rule == "drop":
            assert (tasks["done_ns"][there] == at_ns).all()
            assert dropped[there].all()
        else:  # a node that is down cannot finish anything
            assert not dropped.any()
            assert (tasks["service_end_ns"][there] > 4 * SLOT_NS).all()
            assert (tasks["service_end_ns"][there] < 2**62).all()


def test_vehicles_leave_a_failed_node_at_the_next_slot_and_may_come_back(town: Town) -> None:
    events = [
        {"kind": "node-down", "at_s": 0.34, "node": "east"},
        {"kind": "node-up", "at_s": 0.75, "node": "east"},
        {"kind": "node-down", "at_s": 1.0, "node": "west"},
    ]
    usual, node = node_of(town()), node_of(town(*events))
    for slot in range(NUM_SLOT):
        down = ["east"] if 4 <= slot < 8 else ["west"] if slot >= 10 else []
        assert not set(node[slot]) & set(down)
        stays = ~np.isin(usual[slot], down)
        assert (node[slot][stays] == usual[slot][stays]).all()
    assert set(node[8]) == set(NODES)


@pytest.mark.parametrize("uplink", ["each", "in-turn", "sharing"])
@pytest.mark.parametrize("handover", ["forward", "finish", "drop"])
def test_a_node_may_fail_at_the_very_beginning(town: Town, handover: str, uplink: str) -> None:
    """Nobody is with it until it comes up; who had no other node sends nothing before."""
    events = [{"kind": "node-down", "at_s": 0, "node": node} for node in NODES]
    events += [{"kind": "node-up", "at_s": 0.3, "node": node} for node in NODES]
    result = town(*events, settings=(f"model.handover={handover}", f"radio.uplink={uplink}"))
    node, tasks = node_of(result), columns(result, "tasks")
    assert (node[:3] == None).all()  # noqa: E711 - of each element of the array
    assert (node[3:] == node_of(town())[3:]).all()
    sent = tasks["upload_end_ns"] < 2**62
    assert sent.any()
    assert (tasks["upload_end_ns"][sent] >= 3 * SLOT_NS).all()


def test_nobody_serves_when_all_nodes_are_down(town: Town) -> None:
    events = [{"kind": "node-down", "at_s": 0.5, "node": node} for node in NODES]
    events += [{"kind": "node-up", "at_s": 0.8, "node": node} for node in NODES]
    result = town(*events)
    node, tasks = node_of(result), columns(result, "tasks")
    assert (node[5:8] == None).all()  # noqa: E711 - of each element of the array
    assert (node[8:] != None).all()  # noqa: E711 - of each element of the array
    rate = columns(result, "vehicles")["uplink_rate_bps"].reshape(NUM_SLOT, -1)
    assert (rate[5:8] == 0).all()
    assert (rate[:5] > 0).all()
    during = (tasks["service_end_ns"] > 5 * SLOT_NS) & (tasks["service_end_ns"] < 8 * SLOT_NS)
    assert not during.any()
    assert result.table("events").num_rows == 6
    assert result.summary["tasks_generated"] == NUM_SLOT * 16


JITTER = (
    "network.access.jitter_s=0.004",
    "network.backhaul.jitter_s=0.006",
    "network.lan.jitter_s=0.002",
    "twin.sync_window_s=0.03",
)


@pytest.mark.parametrize("link", ["backhaul", "access"])
def test_link_is_lossy_between_its_slots(town: Town, link: str) -> None:
    """From 0.35 s to 0.7 s everything is lost on a link: it concerns what is sent in the slots 4 to 6."""
    events = [
        {"kind": "link", "at_s": 0.35, "link": link, "loss": 1.0},
        {"kind": "link", "at_s": 0.7, "link": link, "loss": 0.0},
    ]
    usual, result = town(settings=JITTER), town(*events, settings=JITTER)
    messages = columns(result, "messages")
    lost = messages["delivered_ns"] == 2**62
    over = np.isin(messages["kind"], ["report", "command"])
    inside = (messages["slot"] >= 4) & (messages["slot"] < 7)
    assert lost[over & inside].all()
    assert not lost[over & ~inside].any()
    if link == "access":
        assert not lost[~over].any()
    # Nothing else has changed: motion, channel, sizes; and the latency of what does not pass this link.
    assert result.table("vehicles").equals(usual.table("vehicles"))
    before, after = columns(usual, "tasks"), columns(result, "tasks")
    assert (before["size_bytes"] == after["size_bytes"]).all()
    kinds = {"backhaul": [], "access": ["server-report", "server-command"]}[link]
    theirs = columns(usual, "messages")
    for kind in kinds:
        took = [set(zip(*took_of(rows, kind), strict=True)) for rows in (messages, theirs)]
        assert took[0] == took[1]
        assert len(took[0]) == NUM_SLOT * len(NODES)
    if link == "backhaul":
        both = (before["arrived_ns"] < 2**62) & (after["arrived_ns"] < 2**62)
        took_ns = [(rows["arrived_ns"] - rows["upload_end_ns"])[both] for rows in (before, after)]
        assert both.sum() > 100
        assert np.abs(took_ns[0] - took_ns[1]).max() <= 1  # each is the difference of two rounded times


def took_of(rows: Columns, kind: str) -> tuple[list[int], list[int], list[int]]:
    mine = rows["kind"] == kind
    took_ns = (rows["delivered_ns"] - rows["sent_ns"])[mine]
    return rows["slot"][mine].tolist(), rows["vehicle"][mine].tolist(), took_ns.tolist()


def test_link_is_slow_from_its_slot_on(town: Town) -> None:
    event = {"kind": "link", "at_s": 0.35, "link": "backhaul", "latency_s": "20 ms"}
    messages = columns(town(event, settings=("twin.sync_window_s=0.05",)), "messages")
    took_ns = messages["delivered_ns"] - messages["sent_ns"]
    assert set(took_ns[messages["slot"] < 4]) == {0}
    assert set(took_ns[messages["slot"] >= 4]) == {20_000_000}


@pytest.mark.parametrize(("jump", "faster_hz"), [("-400 MHz", -4e8), ("400 MHz", 0.0)])
def test_bias_jumps_at_its_slot(town: Town, jump: str, faster_hz: float) -> None:
    """Servers that nobody waits for: a task is served in cycles / (allocation + bias), the jump known to nobody.

    A server that is handed out in equal parts, all of it, is at its limit: a positive bias makes it no faster.
    """
    event = {"kind": "bias", "at_s": 0.55, "cpu_frequency_hz": jump}
    result = town(event, settings=("twin.bias.known=false", "server.frequency_hz=40e9"))
    tasks, decisions = columns(result, "tasks"), columns(result, "decisions")
    allocation_hz = decisions["compute_allocation_hz"].reshape(NUM_SLOT, 8, 2)
    given_hz = allocation_hz[tasks["slot"], tasks["vehicle"], tasks["task_class"]]
    jump_hz = np.where(tasks["slot"] >= 6, faster_hz, 0.0)
    served = tasks["service_end_ns"] < (tasks["slot"] + 1) * SLOT_NS
    assert served.mean() > 0.9
    took_s = (tasks["service_end_ns"] - tasks["service_begin_ns"]) / 1e9
    expected_s = 3000 * tasks["size_bytes"] / (given_hz + jump_hz)
    assert np.abs(took_s - expected_s)[served].max() < 3e-9
    bias_hz = columns(result, "twin")["estimation_bias_hz"].reshape(NUM_SLOT, 8)
    assert (bias_hz == 0).all()  # what is not known is not believed either


def test_burst_enlarges_tasks_of_its_window_only(town: Town) -> None:
    burst = {"kind": "burst", "at_s": 0.2, "every_s": 0.6, "duration_s": 0.25, "size_factor": 2.5, "task": "b"}
    usual, burst_size = (
        columns(result, "tasks")["size_bytes"].reshape(NUM_SLOT, 8, 2) for result in (town(), town(burst))
    )
    factor = np.ones((NUM_SLOT, 1))
    factor[[2, 3, 4, 8, 9, 10]] = 2.5  # those that begin in [0.2, 0.45) and in [0.8, 1.05)
    assert (burst_size[..., 0] == usual[..., 0]).all()
    assert (burst_size[..., 1] == np.rint(usual[..., 1] * factor)).all()


def test_policies_take_turns(town: Town) -> None:
    """A thousand swaps: one every 2 ms, so that each slot belongs to the last one before it, or at its start."""
    swaps = [
        {"kind": "policy", "at_s": 0.1, "every_s": 0.2, "name": "edge-equal"},
        {"kind": "policy", "at_s": 0.2, "every_s": 0.2, "name": "local-only"},
        {"kind": "policy", "at_s": 1.0, "every_s": 0.0003, "name": "edge-equal"},
    ]
    result = town(*swaps, policy="local-only")
    offloads = columns(result, "decisions")["offloading_ratio"].max(axis=1) > 0
    assert offloads.tolist() == [slot % 2 == 1 for slot in range(10)] + [True, True, False, True]
    assert result.table("events").num_rows > 1300


def test_swapped_policy_draws_from_its_own_beginning(town: Town) -> None:
    """Random numbers of the other policy are those that it would have drawn first, and nothing else changes."""
    alone = columns(town(policy="random"), "decisions")["offloading_ratio"]
    swap = {"kind": "policy", "at_s": 0.5, "name": "random"}
    swapped = town(swap, policy="local-only")
    ratio = columns(swapped, "decisions")["offloading_ratio"]
    assert (ratio[:5] == 0).all()
    assert (ratio[5:] == alone[: NUM_SLOT - 5]).all()
    waiting = ["cpu_backlog_cycles", "uplink_backlog_bytes"]  # what policies cause
    vehicles, usual = (result.table("vehicles").drop_columns(waiting) for result in (swapped, town()))
    assert vehicles.equals(usual)


def test_every_happening_is_listed_once(town: Town) -> None:
    events: list[dict[str, Any]] = [
        {"kind": "node-down", "at_s": 0.25, "every_s": 0.3, "node": "east"},
        {"kind": "node-up", "at_s": 0.35, "every_s": 0.3, "until_s": 1.0, "node": "east"},
        {"kind": "link", "at_s": 0.25, "link": "lan", "loss": 0.5},
        {"kind": "link", "at_s": 0.25, "link": "backhaul", "jitter_s": 0.001},
        {"kind": "bias", "at_s": 0.0, "cpu_frequency_hz": 1e6},
        {"kind": "burst", "at_s": 1.3999, "duration_s": 1, "size_factor": 2},
        {"kind": "vehicle-leaves", "at_s": 0.5, "vehicle": 1},
        {"kind": "vehicle-enters", "at_s": 0.8, "vehicle": 1},
        {"kind": "policy", "at_s": 0.9, "name": "random"},
        {"kind": "policy", "at_s": 1.4, "name": "random"},  # the end is no part of the run
    ]
    result = town(*events)
    found = [tuple(row.values()) for row in result.table("events").to_pylist()]
    ms = 1_000_000
    expected = [(at * ms, "node-down", at // 100, "node east") for at in (250, 550, 850, 1150)]
    expected += [(at * ms, "node-up", at // 100, "node east") for at in (350, 650, 950)]
    expected += [
        (250 * ms, "link", 2, "link lan, loss 0.5"),
        (250 * ms, "link", 2, "link backhaul, jitter_s 0.001"),
        (0, "bias", 0, "cpu_frequency_hz 1000000.0"),
        (1_399_900_000, "burst", 13, "size_factor 2.0, duration_s 1.0"),
        (500 * ms, "vehicle-leaves", 5, "vehicle 1"),
        (800 * ms, "vehicle-enters", 8, "vehicle 1"),
        (900 * ms, "policy", 9, "name random"),
    ]
    assert sorted(found) == sorted(expected)
    assert [row[0] for row in found] == sorted(row[0] for row in found)
