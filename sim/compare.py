"""Compares policies on common random numbers: many runs, paired differences, confidence intervals; resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t as student_t

from physical.errors import InputError
from policies.registry import make
from sim.jobs import Job, finish
from sim.scenario import Scenario

MEASURED = ("wall_s", "vehicle_slots_per_s", "decision_ms_p50", "decision_ms_p99")
"""Keys of a summary that are wall times: recorded, but no result."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the half-width of its 95 % interval (Student's t); NaN where it cannot be known."""

    mean: float
    half_width: float


@dataclass(frozen=True)
class Comparison:
    """What a comparison gives.

    Parameters
    ----------
    policies, seeds : what was run, in order
    baseline : policy that the differences refer to
    summaries : policy -> one summary per seed
    means : policy -> metric -> mean over seeds
    differences : policy -> metric -> mean over seeds of (policy minus baseline) with the same seed
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    summaries: dict[str, list[dict[str, Any]]]
    means: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as plain data; what cannot be known is None."""

        def plain(statistics: dict[str, dict[str, Interval]]) -> dict[str, Any]:
            return {
                policy: {metric: [_finite(entry.mean), _finite(entry.half_width)] for metric, entry in row.items()}
                for policy, row in statistics.items()
            }

        return {
            "policies": list(self.policies),
            "seeds": list(self.seeds),
            "baseline": self.baseline,
            "mean": plain(self.means),
            "difference": plain(self.differences),
        }


def parse_policies(text: str) -> tuple[str, ...]:
    """Split ``a,b:x=1,y=2,c`` at the commas between policies, not at those between options.

    >>> parse_policies("edge-equal,p2-exact:margin=0.1,max_node=9,random")
    ('edge-equal', 'p2-exact:margin=0.1,max_node=9', 'random')
    """
    found: list[str] = []
    for part in text.split(","):
        continues = "=" in part and ":" not in part
        if continues and found and ":" in found[-1]:
            found[-1] += f",{part.strip()}"
        elif part.strip():
            found.append(part.strip())
    if not found or len(set(found)) < len(found):
        raise InputError(f"{text!r} does not name different policies", where="--policies", accepted="name,name,...")
    return tuple(found)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``0..19``, ``1,4,7`` or a mixture.

    >>> parse_seeds("0..3,7")
    (0, 1, 2, 3, 7)
    """
    seeds: list[int] = []
    accepted = "for example 0..19 or 1,4,7"
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        if not (first.isdecimal() and (last.isdecimal() or not dots)):
            raise InputError(f"{part!r} is not a seed or a range of seeds", where="--seeds", accepted=accepted)
        seeds.extend(range(int(first), int(last if dots else first) + 1))
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"{text!r} does not name different seeds", where="--seeds", accepted=accepted)
    return tuple(seeds)


def check_policies(policies: Sequence[str], baseline: str | None) -> str:
    """Make each policy once, to see that it can be; return the baseline, by default the first of them.

    Raises
    ------
    InputError : unknown policy, baseline that is not among them
    """
    reference = policies[0] if baseline is None else baseline
    if reference not in policies:
        raise InputError(f"{reference!r} is not compared", where="--baseline", accepted=", ".join(policies))
    for policy in policies:
        make(policy, where="--policies")
    return reference


def compare(
    scenario: Scenario,
    policies: Sequence[str],
    seeds: Sequence[int],
    directory: Path,
    *,
    baseline: str | None = None,
    num_worker: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Run every policy with every seed, in spawned workers, and compare.

    Every finished run is a file below `directory`; what is there already is not run again.

    Raises
    ------
    InputError : unknown policy, baseline that is not among them, a directory that cannot be written
    """
    reference = check_policies(policies, baseline)
    text = scenario.model_dump_json()
    jobs = {policy: [Job(text, policy, seed) for seed in seeds] for policy in policies}
    found = finish([job for row in jobs.values() for job in row], directory, num_worker, progress)
    summaries = {policy: [found[job] for job in row] for policy, row in jobs.items()}
    comparison = evaluate(summaries, tuple(seeds), reference)
    _write(comparison, directory)
    return comparison


def evaluate(summaries: dict[str, list[dict[str, Any]]], seeds: tuple[int, ...], baseline: str) -> Comparison:
    """Return means and paired differences of summaries, one per policy and seed."""
    keys = {key: value for rows in summaries.values() for row in rows for key, value in row.items()}
    metrics = [key for key, value in keys.items() if key not in MEASURED and not isinstance(value, str)]
    values = {
        policy: {metric: np.array([_number(row.get(metric)) for row in rows]) for metric in metrics}
        for policy, rows in summaries.items()
    }
    means = {policy: {metric: interval(row[metric]) for metric in metrics} for policy, row in values.items()}
    differences = {
        policy: {metric: interval(row[metric] - values[baseline][metric]) for metric in metrics}
        for policy, row in values.items()
        if policy != baseline
    }
    return Comparison(tuple(summaries), seeds, baseline, summaries, means, differences)


def interval(values: Any) -> Interval:
    """Return the mean and the half-width of its 95 % confidence interval.

    >>> print("{0.mean:.3f} {0.half_width:.3f}".format(interval(np.array([1.0, 3.0]))))
    2.000 12.706
    """
    count = len(values)
    if count < 2:
        return Interval(float(values.mean()), float("nan"))
    quantile = float(student_t.ppf(0.5 + CONFIDENCE / 2, count - 1))
    return Interval(float(values.mean()), quantile * float(values.std(ddof=1)) / count**0.5)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _write(comparison: Comparison, directory: Path) -> None:
    """Store the statistics as JSON, and all summaries as one Parquet table with a row per run."""
    rows = [
        {"policy": policy, "seed": seed, **summary}
        for policy, summaries in comparison.summaries.items()
        for seed, summary in zip(comparison.seeds, summaries, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), directory / "runs.parquet")
    text = json.dumps(comparison.to_dict(), indent=2, allow_nan=False)
    (directory / "compare.json").write_text(text + "\n", "utf-8")


def default_directory(scenario_name: str, scenario: Scenario, kind: str = "compare") -> Path:
    """Return a directory that belongs to the scenario, so that a comparison that was stopped goes on there."""
    digest = hashlib.blake2b(scenario.model_dump_json().encode(), digest_size=4).hexdigest()
    return Path("runs") / f"{kind}-{Path(scenario_name).stem}-{digest}"
