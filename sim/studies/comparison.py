"""What a comparison of policies says: means, differences, notes for the reader, and the text that prints it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from physical import digits
from physical.arrays import Floats
from physical.text_table import TableColumn, say, table
from sim.studies.jobs import Finished
from sim.studies.statistics import Interval

HEADLINE = "penalty_mean"
SEEDS_FEW = 5
"""With fewer seeds than this, intervals are so wide and so uncertain that the reader is warned."""

# Metric -> heading, and the size of the heading's unit in the metric's unit. The most important metric is the first.
_COMPARED = {
    "deadline_miss_ratio": ("missed", 1.0),
    "delay_s_mean": ("delay / ms", 1e-3),
    "energy_j_mean": ("energy / J", 1.0),
    "qos_mean": ("QoS", 1.0),
    "objective_mean": ("objective", 1.0),
    "backlog_bytes_mean": ("backlog / MB", 1e6),
}
_COMPARED_OF_LAYERS = {
    "completion_s_mean": ("completion / s", 1.0),
    "energy_j_mean": ("energy / J", 1.0),
    "deadline_miss_ratio": ("missed", 1.0),
    "layers_local_mean": ("local layers", 1.0),
    "completion_compute_s_mean": ("without upload / s", 1.0),
}
_STABLE = {True: "yes", False: "no", None: "unknown"}
_LEAST_P = 0.001
_TEXT_WIDTH = 120

Statistics = dict[str, dict[str, Interval]]
"""Policy -> metric -> mean over seeds with its interval."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of a comparison; printed, it is the table that `twin compare` shows.

    `penalty_mean` is the mean over the slots after the warm-up. Every other metric is computed over whole runs.

    Parameters
    ----------
    policies, seeds : what was run, in order
    baseline : policy that is subtracted in the differences
    runs : policy -> what is kept of the run with each seed; with a folder, most are read from there when asked for
    num_reused : number of runs that an earlier command had made
    unstable_runs : policy -> how many of its runs are not stable
    notes_of_runs : what a reader should know of single runs
    means : policy -> metric -> mean over seeds, with Student's interval
    differences : policy -> metric -> mean over seeds of (policy minus baseline) with the same seed
    p_values : policy -> p-value of its difference in `penalty_mean`, corrected by Holm; NaN where it is unknown
    stable : policy -> whether more than half of its runs are stable; None where no run is long enough to tell
    warmup : slots cut from every run for `penalty_mean`
    warmup_rule : "auto" (MSER-5), or "given"
    precision : the precision that was asked for, see `sim.compare`; None: none was
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str
    runs: Mapping[str, Sequence[Finished]]
    num_reused: int
    unstable_runs: dict[str, int]
    notes_of_runs: tuple[str, ...]
    means: Statistics
    differences: Statistics
    p_values: dict[str, float]
    stable: dict[str, bool | None]
    warmup: int
    warmup_rule: str
    precision: float | None = None

    def __repr__(self) -> str:
        """Return the table."""
        return _text(self)

    def is_unstable(self, policy: str, *, with_baseline: bool = False) -> bool:
        """Tell whether a mean depends on the length of the run, because the policy is not stable.

        with_baseline : for a difference, which depends on it if the policy or the baseline is not stable
        """
        concerned = (policy, self.baseline) if with_baseline else (policy,)
        return any(self.stable[one] is False for one in concerned)

    @property
    def precision_reached(self) -> float:
        """Largest half-width of a difference in `penalty_mean`, in parts of |baseline's penalty| + 1.

        Unstable policies are left out. It is NaN if no policy is left, or if there is only one seed.
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
        return np.array([mean_of_known(run.slot_penalty[self.warmup :]) for run in self.runs[policy]])

    def notes(self) -> list[str]:
        """Return what a reader should know before trusting the numbers."""
        found = []
        if len(self.seeds) < SEEDS_FEW:
            count = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
            found.append(f"{count}: fewer than {SEEDS_FEW} say little about how far results spread.")
        if unstable := [policy for policy in self.policies if self.is_unstable(policy)]:
            found.append(
                f"unstable, at least half of the runs: {', '.join(unstable)}. What waits keeps growing, and every mean "
                "is a function of the run's length."
            )
        found += self.notes_of_runs
        if self.precision is not None and not self.precision_reached <= self.precision:
            reached = "unknown" if math.isnan(self.precision_reached) else f"{self.precision_reached:.2%}"
            found.append(f"the precision of {self.precision:.2%} is not reached: {reached}, {len(self.seeds)} seeds.")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as plain data; unknown numbers and the intervals of unstable policies are None."""

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
            "unstable_runs": self.unstable_runs,
            "mean": plain(self.means, with_baseline=False),
            "difference": plain(self.differences, with_baseline=True),
            "p_value_holm": {policy: _finite(p) for policy, p in self.p_values.items()},
            "notes": self.notes(),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row per run; `penalty_mean` leaves the warm-up out, `penalty_mean_whole` does not."""
        for policy, runs in self.runs.items():
            for seed, run in zip(self.seeds, runs, strict=True):
                yield {
                    "policy": policy,
                    "seed": seed,
                    **run.summary,
                    HEADLINE: _finite(mean_of_known(run.slot_penalty[self.warmup :])),
                    f"{HEADLINE}_whole": _finite(mean_of_known(run.slot_penalty)),
                    "warmup_slots": self.warmup,
                }


def mean_of_known(values: Floats) -> float:
    """Return the mean of the finite values; NaN if there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def _text(compared: Comparison) -> str:
    """Return the tables and the notes as a text."""
    output = Console(file=io.StringIO(), width=_TEXT_WIDTH, color_system=None, force_jupyter=False)
    print_tables(compared, "", output)
    for note in compared.notes():
        say(output, f"note: {note}")
    if told := reused_text([compared]):
        say(output, f"{told} (fresh=True runs them again)")
    text: str = output.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    return text.rstrip("\n")


