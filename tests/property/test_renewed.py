"""A highway with open ends: who reaches an end leaves for good, another vehicle enters, and nobody jumps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim import RunResult, Scenario, run
from sim.inputs.blocks import Inputs, motion_of
from sim.inputs.streams import Streams
from tests.support.town import check_books, columns

SLOT_S = 0.1
QUANTUM_M = 1e-3  # of positions in single precision, on roads of a few kilometres
FAST = ("mobility.speed_mps=[60, 110]", "time.num_slot=150")  # so that everybody leaves during the run


def road(*more: str, num_vehicle: int = 10) -> Scenario:
    return Scenario.load("dtecn-congested", ["mobility.ends=renew", f"vehicles.num_vehicle={num_vehicle}", *more])


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_every_place_is_taken_by_one_after_the_other(seed: int) -> None:
    """Followed slot by slot: a place has one vehicle, which moves on by its speed, until its lane ends."""
    dice = np.random.default_rng(seed)
    num_place, num_slot = int(dice.integers(1, 7)), int(dice.integers(1, 400))
    length_m, high = float(dice.choice([150.0, 900.0])), float(dice.choice([0.0, 15.0, 60.0]))
    scenario = road(
        f"time.num_slot={num_slot}",
        f"mobility.length_m={length_m}",
        f"mobility.speed_mps=[{high * float(dice.choice([0.0, 0.9]))}, {high}]",
        num_vehicle=num_place,
    )
    assert scenario.num_vehicle == num_place * (1 + math.ceil(num_slot * SLOT_S * high / length_m))
    course = motion_of(scenario.resolve(), Streams(seed)).course(0, num_slot)
    assert course.present is not None
    there, x_m, y_m = course.present, course.position_m[..., 0], course.position_m[..., 1]
    assert (np.abs(x_m[there]) <= 0.5 * length_m + QUANTUM_M).all()
    for place in range(num_place):
        mine = there[:, place::num_place]
        assert (mine.sum(axis=1) == 1).all()
        who = np.argmax(mine, axis=1) * num_place + place
        assert who[0] == place
        step = np.diff(who)
        assert set(step.tolist()) <= {0, num_place}
        at_m, speed_mps = x_m[np.arange(num_slot), who], course.speed_mps[np.arange(num_slot), who]
        direction = np.where(np.cos(course.heading_rad[0, who]) > 0, 1.0, -1.0)
        assert (direction == direction[0]).all()
        assert (y_m[np.arange(num_slot), who] == y_m[0, place]).all()
        stays = step == 0
        moved_m = np.diff(direction * at_m)
        assert moved_m[stays] == pytest.approx((speed_mps[:-1] * SLOT_S)[stays], abs=QUANTUM_M)
        # Who follows has entered when the other one left: together they have gone on without a gap.
        left_m = 0.5 * length_m - (direction * at_m)[:-1][~stays]
        entered_m = 0.5 * length_m + (direction * at_m)[1:][~stays]
        elapsed_s = left_m / speed_mps[:-1][~stays] + entered_m / speed_mps[1:][~stays]
        assert elapsed_s == pytest.approx(np.full(len(elapsed_s), SLOT_S), abs=1e-3)


def test_who_enters_is_another_vehicle() -> None:
    """Speeds, channels and tasks are its own: none of them repeats that of the vehicle before."""
    scenario = road("mobility.length_m=200", *FAST)
    block = Inputs(scenario.resolve(), Streams(4)).block(0, 150)
    there = block.serving_node >= 0
    assert (there.sum(axis=1) == 10).all()
    seen = [n for n in range(scenario.num_vehicle) if there[:, n].any()]
    assert len(seen) > 40
    first = [int(np.flatnonzero(there[:, n])[0]) for n in seen]
    for values in (block.speed_mps, block.channel_gain, block.size_bytes[..., 0]):
        assert len({float(values[slot, n]) for slot, n in zip(first, seen, strict=True)}) > 0.95 * len(seen)
    assert (block.size_bytes[~there] == 0).all()
    assert (block.size_bytes[there] > 0).all()


def of_vehicle(table: dict[str, NDArray[Any]], vehicle: int) -> dict[str, NDArray[Any]]:
    return {name: values[table["vehicle"] == vehicle] for name, values in table.items()}


@pytest.mark.parametrize("name", ["corridor", "blackout"])
def test_nobody_jumps_and_handovers_are_between_nodes_in_reach(name: str) -> None:
    """From the recorded vehicles: 2.4 km from one end to the other are no step, and no handover."""
    scenario = Scenario.load(name, ["radio.range_m=700", *FAST])
    vehicles = columns(run(scenario, policy="local-only", seed=2), "vehicles")
    node_m = {node.name: np.array(node.position_m) for node in scenario.nodes}
    num_handover = num_gone = 0
    for vehicle in np.unique(vehicles["vehicle"]).tolist():
        rows = of_vehicle(vehicles, vehicle)
        follows = np.diff(rows["slot"]) == 1
        assert follows.all()  # who has left does not come back
        moved_m = np.hypot(np.diff(rows["x_m"]), np.diff(rows["y_m"]))
        assert (moved_m <= rows["speed_mps"][:-1] * SLOT_S + QUANTUM_M).all()
        num_gone += int(rows["slot"][-1] < scenario.time.num_slot - 1)
        nodes = [str(node) for node in rows["serving_node"]]
        for slot in np.flatnonzero([a != b for a, b in pairwise(nodes)]).tolist():
            for node, row in ((nodes[slot], slot), (nodes[slot + 1], slot + 1)):
                if node in node_m:
                    at_m = np.array([rows["x_m"][row], rows["y_m"][row]])
                    assert np.hypot(*(at_m - node_m[node])) <= 700
            num_handover += 1
    assert num_gone >= 10
    assert num_handover > 10
    per_slot = np.bincount(vehicles["slot"])
    leaves = [event for event in scenario.timeline if event.kind == "vehicle-leaves"]
    assert set(per_slot.tolist()) <= {scenario.vehicles.num_vehicle, (scenario.vehicles.num_vehicle or 0) - len(leaves)}


def test_work_of_a_leaver_is_dropped() -> None:
    """A server and CPUs that are too slow: everybody who leaves has tasks under way, and none ends afterwards."""
    scenario = road("mobility.length_m=300", 'server.frequency_hz="4 GHz"', "vehicles.cpu=sharing", *FAST)
    result = run(scenario, policy="random", seed=1)
    check_books(result, scenario)
    tasks, vehicles = columns(result, "tasks"), columns(result, "vehicles")
    num_left = 0
    for vehicle in np.unique(vehicles["vehicle"]).tolist():
        gone = int(of_vehicle(vehicles, vehicle)["slot"][-1]) + 1
        mine = of_vehicle(tasks, vehicle)
        if gone == scenario.time.num_slot:
            continue
        left = mine["outcome"] == "dropped: vehicle left"
        assert left.any()
        assert (mine["done_ns"][left] == gone * 100_000_000).all()
        assert (mine["done_ns"][~left] <= gone * 100_000_000).all()
        assert not (mine["outcome"] == "in flight").any()
        num_left += 1
    assert num_left > 20


def recorded(num_slot: int, seed: int) -> RunResult:
    more = (f"time.num_slot={num_slot}", "mobility.speed_mps=[40, 70]", "network.access.jitter_s=0.002")
    return run(Scenario.load("corridor", more), policy="greedy-cost", seed=seed)


def test_more_slots_do_not_change_the_beginning() -> None:
    """More vehicles exist in a longer run; those of the shorter one, and their tasks, are the same."""
    short, long = (recorded(num_slot, seed=3) for num_slot in (60, 160))
    for name in ("vehicles", "tasks"):
        rows, more = columns(short, name), columns(long, name)
        beginning = more["slot"] < 60
        assert len(rows["slot"]) == int(beginning.sum())
        ended = rows["done_ns"] < 60 * 100_000_000 if name == "tasks" else np.ones(len(rows["slot"]), dtype=bool)
        assert ended.mean() > 0.9
        for column, values in rows.items():
            assert (values[ended] == more[column][beginning][ended]).all(), (name, column)


def test_units_and_shares_are_of_who_is_there() -> None:
    """Ten share 80 MHz whatever the run's length, and Q0 is what ten make in a slot."""
    short, long = (road("mobility.length_m=200", f"time.num_slot={n}").system() for n in (10, 1000))
    usual = Scenario.load("dtecn-congested").system()
    assert short.num_vehicle < long.num_vehicle
    for system in (short, long):
        assert (system.bandwidth_hz == 8e6).all()
        assert system.noise_w == usual.noise_w
        assert system.backlog_unit_bytes == usual.backlog_unit_bytes


def test_one_node_knows_who_is_there() -> None:
    """A base station that all can reach: only who is there has tasks in the twin's belief and a share."""
    scenario = road("mobility.length_m=200", "network.access.latency_s=0.02", "vehicles.report_interval=3", *FAST)
    result = run(scenario, policy="edge-equal", seed=0)
    check_books(result, scenario)
    given = np.stack(columns(result, "decisions")["compute_allocation_hz"].tolist())
    num_served = (given.reshape(150, scenario.num_vehicle, 3) > 0).any(axis=-1).sum(axis=1)
    # Who enters is known with its first report, up to three slots later; who leaves is reported at once.
    assert num_served.max() <= 10
    assert 8 < num_served.mean() < 10
