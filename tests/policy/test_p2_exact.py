"""`p2-exact` against brute force, against its own certificate, and in every reading of the equations."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from physical.errors import InputError
from physical.system import System
from policies import make
from policies.feasible import project
from policies.llm.bundled.environments import RandomEnvironment
from policies.optimal.branch import solve
from policies.optimal.options import list_options
from policies.optimal.p2_exact import P2Exact
from policies.optimal.realise import realise
from policies.optimal.tasks import read_tasks
from tests.support.p2 import (
    READINGS,
    Oracle,
    check,
    identical,
    make_snapshot,
    make_system,
    random_decision,
    random_slot,
    run,
    score,
)
from twin.decision import Diagnostics
from twin.snapshot import TwinSnapshot

BIASES_HZ = (0.0, -2e8, 2e8)
GRID = np.linspace(0.0, 1.0, 9)


def reading_name(reading: dict[str, str]) -> str:
    return "-".join(reading.values())


def beaten_by(found: Diagnostics, value: float) -> float:
    return (found.objective - value) / max(abs(value), 1.0)


@pytest.mark.full
@pytest.mark.parametrize("reading", READINGS, ids=reading_name)
def test_brute_force_over_a_grid_never_wins(reading: dict[str, str]) -> None:
    """Three tasks, ratios in steps of 1/8, each in time or late, with exact allocations."""
    for case, (bias_hz, price) in enumerate(itertools.product(BIASES_HZ, (0.0, 1.0, 10.0))):
        rng = np.random.default_rng(100 + case)
        system = make_system(
            1,
            3,
            reading,
            weights={"deadline_price": price, "energy_weight": 0.1},
            server_hz=(1.5e9, 4e9, 10e9)[case % 3],
        )
        snapshot = make_snapshot(system, rng, bias_hz, backlog=(0.0, 0.2, 3.0)[case // 3])
        found = check(snapshot)
        least = Oracle(snapshot).search(GRID, deadlines=price > 0)
        assert beaten_by(found, least) <= 1e-9
        assert found.lower_bound <= least + 1e-9
        assert found.gap <= 1e-8


def few_tasks(reading: dict[str, str], num_vehicle: int, seed: int) -> TwinSnapshot:
    """Draw a slot of one or two tasks in which, as often as not, a ratio strictly between 0 and 1 is best."""
    rng = np.random.default_rng([seed, num_vehicle])
    weights = {
        "deadline_price": float(rng.choice([0.0, 3.0, 10.0])),
        "energy_weight": float(rng.choice([0.01, 1.0, 30.0])),
        "beta": 1.0,
    }
    server_hz = float(rng.choice([1e9, 3e9, 10e9])) * num_vehicle
    cpu_hz = (float(rng.choice([0.7e9, 2.5e9])),)
    system = make_system(num_vehicle, 1, reading, weights=weights, server_hz=server_hz, cpu_hz=cpu_hz, kappa=(1e-27,))
    rate_bps, backlog = 10 ** rng.uniform(6.0, 8.0), float(rng.choice([0.0, 0.1, 3.0]))
    return make_snapshot(system, rng, float(rng.choice([0.0, -5e7, 5e7])), backlog, rate_bps)


def chosen_kinds(snapshot: TwinSnapshot) -> set[str]:
    """Return the options that the optimum consists of, bindA, bindB and bindC told apart."""
    tasks = read_tasks(snapshot)
    options = list_options(tasks)
    choice = solve(tasks, options, 1e-9, 400).candidate.choice
    names = set()
    for task, option in enumerate(choice):
        name = options.kinds[option].name
        if name == "BIND":
            name += "C" if options.concave[option, task] else "A" if tasks.idle_late[task] else "B"
        names.add(name)
    return names


@pytest.mark.full
@pytest.mark.parametrize("num_vehicle", [1, 2])
@pytest.mark.parametrize("order", ["sequential", "parallel"])
def test_brute_force_over_a_fine_grid_never_wins(order: str, num_vehicle: int) -> None:
    """Ratios in steps of 1/400 or 1/40: what a missing or wrong option costs is far more than the grid misses."""
    readings = [reading for reading in READINGS if reading["order"] == order]
    seen: set[str] = set()
    for seed in range(300 if num_vehicle == 1 else 12):
        snapshot = few_tasks(readings[seed % len(readings)], num_vehicle, seed)
        found = check(snapshot)
        deadlines = snapshot.system.objective.deadline_price > 0
        levels = np.linspace(0.0, 1.0, 401 if num_vehicle == 1 else 41)
        assert beaten_by(found, Oracle(snapshot).search(levels, deadlines)) <= 1e-9
        assert found.gap <= 1e-8
        seen |= chosen_kinds(snapshot)
    if num_vehicle == 1:
        needed = {"BINDA", "BINDB"} if order == "sequential" else {"BALANCED", "BALANCED_LATE", "EDGE_AT_DEADLINE"}
        assert seen >= {"IDLE", "FULL", "FULL_LATE"} | needed


@pytest.mark.full
@pytest.mark.parametrize("order", ["sequential", "parallel"])
def test_brute_force_over_all_offloading_sets_never_wins(order: str) -> None:
    """N K = 12, all 4 096 sets; with deadlines N K = 8, all 6 561 sets of idle, late and in time."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        soft = make_system(4, 3, {"order": order}, weights={"deadline_price": 0.0}, server_hz=(8e9, 24e9, 60e9)[seed])
        snapshot = make_snapshot(soft, rng, backlog=0.5)
        least = Oracle(snapshot).search(np.array([0.0, 1.0]), deadlines=False)
        found = check(snapshot)
        assert beaten_by(found, least) <= 1e-9
        if order == "sequential":  # then ratios 0 and 1 are all that an optimum needs
            assert beaten_by(found, least) >= -1e-9
        priced = make_system(4, 2, {"order": order}, weights={"deadline_price": 2.0}, server_hz=(8e9, 24e9, 60e9)[seed])
        snapshot = make_snapshot(priced, rng, backlog=0.5)
        least = Oracle(snapshot).search(np.array([0.0, 1.0]), deadlines=True)
        assert beaten_by(check(snapshot), least) <= 1e-9


