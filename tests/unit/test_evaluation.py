"""What a comparison says of made-up runs: the cut, paired differences, who is unstable, what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from sim.studies.comparison import Comparison
from sim.studies.evaluation import evaluate, is_stable
from sim.studies.jobs import Finished
from sim.studies.tables import write_runs


def made(penalty: Sequence[float | None], **summary: Any) -> Finished:
    values = [np.nan if value is None else value for value in penalty]
    return Finished({"stable": True, "wall_s": 1.0, "digest": "d", **summary}, np.array(values, dtype=np.float64))


def evaluated(runs: Mapping[str, Sequence[Finished]], baseline: str = "base", **rules: Any) -> Comparison:
    num_seed = len(next(iter(runs.values())))
    return evaluate(runs, tuple(range(num_seed)), baseline, **rules)


def several(num_seed: int, level: float, spread: float = 1.0, seed: int = 0, **summary: Any) -> list[Finished]:
    noise = np.random.default_rng(seed).normal(0.0, spread, num_seed)
    return [made([level + error] * 60, energy_j_mean=level, **summary) for error in noise.tolist()]


def test_penalty_is_that_after_the_warm_up_and_the_rest_is_of_whole_runs() -> None:
    """Slots without counted tasks are none; a run without any has no mean, and it is null in the files."""
    runs = {
        "base": [made([100.0, 1.0, None, 3.0], drift_mean=7.0), made([100.0, 5.0, 5.0, 5.0], drift_mean=9.0)],
        "other": [made([0.0, 3.0, None, 5.0], drift_mean=8.0), made([0.0, None, None, None], drift_mean=9.0)],
    }
    found = evaluated(runs, warmup=1)
    assert (found.warmup, found.warmup_rule) == (1, "given")
    assert found.means["base"]["penalty_mean"].mean == pytest.approx(3.5)
    assert found.means["base"]["drift_mean"].mean == pytest.approx(8.0)
    assert np.isnan(found.means["other"]["penalty_mean"].mean)
    assert found.to_dict()["mean"]["other"]["penalty_mean"] == {
        "mean": None,
        "low": None,
        "high": None,
        "interval": None,
    }
    rows = [*found.rows()]
    assert [row["penalty_mean"] for row in rows] == [2.0, 5.0, 4.0, None]
    assert [row["penalty_mean_whole"] for row in rows] == pytest.approx([104 / 3, 28.75, 8 / 3, 0.0])
    assert {row["warmup_slots"] for row in rows} == {1}
    json.dumps(found.to_dict(), allow_nan=False)


def transient(num_slot: int) -> Finished:
    """Return a run that begins with a transient; then batches of five alternate."""
    steady = np.tile(np.repeat([0.1, -0.1], 5), 20)
    return made((steady + np.where(np.arange(200) < num_slot, 9.0, 0.0)).tolist())


def test_one_cut_for_all_without_the_unstable() -> None:
    """Transients of 20 and of 40 slots: 40 is cut from both. A policy that never settles would ask for half the run."""
    runs = {name: [transient(num) for _ in range(5)] for name, num in (("base", 20), ("other", 40))}
    growing = [made(np.linspace(0.0, 50.0, 200).tolist(), stable=False) for _ in range(5)]
    found = evaluated({**runs, "growing": growing})
    assert (found.warmup, found.warmup_rule) == (40, "auto")
    assert abs(found.means["other"]["penalty_mean"].mean) < 0.1
    assert evaluated({"base": growing}).warmup == 0
    as_if_stable = [made(one.slot_penalty.tolist()) for one in growing]
    found = evaluated({**runs, "growing": as_if_stable})
    assert found.warmup == 100
    assert any("half of a run" in note for note in found.notes())


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((True, True, False), True),
        ((True, False), False),  # half of them
        ((False, False, True), False),
        ((None, None), None),
        ((None, True), True),
        ((None, False), False),
    ],
)
def test_a_policy_is_unstable_if_half_of_its_runs_are(told: tuple[bool | None, ...], expected: bool | None) -> None:
    assert is_stable([{"stable": one} for one in told]) is expected


def test_unstable_policies_have_means_and_no_interval() -> None:
    runs = {"base": several(6, 1.0), "good": several(6, 2.0, seed=1), "bad": several(6, 9.0, seed=2, stable=False)}
    found = evaluated(runs)
    told = found.to_dict()
    entry = told["mean"]["bad"]["penalty_mean"]
    assert entry["mean"] == pytest.approx(np.mean([one.slot_penalty[0] for one in runs["bad"]]))
    assert (entry["low"], entry["high"], entry["interval"]) == (None, None, "unstable")
    assert told["difference"]["bad"]["energy_j_mean"]["interval"] == "unstable"
    assert told["difference"]["good"]["penalty_mean"]["interval"] == "t"
    assert told["stable"] == {"base": True, "good": True, "bad": False}
    assert told["unstable_runs"] == {"base": 0, "good": 0, "bad": 6}
    assert told["p_value_holm"]["bad"] is None
    assert any(note.startswith("unstable, at least half of the runs: bad.") for note in found.notes())
    of_bad = evaluated(runs, "bad").to_dict()
    assert {row["penalty_mean"]["interval"] for row in of_bad["difference"].values()} == {"unstable"}


def test_p_values_are_of_all_comparisons_at_once() -> None:
    """SciPy's paired t test of each policy, times the number of those that are not yet rejected."""
    runs = {
        name: several(8, level, seed=seed)
        for seed, (name, level) in enumerate(zip("abcd", (0, 0.2, 1, 3), strict=True))
    }
    penalty = {name: np.array([one.slot_penalty[0] for one in rows]) for name, rows in runs.items()}
    plain = {name: float(stats.ttest_rel(penalty[name], penalty["a"]).pvalue) for name in "bcd"}
    ordered = sorted(plain, key=plain.__getitem__)
    expected, last = {}, 0.0
    for rank, name in enumerate(ordered):
        last = max(last, min(1.0, plain[name] * (3 - rank)))
        expected[name] = last
    assert evaluated(runs, "a").p_values == pytest.approx(expected)


