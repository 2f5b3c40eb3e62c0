"""Evaluates runs of several policies with the same seeds: means, paired differences, and which policy is stable."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from physical.arrays import Floats
from sim.studies.comparison import HEADLINE, Comparison, mean_of_known
from sim.studies.jobs import Finished
from sim.studies.statistics import (
    SEEDS_OF_BOOTSTRAP,
    SKEWNESS_MAX,
    difference,
    holm,
    interval,
    interval_of_differences,
    paired_p_value,
    skewness,
)
from sim.studies.warmup import BATCH, common_cut

MEASURED = ("wall_s", "vehicle_slots_per_s", "decision_ms_p50", "decision_ms_p99")
"""Keys of a summary that are wall times. They are recorded, but they are no results."""


def evaluate(
    runs: Mapping[str, Sequence[Finished]],
    seeds: tuple[int, ...],
    baseline: str,
    warmup: int | None = None,
    precision: float | None = None,
) -> Comparison:
    """Return means and paired differences of runs, one per policy and seed.

    warmup : slots to cut for `penalty_mean`; None: the largest cut of MSER-5 over the runs of all policies that are
        not unstable, see `sim.studies.warmup`
    precision : the precision that was asked for; it is only kept
    """
    stable = {policy: is_stable([row.summary for row in rows]) for policy, rows in runs.items()}
    steady = (run.slot_penalty for policy, rows in runs.items() if stable[policy] is not False for run in rows)
    cut = common_cut(steady) if warmup is None else warmup
    metrics = [HEADLINE, *(key for key in _metrics(runs) if key != HEADLINE)]
    values = {
        policy: {metric: np.array([_number(row.summary.get(metric)) for row in rows]) for metric in metrics}
        | {HEADLINE: np.array([mean_of_known(row.slot_penalty[cut:]) for row in rows])}
        for policy, rows in runs.items()
    }
    means = {policy: {metric: interval(row[metric]) for metric in metrics} for policy, row in values.items()}
    differences = {
        policy: {metric: difference(row[metric], values[baseline][metric]) for metric in metrics}
        for policy, row in values.items()
        if policy != baseline
    }
    told = {
        policy: math.nan if False in (stable[policy], stable[baseline]) else paired_p_value(row[HEADLINE])
        for policy, row in differences.items()
    }
    notes = [note for policy, rows in runs.items() for note in _notes_of(policy, rows, seeds)]
    length = min((len(run.slot_penalty) for rows in runs.values() for run in rows), default=0)
    if warmup is None and cut > 0 and cut + BATCH > length // 2:
        notes.append("the warm-up is as long as it may be, half of a run: longer runs would tell whether it ends.")
    for policy, row in differences.items():
        if len(seeds) < SEEDS_OF_BOOTSTRAP and False not in (stable[policy], stable[baseline]):
            notes += _notes_of_skewness(policy, baseline, row[HEADLINE])
    return Comparison(
        policies=tuple(runs),
        seeds=seeds,
        baseline=baseline,
        runs={policy: list(rows) for policy, rows in runs.items()},
        num_reused=sum(run.reused for rows in runs.values() for run in rows),
        unstable_runs={policy: _num_unstable([run.summary for run in rows]) for policy, rows in runs.items()},
        notes_of_runs=tuple(notes),
        means=means,
        differences={
            policy: {metric: interval_of_differences(one) for metric, one in row.items()}
            for policy, row in differences.items()
        },
        p_values=holm(told),
        stable=stable,
        warmup=cut,
        warmup_rule="auto" if warmup is None else "given",
        precision=precision,
    )


def is_stable(summaries: Sequence[Mapping[str, Any]]) -> bool | None:
    """Tell whether more than half of a policy's runs are stable; None if no run is long enough to tell."""
    if not any(isinstance(summary.get("stable"), bool) for summary in summaries):
        return None
    return 2 * _num_unstable(summaries) < len(summaries)


def _metrics(runs: Mapping[str, Sequence[Finished]]) -> list[str]:
    """Return the keys of the summaries that are numbers, also those that some policies lack."""
    entries = [entry for rows in runs.values() for row in rows for entry in row.summary.items()]
    other = {key for key, value in entries if isinstance(value, str | bool)}
    return [key for key in dict.fromkeys(key for key, _ in entries) if key not in other and key not in MEASURED]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _num_unstable(summaries: Sequence[Mapping[str, Any]]) -> int:
    return sum(summary.get("stable") is False for summary in summaries)


def _notes_of(policy: str, runs: Sequence[Finished], seeds: Sequence[int]) -> Iterator[str]:
    """Say what a reader should know of a policy's runs."""
    yield from _notes_of_fallbacks(policy, [run.summary for run in runs], seeds)
    if labels := sorted({label for run in runs for label in run.changed}):
        yield f"files of {policy} changed while it ran ({', '.join(labels)}): its runs may differ for that reason."


def _notes_of_skewness(policy: str, baseline: str, differences: Floats) -> Iterator[str]:
    """Warn of a skewed difference in the penalty, [seeds], if its interval is Student's."""
    skewed = skewness(differences) if interval_of_differences(differences).method == "t" else 0.0
    if abs(skewed) > SKEWNESS_MAX:
        yield (
            f"the penalty of {policy} less that of {baseline} is skewed ({skewed:.1f}): Student's interval may be "
            f"wrong; from {SEEDS_OF_BOOTSTRAP} seeds on it is a bootstrap interval."
        )


def _notes_of_fallbacks(policy: str, summaries: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[str]:
    """Say how many decisions the fallback made for a policy, or that none of its own was feasible."""
    total, taken, repaired = (
        sum(summary.get(key) or 0 for summary in summaries) for key in ("decisions", "fallbacks", "decisions_repaired")
    )
    found = []
    if taken:
        seed, first = next(
            (s, one.get("fallback_first", "for a reason not kept"))
            for s, one in zip(seeds, summaries, strict=True)
            if one.get("fallbacks")
        )
        did = "did not decide" if taken == total else "did not always decide"
        found.append(
            f"{policy} {did}: the fallback took {taken} of {total} decisions; the first with seed {seed}, {first}."
        )
    elif total and repaired == total:
        found.append(f"none of the {total} decisions of {policy} was feasible: all were projected on the feasible set.")
    return found
