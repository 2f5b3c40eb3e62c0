"""`twin bench heldout`: compares decisions of the bundled model with controls, in environments not used in training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from physical.arrays import Floats
from policies.baselines import EdgeEqual
from policies.cases.case import Case
from policies.cases.selection import nearest
from policies.llm.bundled.engine import BundledEngine
from policies.llm.bundled.environments import GROUPS, TRAINING, Group, RandomEnvironment, outside, solved_cases
from policies.llm.bundled.manifest import check_manifest
from policies.llm.guard import Guard
from policies.llm.models import resolve
from policies.optimal.p2_exact import P2Exact
from policies.scoring import fit
from sim.bench.report import Report
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

NUM_ENVIRONMENT = 200
NUM_CASE = 8
_NUM_QUERY = 4
_SEED = 20_261_122
_NUM_RESAMPLE = 2_000
_REFERENCE = "p2-exact"
_METHODS = (
    _REFERENCE,
    "llm",
    "llm, guarded",
    "llm, zero cases",
    "llm, shuffled cases",
    "nearest-case",
    "mean-case",
    "edge-equal",
)


@dataclass(frozen=True)
class Scores:
    """Costs P2 + w_U of every method, [num_environment]: means over an environment's slots.

    groups : group of parameters outside the training's range in each environment; "" if there is none
    num_guarded : number of decisions, out of `num_query`, that the guard replaced
    """

    costs: dict[str, Floats]
    groups: tuple[str, ...]
    num_guarded: int
    num_query: int


def score(seed: int, num_environment: int, *, is_outside: bool, path: str = "bundled") -> Scores:
    """Score all methods on slots of random environments; each environment has its own 8 cases, solved by `p2-exact`.

    Parameters
    ----------
    seed : of the environments; the training used other seeds
    num_environment : number of environments
    is_outside : whether each environment has one group of parameters outside the ranges of the training, in turn
    path : file of the model
    """
    rows: dict[str, list[float]] = {method: [] for method in _METHODS}
    groups: list[str] = []
    num_guarded = 0
    for index in range(num_environment):
        group: Group | None = GROUPS[index % len(GROUPS)] if is_outside else None
        ranges = TRAINING if group is None else outside(group, np.random.default_rng((seed, index, 1)))
        costs, guarded = _score_one(RandomEnvironment((seed, index), ranges), seed + index, path)
        for method, cost in costs.items():
            rows[method].append(cost)
        groups.append(group or "")
        num_guarded += guarded
    return Scores(
        {method: np.array(values) for method, values in rows.items()},
        tuple(groups),
        num_guarded,
        num_environment * _NUM_QUERY,
    )


def _score_one(environment: RandomEnvironment, seed: int, path: str) -> tuple[dict[str, float], int]:
    """Return each method's mean cost in one environment, and the number of decisions that the guard replaced."""
    system = environment.system
    exact, equal, guard = P2Exact(), EdgeEqual(), Guard()
    for policy in (exact, equal, guard):
        policy.reset(system, 0)
    cases, snapshots = solved_cases(environment, NUM_CASE, _NUM_QUERY)
    shuffled = shuffled_answers(list(cases), np.random.default_rng(seed))
    mean = _mean_decision(list(cases))
    sums = dict.fromkeys(_METHODS, 0.0)
    file = resolve(path).path
    # The loop goes prompt by prompt, not slot by slot, so that the common part of a prompt is read once.
    prompts = {"llm": list(cases), "llm, zero cases": [], "llm, shuffled cases": shuffled}
    for snapshot in snapshots:
        sums[_REFERENCE] += _cost(snapshot, exact.decide(snapshot))
        sums["nearest-case"] += _cost(snapshot, nearest(cases, 1, snapshot)[-1].decision)
        sums["mean-case"] += _cost(snapshot, mean)
        sums["edge-equal"] += _cost(snapshot, equal.decide(snapshot))
    reading = check_manifest(file).how_to_read()
    with closing(BundledEngine(file, system, num_case=NUM_CASE, reading=reading)) as engine:
        for method, prompt in prompts.items():
            for snapshot in snapshots:
                decision = fit(snapshot, engine.decide(prompt, snapshot, None).decision)
                sums[method] += _cost(snapshot, decision)
                if method == "llm":
                    chosen, _ = guard.check(snapshot, decision, nearest(cases, 1, snapshot))
                    sums["llm, guarded"] += _cost(snapshot, chosen)
    return {method: total / _NUM_QUERY for method, total in sums.items()}, guard.num_replaced