def certify(seeds: range) -> float:
    """Check slots and the bound against random decisions; return the share of gaps above 1e-6."""
    large = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 7])
        snapshot = random_slot(rng)
        found = check(snapshot)
        large += found.gap > 1e-6
        for _ in range(8):
            other = random_decision(snapshot, rng)
            assert not project(snapshot.system, other, snapshot.estimation_bias_hz)[1]
            value = float(score(snapshot, other.offloading_ratio, other.compute_allocation_hz))
            assert found.lower_bound <= value
            assert found.objective <= value + 1e-9 * max(abs(value), 1.0) + found.gap * max(abs(found.objective), 1.0)
    return large / len(seeds)


def test_certificates_of_random_slots() -> None:
    assert certify(range(10_000, 10_120)) <= 0.01


@pytest.mark.full
def test_certificates_of_more_random_slots() -> None:
    assert certify(range(500)) <= 0.01


def test_rounding_does_not_drop_the_options_of_the_optimum() -> None:
    """Here the reduced cost of one of them is an ulp more than all there is to gain: its task lost all its options."""
    *_, snapshot = islice(RandomEnvironment((1, 18008)), 12)
    tasks = read_tasks(snapshot)
    found = solve(tasks, list_options(tasks), 1e-9, 100)
    assert found.candidate.value - found.bound <= 1e-9


def test_bound_and_value_agree_before_rounding_is_hidden() -> None:
    """The solver's own value is what `slot_step` finds: no promised deadline is missed; and its bound is below."""
    for seed in range(120):
        snapshot = random_slot(np.random.default_rng([seed, 8]))
        tasks = read_tasks(snapshot)
        options = list_options(tasks)
        solution = solve(tasks, options, 1e-9, 400)
        _, outcome, _ = realise(snapshot, tasks, options, solution.candidate)
        value = solution.candidate.value + tasks.constant
        scale = 1.0 + abs(value) + float(tasks.local_cost.sum() + tasks.backlog_cost.sum())
        assert float(outcome.objective) == pytest.approx(value, abs=1e-10 * scale)
        assert solution.bound + tasks.constant <= float(outcome.objective) + 1e-11 * scale


@pytest.mark.parametrize(
    "text",
    [
        "p2-exact:margin=1",
        "p2-exact:margin=-0.1",
        "p2-exact:tolerance=0",
        "p2-exact:max-node=-1",
        "p2-slsqp:method=newton",
        "p2-slsqp:smoothing=0",
        "p2-slsqp:max-iteration=0",
        "p2-slsqp:margin=nan",
    ],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=text.partition("=")[2].replace("-0.1", "0.1")):
        make(text)


@pytest.mark.parametrize("name", ["local-only", "edge-equal", "random", "greedy-latency", "greedy-cost"])
def test_no_baseline_is_better(name: str) -> None:
    for seed in range(6):
        system = make_system(6, weights={"deadline_price": float(seed % 3)}, server_hz=(10e9, 36e9)[seed % 2])
        snapshot = make_snapshot(system, np.random.default_rng(seed))
        baseline = make(name)
        baseline.reset(system, seed)
        other = baseline.decide(snapshot)
        assert check(snapshot).objective <= score(snapshot, other.offloading_ratio, other.compute_allocation_hz) + 1e-9


def test_same_snapshot_same_decision() -> None:
    """Whatever was decided before: a replay or a branch must repeat it to the bit."""
    system = make_system(8)
    first, second = (make_snapshot(system, np.random.default_rng(seed)) for seed in (1, 2))
    policy = P2Exact()
    policy.reset(system, 0)
    policy.decide(second)
    again, fresh = policy.decide(first), run(first)[0]
    np.testing.assert_array_equal(again.offloading_ratio, fresh.offloading_ratio)
    np.testing.assert_array_equal(again.compute_allocation_hz, fresh.compute_allocation_hz)