def test_one_seed_has_no_interval_anywhere() -> None:
    found = evaluated({"base": several(1, 1.0), "other": several(1, 2.0)})
    told = found.to_dict()
    entries = [entry for part in ("mean", "difference") for row in told[part].values() for entry in row.values()]
    assert all((entry["low"], entry["high"], entry["interval"]) == (None, None, None) for entry in entries)
    assert told["p_value_holm"] == {"other": None}
    assert found.notes()[0].startswith("1 seed: fewer than 5")
    json.dumps(told, allow_nan=False)


def test_few_seeds_are_warned_of() -> None:
    assert evaluated({"base": several(4, 1.0)}).notes()[0].startswith("4 seeds: fewer than 5")
    assert evaluated({"base": several(5, 1.0)}).notes() == []


def test_round_off_is_no_difference() -> None:
    base = [made([0.5] * 60, energy_j_mean=0.009 * (1 + seed)) for seed in range(6)]
    other = [made([0.5] * 60, energy_j_mean=np.nextafter(0.009 * (1 + seed), 1.0)) for seed in range(6)]
    found = evaluated({"base": base, "other": other}).differences["other"]["energy_j_mean"]
    assert (found.mean, found.half_width) == (0.0, 0.0)


def test_skewed_differences_have_a_bootstrap_or_a_note() -> None:
    """One seed of many goes wrong."""

    def skewed(num_seed: int, *, stable: bool = True) -> Comparison:
        base = several(num_seed, 1.0)
        penalties = [(one.slot_penalty + (5.0 if i == 3 else 0.01 * i)).tolist() for i, one in enumerate(base)]
        other = [made(one, stable=stable) for one in penalties]
        return evaluated({"base": base, "other": other})

    few, many = skewed(19), skewed(20)
    assert few.differences["other"]["penalty_mean"].method == "t"
    assert any("penalty of other less that of base is skewed" in note for note in few.notes())
    # An unstable difference is shown without an interval: nothing is said of one.
    assert not any("skewed" in note for note in skewed(19, stable=False).notes())
    assert many.differences["other"]["penalty_mean"].method == "bca"
    assert many.to_dict()["difference"]["other"]["penalty_mean"]["interval"] == "bca"
    assert many.notes() == []
    assert many.means["other"]["penalty_mean"].method == "t"


def test_a_metric_of_one_policy_alone_is_kept(tmp_path: Path) -> None:
    """A language model counts guarded decisions, others do not: no number for them, and no difference. Texts are no
    metrics, also where only one policy has them.
    """
    runs = {
        "plain": [made([1.0], gap_model=None)] * 2,
        "guarded": [made([2.0], decisions_guarded=3, gap_model="eq. 7-9")] * 2,
    }
    found = evaluated(runs, "plain")
    assert found.means["guarded"]["decisions_guarded"].mean == 3.0
    assert np.isnan(found.means["plain"]["decisions_guarded"].mean)
    assert np.isnan(found.differences["guarded"]["decisions_guarded"].mean)
    assert found.differences["guarded"]["penalty_mean"].mean == 1.0
    assert set(found.means["plain"]) == {"penalty_mean", "decisions_guarded"}
    write_runs(found.rows(), tmp_path / "runs.parquet")
    table = pq.read_table(tmp_path / "runs.parquet")
    assert table.column("decisions_guarded").to_pylist() == [None, None, 3, 3]
    assert table.column("gap_model").to_pylist() == [None, None, "eq. 7-9", "eq. 7-9"]
