"""What runs of several policies with the same seeds say: means, paired differences, and who is stable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from physical.arrays import Floats
from sim.studies.jobs import Finished
from sim.studies.statistics import (
    SEEDS_OF_BOOTSTRAP,
    SKEWNESS_MAX,
    Interval,
    difference,
    holm,
    interval,
    interval_of_differences,
    paired_p_value,
    skewness,
)
from sim.studies.warmup import common_cut
from traces.atomic import write_whole

HEADLINE = "penalty_mean"
MEASURED = ("wall_s", "vehicle_slots_per_s", "decision_ms_p50", "decision_ms_p99")
"""Keys of a summary that are wall times: recorded, but no result."""
SEEDS_FEW = 5
"""Below this many seeds, intervals are so wide and so uncertain that they deserve a warning."""

Statistics = dict[str, dict[str, Interval]]
"""Policy -> metric -> mean over seeds with its interval."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a comparison gives; printed, it is the table that `twin compare` shows.

    `penalty_mean` is the mean over the slots after the warm-up; every other metric is of whole runs.

    Parameters
    ----------
    policies, seeds : what was run, in order
    baseline : policy that the differences refer to
    runs : policy -> what is kept of each seed's run
    means : policy -> metric -> mean over seeds, with Student's interval
    differences : policy -> metric -> mean over seeds of (policy minus baseline) with the same seed
    p_values : policy -> p-value of its difference in `penalty_mean`, after Holm; NaN where it cannot be known
    stable : policy -> whether more than half of its runs are stable; None where no run can tell
    warmup : slots cut from every run for `penalty_mean`
    warmup_rule : "auto" (MSER-5), or "given"
    precision : asked for, see `sim.compare`; None if it was not
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    runs: dict[str, list[Finished]]
    means: Statistics
    differences: Statistics
    p_values: dict[str, float]
    stable: dict[str, bool | None]
    warmup: int
    warmup_rule: str
    precision: float | None = None

    def __repr__(self) -> str:
        """Return the table."""
        from sim.show.compared import comparison_text  # only who prints one needs it

        return comparison_text(self)

    @property
    def num_reused(self) -> int:
        """How many runs an earlier command had made."""
        return sum(run.reused for row in self.runs.values() for run in row)

    def is_unstable(self, policy: str, *, with_baseline: bool = False) -> bool:
        """Tell whether a mean (a difference: of the policy or the baseline) is a function of the run's length."""
        concerned = (policy, self.baseline) if with_baseline else (policy,)
        return any(self.stable[one] is False for one in concerned)

    @property
    def precision_reached(self) -> float:
        """Largest half-width of a difference in `penalty_mean`, in parts of |baseline's penalty| + 1.

        Unstable policies take no part; NaN if nobody is left, or with one seed.
        """
        scale = abs(self.means[self.baseline][HEADLINE].mean) + 1.0
        widths = [
            row[HEADLINE].half_width
            for policy, row in self.differences.items()
            if not self.is_unstable(policy, with_baseline=True)
        ]
        return max(widths, default=math.nan) / scale if not any(map(math.isnan, widths)) else math.nan

    def penalties(self, policy: str) -> Floats:
        """Return the mean penalty after the warm-up, [seeds]."""
        return np.array([_mean(run.slot_penalty[self.warmup :]) for run in self.runs[policy]])

    def notes(self) -> list[str]:
        """Return what a reader should know before he trusts the numbers."""
        found = []
        if len(self.seeds) < SEEDS_FEW:
            count = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
            found.append(f"{count}: fewer than {SEEDS_FEW} say little about how far results spread.")
        if unstable := [policy for policy in self.policies if self.is_unstable(policy)]:
            found.append(
                f"unstable, at least half of the runs: {', '.join(unstable)}. What waits keeps growing, and every mean "
                "is a function of the run's length."
            )
        for policy, rows in self.runs.items():
            found += _note_of_fallbacks(policy, [run.summary for run in rows], self.seeds)
            if labels := sorted({label for run in rows for label in run.changed}):
                which = ", ".join(labels)
                found.append(f"files of {policy} changed while it ran ({which}): its runs may differ for that reason.")
        length = min((len(run.slot_penalty) for rows in self.runs.values() for run in rows), default=0)
        if self.warmup_rule == "auto" and self.warmup > 0 and self.warmup + 5 > length // 2:
            found.append("the warm-up is as long as it may be, half of a run: longer runs would tell whether it ends.")
        for policy, row in self.differences.items():
            is_shown = not self.is_unstable(policy, with_baseline=True)
            if is_shown and len(self.seeds) < SEEDS_OF_BOOTSTRAP and row[HEADLINE].method == "t":
                found += self._note_of_skewness(policy)
        if self.precision is not None and not self.precision_reached <= self.precision:
            reached = "unknown" if math.isnan(self.precision_reached) else f"{self.precision_reached:.2%}"
            found.append(f"the precision of {self.precision:.2%} is not reached: {reached}, {len(self.seeds)} seeds.")
        return found

    def _note_of_skewness(self, policy: str) -> list[str]:
        skewed = skewness(difference(self.penalties(policy), self.penalties(self.baseline)))
        if abs(skewed) <= SKEWNESS_MAX:
            return []
        return [
            f"the penalty of {policy} less that of {self.baseline} is skewed ({skewed:.1f}): Student's interval may be "
            f"wrong; from {SEEDS_OF_BOOTSTRAP} seeds on it is a bootstrap interval."
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as plain data; None: what cannot be known, and the intervals of unstable policies."""

        def plain(statistics: Statistics, *, with_baseline: bool) -> dict[str, Any]:
            return {
                policy: {
                    metric: entry.to_dict(unstable=self.is_unstable(policy, with_baseline=with_baseline))
                    for metric, entry in row.items()
                }
                for policy, row in statistics.items()
            }

        reached = _finite(self.precision_reached)
        return {
            "policies": list(self.policies),
            "seeds": list(self.seeds),
            "baseline": self.baseline,
            "warmup_slots": self.warmup,
            "warmup_rule": self.warmup_rule,
            "precision": {"asked": self.precision, "reached": reached},
            "stable": self.stable,
            "unstable_runs": {
                policy: _num_unstable([run.summary for run in runs]) for policy, runs in self.runs.items()
            },
            "mean": plain(self.means, with_baseline=False),
            "difference": plain(self.differences, with_baseline=True),
            "p_value_holm": {policy: _finite(p) for policy, p in self.p_values.items()},
            "notes": self.notes(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per run; `penalty_mean` is after the warm-up, `penalty_mean_whole` that of the whole run."""
        return [
            {
                "policy": policy,
                "seed": seed,
                **run.summary,
                HEADLINE: _finite(_mean(run.slot_penalty[self.warmup :])),
                f"{HEADLINE}_whole": _finite(_mean(run.slot_penalty)),
                "warmup_slots": self.warmup,
            }
            for policy, runs in self.runs.items()
            for seed, run in zip(self.seeds, runs, strict=True)
        ]


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
    precision : that was asked for; only kept
    """
    stable = {policy: is_stable([row.summary for row in rows]) for policy, rows in runs.items()}
    steady = (run.slot_penalty for policy, rows in runs.items() if stable[policy] is not False for run in rows)
    cut = common_cut(steady) if warmup is None else warmup
    metrics = [HEADLINE, *(key for key in _metrics(runs) if key != HEADLINE)]
    values = {
        policy: {metric: np.array([_number(row.summary.get(metric)) for row in rows]) for metric in metrics}
        | {HEADLINE: np.array([_mean(row.slot_penalty[cut:]) for row in rows])}
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
    """Tell whether a policy is stable: it is not if at least half of its runs are not; None if no run can tell."""
    if not any(isinstance(summary.get("stable"), bool) for summary in summaries):
        return None
    return 2 * _num_unstable(summaries) < len(summaries)


def write_runs(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Store one row per run as a Parquet table; a row without a key has null there."""
    keys = dict.fromkeys(key for row in rows for key in row)
    write_whole(pa.Table.from_pylist([{key: row.get(key) for key in keys} for row in rows]), path)


def _note_of_fallbacks(policy: str, summaries: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[str]:
    """Say how many decisions of a policy were not its own, or not feasible in any slot."""
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


def _metrics(runs: Mapping[str, Sequence[Finished]]) -> list[str]:
    """Return the keys of the summaries that are numbers; one that some policy lacks is among them."""
    entries = [entry for rows in runs.values() for row in rows for entry in row.summary.items()]
    other = {key for key, value in entries if isinstance(value, str | bool)}
    return [key for key in dict.fromkeys(key for key, _ in entries) if key not in other and key not in MEASURED]


def _num_unstable(summaries: Sequence[Mapping[str, Any]]) -> int:
    return sum(summary.get("stable") is False for summary in summaries)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