def test_slow_uplinks_leave_everything_at_home() -> None:
    system = make_system(4, weights={"deadline_price": 1.0})
    snapshot = make_snapshot(system, np.random.default_rng(3), backlog=0.0, rate_bps=100.0)
    decision, found = run(snapshot)
    assert not decision.offloading_ratio.any()
    assert found.objective == score(snapshot, np.zeros((4, 3)), np.zeros((4, 3)))
    assert found.gap <= 1e-12


def test_hopeless_deadlines_cost_their_price_and_keep_the_soft_cost() -> None:
    """Vehicles are slow and uplinks slower: all tasks are late, and the decision is that of P_m = 0."""
    hard, soft = (
        make_system(3, cpu_hz=(0.2e9,), kappa=(1e-27,), weights={"deadline_price": price}) for price in (10.0, 0.0)
    )
    snapshot = make_snapshot(hard, np.random.default_rng(4), rate_bps=1e5)
    assert check(snapshot).objective == pytest.approx(check(replace(snapshot, system=soft)).objective + 10.0, rel=1e-9)


def test_jointly_infeasible_deadlines_choose_their_misses() -> None:
    """More price never means more misses."""
    misses = []
    for price in (0.0, 1.0, 100.0):
        system = make_system(5, weights={"deadline_price": price}, server_hz=6e9)
        snapshot = make_snapshot(system, np.random.default_rng(5))
        decision, found = run(snapshot)
        free = replace(
            snapshot, system=replace(system, objective=system.objective.model_copy(update={"deadline_price": 0}))
        )
        unpriced = float(score(free, decision.offloading_ratio, decision.compute_allocation_hz))
        misses.append((found.objective - unpriced) / price if price else 1.0)
    assert misses[0] > misses[1] >= misses[2] > 0


def test_identical_tasks_at_a_large_price_stop_at_the_node_cap() -> None:
    """A knapsack: what the search leaves open is reported, and the bound stays valid."""
    system = make_system(8, cpu_hz=(1.5e9,), kappa=(1e-27,), weights={"deadline_price": 50.0}, server_hz=9e9)
    snapshot = identical(make_snapshot(system, np.random.default_rng(6), rate_bps=4e7))
    gaps = [check(snapshot, max_node=count).gap for count in (0, 10, 100)]
    assert gaps[0] > 1e-6
    assert gaps[0] >= gaps[1] >= gaps[2]


@pytest.mark.parametrize("zero", ["qos_weight", "energy_weight", "beta", "deadline_price", "all"])
def test_weights_of_zero(zero: str) -> None:
    names = ["qos_weight", "energy_weight", "beta", "deadline_price"] if zero == "all" else [zero]
    system = make_system(3, weights=dict.fromkeys(names, 0.0))
    for bias_hz in BIASES_HZ:
        assert check(make_snapshot(system, np.random.default_rng(7), bias_hz)).gap <= 1e-8


@pytest.mark.parametrize("num_class", [1, 2])
def test_one_vehicle(num_class: int) -> None:
    for seed in range(10):
        snapshot = make_snapshot(make_system(1, num_class), np.random.default_rng(seed), backlog=0.5)
        assert check(snapshot).gap <= 1e-8


def test_biases_that_use_up_the_server_leave_everything_at_home() -> None:
    system = make_system(2, 2, {"capacity": "alloc"}, server_hz=1e9)
    snapshot = make_snapshot(system, np.random.default_rng(8), bias_hz=3e8)
    decision, _ = run(snapshot)
    check(snapshot)
    assert not decision.offloading_ratio.any()
    assert not decision.compute_allocation_hz.any()


def _biased(system: System, snapshot: TwinSnapshot, margin: float, bias_hz: float) -> tuple[Diagnostics, int]:
    """Return what a margin costs, and the misses if the true bias is not the known one."""
    decision, found = run(snapshot, margin=margin)
    truth = replace(snapshot, estimation_bias_hz=np.full(snapshot.size_bytes.shape, bias_hz))
    free = replace(system, objective=system.objective.model_copy(update={"deadline_price": 0.0}))
    ratio, allocation_hz = decision.offloading_ratio, decision.compute_allocation_hz
    missed = score(truth, ratio, allocation_hz) - score(replace(truth, system=free), ratio, allocation_hz)
    return found, round(float(missed) * snapshot.size_bytes.size / system.objective.deadline_price)


def test_a_margin_keeps_deadlines_under_an_unknown_bias() -> None:
    """It costs a little, the bound is that of P2 itself, and fewer tasks are late when the servers are slower."""
    late = np.zeros(2)
    for seed in range(5):
        system = make_system(6, weights={"deadline_price": 10.0})
        snapshot = make_snapshot(system, np.random.default_rng(seed))
        plain, late_plain = _biased(system, snapshot, 0.0, -1e8)
        safe, late_safe = _biased(system, snapshot, 0.15, -1e8)
        late += late_plain, late_safe
        assert safe.objective >= plain.objective - 1e-9
        assert safe.lower_bound <= plain.objective
        assert safe.gap >= plain.gap
    assert late[1] < 0.5 * late[0]
