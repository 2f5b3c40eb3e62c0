"""`twin compare` and `twin sweep`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli import hints, output
from sim.cli.app import (
    Engine,
    Executor,
    Json,
    Scheduler,
    Settings,
    Workers,
    app,
    interrupted,
    load,
    note,
    print_json,
)
from sim.cli.help import examples

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario
    from sim.studies.comparison import Comparison

_SEEDS_ENOUGH = 10  # the next step proposes no more seeds than this

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="Built-in name or TOML file.")]
Policies = Annotated[str, typer.Option("--policies", metavar="A,B,...", help="Who is compared.")]
Seeds = Annotated[str, typer.Option("--seeds", metavar="0..19", help="Range or list; every policy gets all.")]
Baseline = Annotated[
    str | None, typer.Option("--baseline", help="Whom the others are compared with; by default the first.")
]
Slots = Annotated[int | None, typer.Option("--slots", min=1, help="How many slots to simulate.")]
Warmup = Annotated[
    str,
    typer.Option("--warmup", metavar="auto|N", help="Slots cut from every run for the penalty; auto: by MSER-5."),
]
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
KeepTraces = Annotated[
    str | None,
    typer.Option(
        "--keep-traces", metavar="DIR|URL", help="Where the trace of every run goes; by default none is kept."
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run again what is kept already.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where results go; by default below runs/.")]
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
    ),
)
def _compare(
    scenario: ScenarioName,
    policies: Policies,
    seeds: Seeds,
    baseline: Baseline = None,
    slots: Slots = None,
    settings: Settings = None,
    warmup: Warmup = "auto",
    precision: Precision = None,
    seeds_max: SeedsMax = None,
    workers: Workers = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    keep_traces: KeepTraces = None,
    out: Out = None,
    fresh: Fresh = False,
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
    from sim.show import compared, terminal
    from sim.studies import compare, plan

    chosen = load(scenario, settings, slots, engine=engine)
    directory = out if out is not None else compare.default_directory(scenario, chosen)
    names, numbers = compare.parse_policies(policies), compare.parse_seeds(seeds)
    if seeds_max is not None and precision is None:
        raise InputError("goes with --precision only", where="--seeds-max")
    rules = plan.Rules(
        compare.parse_warmup(warmup),
        None if precision is None else compare.parse_precision(precision),
        plan.SEEDS_MAX if seeds_max is None else seeds_max,
    )
    if plot is not None:
        from sim.show.figures.comparison import check_plot

        check_plot(plot)
    try:
        num_run = len(names) * len(numbers)
        with terminal.progress(num_run, shown=hints.is_shown(silent=as_json or quiet), what="runs") as progress:
            comparison = compare.compare(
                chosen,
                names,
                numbers,
                directory,
                baseline=baseline,
                **asdict(rules),
                num_worker=workers,
                executor=executor,
                scheduler=scheduler,
                keep_traces=keep_traces,
                fresh=fresh,
                progress=progress,
                tell=note,
            )
    except KeyboardInterrupt:
        return interrupted(f"interrupted; finished runs are kept, the same command goes on: {directory}")
    output.results_in(directory)
    if as_json:
        print_json({**comparison.to_dict(), "directory": str(directory), "runs_reused": comparison.num_reused})
    else:
        compared.comparison(comparison, f"{scenario}, {_count(comparison.seeds)}", directory)
    if plot is not None:
        _draw(comparison, Path(scenario).stem, plot, silent=as_json)
    again = [
        "compare",
        scenario,
        "--policies",
        policies,
        *_words(baseline, warmup, out, engine),
        *_by(workers, executor, scheduler),
    ]
    hints.tell(_after_comparison(comparison, directory, again, hints.set_words(settings, slots)))
    return 0


@app.command(
    name="sweep",
    epilog=examples(
        "twin sweep llm6g --policies layers-exact,rlor --seeds 0..19 --slots 1 --grid cost.time_weight=0.1,0.5,0.9",
        "twin sweep dtecn --policies edge-equal,p2-exact --seeds 0..4 --grid vehicles.num_vehicle=5,10,20 --workers 2",
        "twin sweep dtecn --policies random --seeds 0..4 --slots 50 --grid vehicles.num_vehicle=5,10 --engine events",
        "twin sweep dtecn --policies random --seeds 0..4 --slots 50 --grid vehicles.num_vehicle=5,10 --executor dask",
    ),
)
def _sweep(
    scenario: ScenarioName,
    policies: Policies,
    seeds: Seeds,
    grid: Annotated[
        list[str], typer.Option("--grid", metavar="KEY=a,b,c", help="Values of a scenario key; repeatable.")
    ],
    baseline: Baseline = None,
    slots: Slots = None,
    settings: Settings = None,
    warmup: Warmup = "auto",
    workers: Workers = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    keep_traces: KeepTraces = None,
    out: Out = None,
    fresh: Fresh = False,
    engine: Engine = None,
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Compare policies at every point of a grid of scenario values.

    The headline is the penalty per slot after a warm-up, one cut per point of the grid.
    A policy of one's own is FILE.py:CLASS. Finished runs are kept: a sweep that was stopped goes on where it was; what
    has changed since runs anew. Another engine changes nothing.
    """
    from sim.show import compared, terminal
    from sim.studies import compare, sweep

    def at(more: Sequence[str]) -> Scenario:
        return load(scenario, [*(settings or ()), *more], slots, engine=engine)

    points = sweep.parse_grid(grid)
    if slots is not None and "time.num_slot" in points:
        raise InputError("are given both", where="--slots, --grid time.num_slot", accepted="one of them")
    if engine is not None and "engine" in points:
        raise InputError("are given both", where="--engine, --grid engine", accepted="one of them")
    names, numbers = compare.parse_policies(policies), compare.parse_seeds(seeds)
    cut = compare.parse_warmup(warmup)
    directory = out if out is not None else compare.default_directory(scenario, at(()), "sweep")
    num_run = len(names) * len(numbers) * math.prod(map(len, points.values()))
    try:
        with terminal.progress(num_run, shown=hints.is_shown(silent=as_json or quiet), what="runs") as progress:
            found = sweep.sweep(
                at,
                names,
                points,
                numbers,
                directory,
                baseline=baseline,
                warmup=cut,
                num_worker=workers,
                executor=executor,
                scheduler=scheduler,
                keep_traces=keep_traces,
                fresh=fresh,
                progress=progress,
                tell=note,
            )
    except KeyboardInterrupt:
        return interrupted(f"interrupted; finished runs are kept, the same command goes on: {directory}")
    output.results_in(directory)
    if as_json:
        reused = sum(point.comparison.num_reused for point in found)
        print_json({"points": sweep.to_dict(found), "directory": str(directory), "runs_reused": reused})
    else:
        compared.sweep(found, f"{scenario}, {_count(numbers)}", directory)
    settled = [f"{key}={value}" for key, value in found[0].values.items()]
    words = [*_words(baseline, warmup, None, engine), *_by(workers, executor, scheduler)]
    at_point = ["compare", scenario, "--policies", policies, "--seeds", seeds, *words]
    look, changes = hints.report(directory), hints.set_words([*(settings or ()), *settled], slots)
    hints.tell([hints.Step("look at it", look), hints.Step("one point", [*at_point, *changes])])
    return 0