def print_tables(compared: Comparison, title: str, output: Console) -> None:
    """Print the penalty with its differences from the baseline, then the other metrics and their differences."""
    say(output, f"{title}. {_about(compared)}" if title else _about(compared))
    names = TableColumn("policy", list(compared.means), is_text=True)
    table(output, [names], [*headline_columns(compared)])
    if compared.means:
        output.print()
        say(output, f"Other metrics, of whole runs{interval_text(compared, ': mean')}")
        table(output, [names], [*metric_columns(compared)])
    if compared.differences:
        output.print()
        say(output, f"Differences from {compared.baseline} with the same seed{interval_text(compared)}")
        others = TableColumn("policy", list(compared.differences), is_text=True)
        table(output, [others], [*metric_columns(compared, differences=True)])
    output.print()


def _about(compared: Comparison) -> str:
    rule = "MSER-5" if compared.warmup_rule == "auto" else "as given"
    cut = f"after a warm-up of {compared.warmup} slots ({rule})" if compared.warmup else f"no warm-up cut ({rule})"
    return f"Penalty per slot, {cut}{interval_text(compared, ': mean')}"


def interval_text(compared: Comparison, before: str = ",") -> str:
    """Say that there are intervals, if there are."""
    return f"{before} and 95 % interval" if len(compared.seeds) > 1 else ""


def headline_columns(compared: Comparison) -> Iterator[TableColumn]:
    """Yield the columns of penalty, difference from the baseline, p-value, and stability."""
    names = list(compared.means)
    unstable = compared.is_unstable
    yield TableColumn("penalty", [_spell(compared.means[one][HEADLINE], word=unstable(one)) for one in names])
    if compared.differences:
        cells = [
            _spell(compared.differences[one][HEADLINE], word=unstable(one, with_baseline=True))
            if one in compared.differences
            else "baseline"
            for one in names
        ]
        yield TableColumn("difference", cells)
        spelled = [_spell_p(compared.p_values.get(one, math.nan)) for one in names]
        if any(spelled):  # with one seed there is no p-value
            yield TableColumn("p (Holm)", spelled)
    yield TableColumn("stable", [_STABLE[compared.stable[one]] for one in names])


def metric_columns(compared: Comparison, *, differences: bool = False) -> Iterator[TableColumn]:
    """Yield the columns of the other metrics; unstable policies have no intervals there."""
    of_layers = all("completion_s_mean" in row for row in compared.means.values())
    rows = compared.differences if differences else compared.means
    for metric, (label, unit) in (_COMPARED_OF_LAYERS if of_layers else _COMPARED).items():
        known = compared.means[compared.baseline].get(metric)
        scale = abs(known.mean) if differences and known is not None else 0.0
        cells = [
            _spell(row[metric], unit, scale=scale, bare=compared.is_unstable(policy, with_baseline=differences))
            for policy, row in rows.items()
            if metric in row
        ]
        if cells:
            yield TableColumn(label, cells)


def _spell(found: Interval, unit: float = 1.0, *, scale: float = 0.0, word: bool = False, bare: bool = False) -> str:
    """Spell a mean with its interval, if it has one.

    unit : size of the shown unit
    scale : magnitude of the two numbers whose difference the mean is
    word : the policy is not stable, and the cell says so
    bare : the policy is not stable, and another cell of the row says so
    """
    if not math.isfinite(found.mean):
        return "none"
    if word or bare or found.method is None:
        text = digits.alone(found.mean, found.half_width, unit=unit, scale=scale)
        return f"{text} unstable" if word else text
    return digits.with_interval(found.mean, found.half_width, found.bounds, unit=unit, scale=scale)


def _spell_p(p: float) -> str:
    if math.isnan(p):
        return ""
    return f"< {_LEAST_P:g}" if p < _LEAST_P else f"{p:.3f}"


def reused_text(compared: Sequence[Comparison]) -> str:
    """Say how many runs an earlier command had made, if any."""
    reused = sum(one.num_reused for one in compared)
    total = sum(len(row) for one in compared for row in one.runs.values())
    return f"{reused} of {total} runs reused: nothing that they depend on has changed" if reused else ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
