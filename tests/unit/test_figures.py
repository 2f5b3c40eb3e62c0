"""`twin figures`: plans cover the papers' axes, verdicts, drawing, pages, and the whole command on a tiny plan."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from physical.errors import InputError
from sim.show import figures
from sim.show.figures import dtecn, llm6g, page
from sim.show.figures.judging import Finding, Verdict, findings, findings_of, judge, verdict
from sim.show.figures.measure import Measured, runnable, scenario_at
from sim.show.figures.plan import LESS, MORE, SIMILAR, Claim, Level, PaperPlan, Series, Trend, Versus
from sim.studies.statistics import Interval
from tests.support.figures import SMALL, synthetic

pytestmark = pytest.mark.full  # the quick loop is for what changes every day


def plans() -> list[PaperPlan]:
    return [figures.load(paper, quick=quick) for paper in figures.PAPERS for quick in (False, True)]


# ---------------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: f"{plan.name}-{'quick' if plan.quick else 'full'}")
def test_plans_are_consistent(plan: PaperPlan) -> None:
    """Every curve has its world and its policy, every claim its figure, every figure the certified optimum."""
    worlds, policies = {world.name for world in plan.worlds}, {method.policy for method in plan.methods}
    for figure in plan.figures:
        drawn = [series for panel in figure.panels for series in panel.series]
        assert {series.world for series in drawn} <= worlds
        assert {series.method for series in drawn} <= policies
        assert plan.optimum.policy in {series.method for series in drawn}
        assert all(
            len(plan.world(world).points) == 1 for panel in figure.panels if panel.by_method for world in panel.worlds
        )
    assert {claim.figure for claim in plan.claims} <= {figure.name for figure in plan.figures}
    assert set(plan.modes) == {"corrected", "paper"}
    for mode in plan.modes:
        for world, _, value in plan.points():
            assert scenario_at(plan, mode, world, value).model.mode == mode


def test_dtecn_covers_figures_3_to_6() -> None:
    """Energy, delay, QoS, edge energy and resource ratio, over all N that an actor per vehicle is shipped for, for both
    biases of Fig. 6, and the paper's three methods in each.
    """
    plan = dtecn.plan()
    assert [figure.name for figure in plan.figures] == ["fig3", "fig4", "fig5", "fig6", "congested"]
    shown = {figure.name: {panel.metric.key for panel in figure.panels} for figure in plan.figures}
    assert shown["fig3"] == {"energy_j_mean"}
    assert shown["fig4"] == {"delay_s_mean"}
    assert shown["fig5"] == {"qos_mean"}
    assert shown["fig6"] == {"energy_edge_j_mean", "resource_ratio_mean"}
    for sign, bias_hz in (("+", 5e8), ("-", -5e8)):
        world = plan.world(sign)
        assert world.points == (4, 5, 6, 7, 8, 9, 10)
        bias = scenario_at(plan, "corrected", world, 4).twin.bias
        assert bias.cpu_frequency_hz.model_dump()["value"] == bias_hz
        assert bias.known
    for figure in plan.figures[1:4]:
        biased = {series.world for panel in figure.panels for series in panel.series if series.method == "maddpg"}
        assert biased == {"+", "-"}
    assert {"p2-exact", "llm", "maddpg", "ddpg", "apg", "edge-equal"} == {method.policy for method in plan.methods}


def test_llm6g_covers_figures_1_and_2() -> None:
    plan = llm6g.plan()
    assert [figure.name for figure in plan.figures] == ["fig1", "fig2"]
    (world,) = plan.worlds
    assert world.points == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    scenario = scenario_at(plan, "paper", world, 0.3)
    assert scenario.cost is not None
    system = scenario.system()
    assert (scenario.cost.time_weight, system.time_unit_s, system.energy_unit_j) == (
        0.3,
        1.0,
        1.0,
    )  # seconds and joules
    assert {"layers-exact", "ao-sqp-fp", "rlor", "rrlo"} == {method.policy for method in plan.methods}


def test_another_policy_may_stand_for_the_llm() -> None:
    plan = dtecn.plan(in_context="nearest-case")
    assert plan.method("llm") is None
    assert "llm" not in {series.method for figure in plan.figures for panel in figure.panels for series in panel.series}


# --------------------------------------------------------------------------------------------------------------- claims


def test_judge_is_the_position_of_the_interval() -> None:
    for mean, half, low, high, expected in (
        (-0.3, 0.1, *LESS, "yes"),
        (0.3, 0.1, *LESS, "no"),
        (-0.05, 0.1, *LESS, "open"),
        (1e-7, 1e-9, *MORE, "no"),  # significant, and none
        (0.01, 0.0, *SIMILAR, "yes"),
        (0.06, 0.0, *SIMILAR, "no"),
        (0.05, 0.01, *SIMILAR, "open"),
        (0.3, float("nan"), *MORE, "open"),  # one seed
    ):
        assert judge(Interval(mean, half), low, high) == expected, (mean, half)


PROPOSED, RLOR = Series("ao-sqp-fp", "square"), Series("rlor", "square")


@pytest.mark.parametrize(
    ("proposed", "rlor", "noise", "less", "falls", "level"),
    [
        ((8.0, 7.0, 6.0), (10.0, 10.0, 10.0), 1.0, "reproduces", "reproduces", "does not reproduce"),
        ((12.0, 12.0, 12.0), (10.0, 10.0, 10.0), 1.0, "does not reproduce", "does not reproduce", "does not reproduce"),
        ((8.0, 7.0, 11.0), (10.0, 10.0, 10.0), 1.0, "in part", "in part", "does not reproduce"),
        ((10.0, 10.0, 10.0), (10.0, 10.0, 10.0), 1.0, "does not reproduce", "does not reproduce", "does not reproduce"),
        ((-3.0, -4.0, -5.0), (10.0, 10.0, 10.0), 1.0, "reproduces", "reproduces", "reproduces"),
        ((0.1, 0.1, 0.1), (10.0, 10.0, 10.0), 5.0, "reproduces", "does not reproduce", "cannot be told"),
    ],
)
def test_verdicts_on_known_numbers(
    proposed: Sequence[float], rlor: Sequence[float], noise: float, less: Verdict, falls: Verdict, level: Verdict
) -> None:
    """Noise that both policies share cancels in paired differences, and not in the level itself."""
    means = {("square", "ao-sqp-fp"): proposed, ("square", "rlor"): rlor}
    measured = synthetic(SMALL, means, noise)
    metric = llm6g.COMPLETION
    for statement, expected in (
        (Versus(metric, PROPOSED, RLOR, *LESS), less),
        (Trend(metric, PROPOSED, rises=False), falls),
        (Level(metric, PROPOSED, float("-inf"), 0.0), level),
    ):
        found = findings_of(Claim("fig1", "", "", (statement,)), measured, "paper")
        assert verdict([finding.outcome for finding in found]) == expected, statement


def test_what_cannot_differ_is_not_testable() -> None:
    """A claimed difference, measured to be none: "not testable there" where the model leaves no choice, "does not
    reproduce" where it does. A difference that is there all the same is judged, and so is a claim of likeness.
    """
    bound = dataclasses.replace(SMALL, worlds=(dataclasses.replace(SMALL.worlds[0], alike="all is optimal"),))
    metric = llm6g.COMPLETION
    equal, more = (10.0, 10.0, 10.0), (10.0, 10.0, 12.0)
    cases: tuple[tuple[PaperPlan, Sequence[float], Versus, Verdict], ...] = (
        (bound, equal, Versus(metric, PROPOSED, RLOR, *LESS), "not testable there"),
        (bound, equal, Versus(metric, PROPOSED, RLOR, *MORE), "not testable there"),
        (SMALL, equal, Versus(metric, PROPOSED, RLOR, *LESS), "does not reproduce"),
        (SMALL, equal, Versus(metric, PROPOSED, RLOR, *LESS, alike_in=("paper",)), "not testable there"),
        (SMALL, equal, Versus(metric, PROPOSED, RLOR, *LESS, alike_in=("corrected",)), "does not reproduce"),
        (bound, more, Versus(metric, PROPOSED, RLOR, *LESS), "does not reproduce"),
        (bound, more, Versus(metric, PROPOSED, RLOR, *MORE), "in part"),
        (bound, equal, Versus(metric, PROPOSED, RLOR, *SIMILAR), "reproduces"),
    )
    for plan, level, statement, expected in cases:
        measured = synthetic(plan, {("square", "ao-sqp-fp"): level, ("square", "rlor"): equal}, noise=0.0)
        found = findings(statement, measured, "paper")
        assert verdict([finding.outcome for finding in found]) == expected, (level, statement)
    flat = synthetic(bound, {("square", "rlor"): equal}, noise=0.0)
    assert {one.outcome for one in findings(Trend(metric, RLOR, rises=True), flat, "paper")} == {"alike"}


def test_wide_intervals_are_not_alike() -> None:
    """That nothing can differ must be measured, too: an interval beyond 0.1 % says that something does, or is open."""
    for mean, half, expected in ((0.0, 0.0005, "alike"), (0.0, 0.01, "open"), (0.01, 0.001, "no")):
        assert Finding("", Interval(mean, half), *LESS, True, bound_alike=True).outcome == expected


def test_claims_of_the_bias_follow_the_true_speeds() -> None:
    """Delay and energy cannot depend on the sign of a known bias in mode corrected; what is invested can, and the
    statement of Fig. 3 about it is tested for the language model in both scenarios.
    """
    plan = dtecn.plan()
    across = [
        (claim, statement)
        for claim in plan.claims
        for statement in claim.statements
        if isinstance(statement, Versus) and statement.series.world != statement.other.world
    ]
    for _, statement in across:
        assert (statement.series.world[:-1], statement.other.world[:-1]) in (("", ""), ("congested", "congested"))
        assert statement.alike_in == (() if statement.metric == dtecn.RESOURCES else ("corrected",))
    (invested,) = {claim.quote: claim for claim, statement in across if statement.metric == dtecn.RESOURCES}.values()
    assert invested.figure == "fig3"
    assert "less resources will be subsequently invested" in invested.quote
    assert len(invested.statements) == 2


def test_penalty_stands_first_and_unstable_means_have_no_interval(tmp_path: Path) -> None:
    measured = synthetic(SMALL, {})
    for (_, _, policy, _), rows in measured.summaries.items():
        for row in rows[:3]:
            assert isinstance(row, dict)
            row["stable"] = policy != "rlor"
    page.write_claims(measured, page.judge_all(measured), "twin figures", tmp_path / "claims.md")
    text = (tmp_path / "claims.md").read_text("utf-8")
    assert "| mode | world | ωₜ | method | penalty | objective, expected | objective, realised |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| corrected | llm6g | 0.1 | `rlor` |")]
    assert re.fullmatch(r"\| corrected \| llm6g \| 0.1 \| `rlor` \| 2 unstable \| 2 ± 0 \| 2 unstable \|", line)
    assert "**Unstable**, mode paper, llm6g, ωₜ = 0.2: `rlor`." in text
    page.write_figure_data(SMALL.figures[0], measured, "paper", tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(encoding="utf-8", newline="") as file:
        told = {(row["policy"], row["unstable"]) for row in csv.DictReader(file)}
    assert told == {("layers-exact", "False"), ("ao-sqp-fp", "False"), ("rlor", "True"), ("rrlo", "False")}


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    measured = synthetic(SMALL, {})
    single = Measured(SMALL, ("paper",), (0,), {place: rows[:1] for place, rows in measured.summaries.items()})
    page.write_claims(single, page.judge_all(single), "twin figures", tmp_path / "claims.md")
    page.write_figure_data(SMALL.figures[0], single, "paper", tmp_path / "data.csv")
    for name in ("claims.md", "data.csv"):
        assert not re.search(r"\bnan\b", (tmp_path / name).read_text("utf-8"))


def test_unpaired_noise_leaves_it_open() -> None:
    measured = synthetic(SMALL, {})
    generator = np.random.default_rng(1)
    for rows in measured.summaries.values():
        for row in rows:
            assert isinstance(row, dict)
            row["completion_s_mean"] = float(generator.normal(10.0, 5.0))
    found = findings(Versus(llm6g.COMPLETION, PROPOSED, RLOR, *LESS, points=(0.1, 0.2)), measured, "paper")
    assert len(found) == 2
    assert verdict([finding.outcome for finding in found]) == "cannot be told"


def test_differences_are_paired_and_relative() -> None:
    """Mean and interval of a finding against SciPy's."""
    measured = synthetic(SMALL, {})
    rows = measured.summaries["paper", "square", "ao-sqp-fp", 0]
    own, other = np.array([1.0, 2.0, 4.0, 3.0, 5.0]), np.array([2.0, 2.5, 5.0, 5.0, 6.0])
    for row, base, a, b in zip(rows, measured.summaries["paper", "square", "rlor", 0], own, other, strict=True):
        assert isinstance(row, dict)
        assert isinstance(base, dict)
        row["completion_s_mean"], base["completion_s_mean"] = a, b
    found = findings(Versus(llm6g.COMPLETION, PROPOSED, RLOR, *LESS), measured, "paper")[0].found
    expected = (own - other) / other.mean()
    low, high = stats.t.interval(0.95, 4, expected.mean(), stats.sem(expected))
    np.testing.assert_allclose([found.mean - found.half_width, found.mean + found.half_width], [low, high])


def test_missing_policies_are_named_and_leave_their_claims_open(tmp_path: Path) -> None:
    plan = dataclasses.replace(
        SMALL, methods=(*SMALL.methods[:1], dataclasses.replace(SMALL.methods[1], policy="no-such"), *SMALL.methods[2:])
    )
    found = runnable(plan)
    assert [method.policy for method in found.methods] == ["layers-exact", "rlor", "rrlo"]
    assert "there is no policy 'no-such'" in found.missing["no-such"]
    measured = synthetic(found, {})
    judged = page.judge_all(measured)
    assert {one.verdict for one in judged if "RLOR" in one.claim.quote} == {"cannot be told"}
    page.write_claims(measured, judged, "twin figures", tmp_path / "claims.md")
    assert "**Not run: `no-such`**" in (tmp_path / "claims.md").read_text("utf-8")
    with pytest.raises(InputError, match="no-such"):
        runnable(dataclasses.replace(plan, methods=plan.methods[1:]))


# -------------------------------------------------------------------------------------------------------------- drawing