def _draw(comparison: Comparison, name: str, plot: Path, *, silent: bool) -> None:
    from sim.show import terminal
    from sim.show.figures.comparison import draw_comparison

    draw_comparison(comparison, name, plot)
    if not silent:
        terminal.say(f"figure: {plot}")


def _by(workers: int | None, executor: str | None, scheduler: str | None) -> list[str]:
    """Return the options that say who runs, as they were given."""
    given = {"--workers": workers, "--executor": executor, "--scheduler": scheduler}
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def _words(baseline: str | None, warmup: str, out: Path | None, engine: str | None) -> list[str]:
    """Return the other options that were given."""
    words = [] if baseline is None else ["--baseline", baseline]
    words += [] if warmup == "auto" else ["--warmup", warmup]
    words += hints.engine_words(engine)
    return words if out is None else [*words, "--out", str(out)]


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
        steps.append(hints.Step("more seeds", [*again, "--seeds", _ranges(more), *changes]))
    return steps


def _ranges(seeds: Sequence[int]) -> str:
    """Return seeds as ``--seeds`` reads them; consecutive seeds become a range.

    >>> _ranges([0, 1, 2, 3]), _ranges([0, 3, 4, 5, 9]), _ranges([4, 2])
    ('0..3', '0,3..5,9', '4,2')
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _count(seeds: Sequence[int]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
