"""`twin compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli import hints, output, studies
from sim.cli.app import Engine, Json, Settings, app, interrupted, load, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from sim.studies.comparison import Comparison
    from sim.studies.plan import Rules

_SEEDS_ENOUGH = 10  # the next step proposes no more seeds than this

Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="P%",
        help="Add seeds until every difference in penalty is known to P % of |the baseline's| + 1.",
    ),
]
SeedsMax = Annotated[
    int | None, typer.Option("--seeds-max", min=1, help="With --precision: at most so many, by default 100.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it, too: a name ending in .svg, .png or .pdf.")
]


@app.command(
    name="compare",
    epilog=examples(
        "twin compare dtecn-congested --policies local-only,edge-equal,greedy-latency --seeds 0..19",
        "twin compare my.toml --policies random,greedy-cost --seeds 0..4 --slots 500 --out runs/mine --json",
        "twin compare dtecn-congested --policies greedy-cost,p2-exact --seeds 0..9 --precision 0.5% --seeds-max 60",
        "twin compare rush-hour --policies p2-exact,random --seeds 0..4 --slots 200 --plot penalty.svg",
        "twin compare dtecn --policies greedy-cost,random --seeds 0..4 --slots 100 --engine events",
        "twin compare dtecn --policies greedy-cost,random --seeds 0..19 --executor dask --scheduler tcp://10.0.0.1:8786",
        "twin compare dtecn --policies greedy-cost,./mine.py:Mine --seeds 0..4 --keep-traces traces --out runs/mine",
    ),
)
def _compare(
    scenario: studies.ScenarioName,
    policies: studies.Policies,
    seeds: studies.Seeds,
    baseline: studies.Baseline = None,
    slots: studies.Slots = None,
    settings: Settings = None,
    warmup: studies.Warmup = "auto",
    precision: Precision = None,
    seeds_max: SeedsMax = None,
    workers: studies.Workers = None,
    executor: studies.Executor = None,
    scheduler: studies.Scheduler = None,
    shard: studies.ShardOption = None,
    list_jobs: studies.ListJobs = False,
    collect: studies.Collect = None,
    keep_traces: studies.KeepTraces = None,
    out: studies.Out = None,
    fresh: studies.Fresh = False,
    engine: Engine = None,
    plot: Plot = None,
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Compare policies on common random numbers: means, and paired differences with 95 % intervals.

    The headline is the penalty per slot after a warm-up: -QoS + energy + deadlines missed, with the scenario's weights.
    A policy of one's own is FILE.py:CLASS. Finished runs are kept: a comparison that was stopped goes on where it was;
    one whose policy, weights, scenario or traces have changed since runs anew. Another engine changes nothing.
    """
    from sim.show import terminal
    from sim.studies import compare, plan

    part = studies.Part(list_jobs, shard, collect)
    who = studies.Who(workers, executor, scheduler, keep_traces, fresh)
    chosen = load(scenario, settings, slots, engine=engine)
    directory = out if out is not None else compare.default_directory(scenario, chosen)
    names, numbers = compare.parse_policies(policies), compare.parse_seeds(seeds)
    rules = _rules(warmup, precision, seeds_max)
    if plot is not None:
        from sim.show.figures.comparison import check_plot

        check_plot(plot)
    shown = hints.is_shown(silent=as_json or quiet)
    bar = terminal.progress(len(names) * len(numbers), shown=shown, what="runs")
    try:
        if part.is_given:
            if precision is not None:
                raise InputError("needs results to go on", where="--precision", accepted="without --shard and the like")
            if plot is not None and not collect:
                raise InputError("needs results to draw", where="--plot", accepted="with --collect, or without --shard")
            planned = plan.plan_comparison(chosen, names, numbers, rules.warmup)
            if part.serve(planned, directory, who, bar, as_json=as_json):
                return 0
        with bar as progress:
            given = {**asdict(rules), **who.options, "baseline": baseline, "progress": progress}
            comparison = compare.compare(chosen, names, numbers, directory, **given)
    except KeyboardInterrupt:
        return interrupted(f"interrupted; finished runs are kept, the same command goes on: {directory}")
    _show(comparison, scenario, directory, plot, as_json=as_json)
    words = [*studies.words_of(baseline, warmup, out, engine), *who.words]
    again = ["compare", scenario, "--policies", policies, *words]
    hints.tell(_after_comparison(comparison, directory, again, hints.set_words(settings, slots)))
    return 0


def _rules(warmup: str, precision: str | None, seeds_max: int | None) -> Rules:
    from sim.studies import compare, plan

    if seeds_max is not None and precision is None:
        raise InputError("goes with --precision only", where="--seeds-max")
    return plan.Rules(
        compare.parse_warmup(warmup),
        None if precision is None else compare.parse_precision(precision),
        plan.SEEDS_MAX if seeds_max is None else seeds_max,
    )


def _show(comparison: Comparison, scenario: str, directory: Path, plot: Path | None, *, as_json: bool) -> None:
    """Print a comparison, and draw it if that is asked for."""
    from sim.show import compared

    output.results_in(directory)
    if as_json:
        print_json({**comparison.to_dict(), "directory": str(directory), "runs_reused": comparison.num_reused})
    else:
        compared.comparison(comparison, f"{scenario}, {studies.count(comparison.seeds)}", directory)
    if plot is not None:
        _draw(comparison, Path(scenario).stem, plot, silent=as_json)


def _draw(comparison: Comparison, name: str, plot: Path, *, silent: bool) -> None:
    from sim.show import terminal
    from sim.show.figures.comparison import draw_comparison

    draw_comparison(comparison, name, plot)
    if not silent:
        terminal.say(f"figure: {plot}")


def _after_comparison(
    compared: Comparison, directory: Path, again: Sequence[str], changes: Sequence[str]
) -> list[hints.Step]:
    """Return next steps after a comparison: view it, view a run of the best policy, add seeds if there are few.

    again : the same comparison, without seeds
    changes : options that change the scenario
    """
    from sim.studies.comparison import HEADLINE

    steady = [policy for policy in compared.policies if compared.stable[policy] is not False] or compared.policies
    best = min(steady, key=lambda policy: compared.means[policy][HEADLINE].mean)
    steps = [
        hints.Step("look at it", hints.report(directory)),
        hints.Step("the best one", ["run", again[1], "--policy", best, "--seed", compared.seeds[0], *changes]),
    ]
    if len(compared.seeds) < _SEEDS_ENOUGH and compared.precision is None:
        next_seed = max(compared.seeds) + 1
        more = [*compared.seeds, *range(next_seed, next_seed + _SEEDS_ENOUGH)]
        steps.append(hints.Step("more seeds", [*again, "--seeds", studies.ranges(more), *changes]))
    return steps
