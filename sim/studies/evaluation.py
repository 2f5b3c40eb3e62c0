"""Evaluates runs of several policies with the same seeds: means, paired differences, and which policy is stable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.studies.comparison import HEADLINE, Comparison, mean_of_known, num_unstable
from sim.studies.jobs import Finished
from sim.studies.statistics import (
    difference,
    holm,
    interval,
    interval_of_differences,
    paired_p_value,
)
from sim.studies.warmup import common_cut
from traces.atomic import write_whole

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
    return Comparison(
        policies=tuple(runs),
        seeds=seeds,
        baseline=baseline,
        runs={policy: list(rows) for policy, rows in runs.items()},
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
    return 2 * num_unstable(summaries) < len(summaries)


def write_runs(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Store one row per run as a Parquet table; a key that a row lacks is null there."""
    keys = dict.fromkeys(key for row in rows for key in row)
    write_whole(pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows]), path)


def _metrics(runs: Mapping[str, Sequence[Finished]]) -> list[str]:
    """Return the keys of the summaries that are numbers, also those that some policies lack."""
    entries = [entry for rows in runs.values() for row in rows for entry in row.summary.items()]
    other = {key for key, value in entries if isinstance(value, str | bool)}
    return [key for key in dict.fromkeys(key for key, _ in entries) if key not in other and key not in MEASURED]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