def _cost(snapshot: TwinSnapshot, decision: Decision) -> float:
    """Return P2 + w_U of a decision after its projection on the feasible set."""
    return fit(snapshot, decision).objective + snapshot.system.objective.qos_weight


def shuffled_answers(cases: Sequence[Case], rng: np.random.Generator) -> list[Case]:
    """Return cases in which each task has the answer of another task, so that the answers have no meaning."""
    found = []
    for case in cases:
        order = rng.permutation(case.decision.offloading_ratio.size)
        ratio, hz = case.decision.offloading_ratio, case.decision.compute_allocation_hz
        mixed = Decision(ratio.reshape(-1)[order].reshape(ratio.shape), hz.reshape(-1)[order].reshape(hz.shape))
        found.append(replace(case, decision=mixed))
    return found


def _mean_decision(cases: Sequence[Case]) -> Decision:
    return Decision(
        np.mean([case.decision.offloading_ratio for case in cases], axis=0),
        np.mean([case.decision.compute_allocation_hz for case in cases], axis=0),
    )


def ratio_interval(costs: Floats, reference: Floats) -> tuple[float, float, float]:
    """Return the ratio of two mean costs, and its 95 % interval: percentiles over resampled environments."""
    draws = np.random.default_rng(0).integers(0, len(costs), (_NUM_RESAMPLE, len(costs)))
    ratios = costs[draws].mean(axis=1) / reference[draws].mean(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(costs.mean() / reference.mean()), float(low), float(high)


def measure() -> Report:
    """Score the bundled model and its controls inside and outside the range of the training."""
    sets = {
        "in range": score(_SEED, NUM_ENVIRONMENT, is_outside=False),
        "outside": score(_SEED + 1, NUM_ENVIRONMENT, is_outside=True),
    }
    rows: list[tuple[Any, ...]] = []
    values: dict[str, Any] = {}
    notes = [
        f"{NUM_ENVIRONMENT} environments each, {NUM_CASE} cases of their own, {_NUM_QUERY} slots; cost is P2 + w_U, "
        "by the closed form",
        "ratios of mean costs to p2-exact's, with 95 % intervals over environments",
    ]
    for method in _METHODS:
        row: list[Any] = [method]
        for name, scores in sets.items():
            ratio, low, high = ratio_interval(scores.costs[method], scores.costs[_REFERENCE])
            row += [f"{scores.costs[method].mean():.3f}", f"{ratio:.3f} ({low:.3f}-{high:.3f})"]
            values.setdefault(name, {})[method] = [float(scores.costs[method].mean()), ratio, low, high]
        rows.append(tuple(row))
    for name, scores in sets.items():
        notes.append(f"{name}: the guard replaced {scores.num_guarded} of {scores.num_query} decisions")
        values[name]["guarded"] = scores.num_guarded / scores.num_query
    by_group = _by_group(sets["outside"])
    values["groups"] = by_group
    notes.append("outside, llm: " + ", ".join(f"{group} {ratio:.3f}" for group, ratio in by_group.items()))
    columns = ("method", "cost in range", "ratio", "cost outside", "ratio outside")
    return Report("Held-out environments", columns, tuple(rows), tuple(notes), values)


def _by_group(scores: Scores) -> dict[str, float]:
    """Return the model's ratio for each group of parameters that is outside the range."""
    found: dict[str, float] = {}
    for group in GROUPS:
        here = np.array([name == group for name in scores.groups])
        found[group] = float(scores.costs["llm"][here].mean() / scores.costs[_REFERENCE][here].mean())
    return found
