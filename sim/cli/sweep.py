"""`twin sweep`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from physical.errors import InputError
from sim.cli import hints, output, studies
from sim.cli.app import Engine, Json, Settings, app, interrupted, load, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario


@app.command(
    name="sweep",
    epilog=examples(
        "twin sweep llm6g --policies layers-exact,rlor --seeds 0..19 --slots 1 --grid cost.time_weight=0.1,0.5,0.9",
        "twin sweep dtecn --policies edge-equal,p2-exact --seeds 0..4 --grid vehicles.num_vehicle=5,10,20 --workers 2",
        "twin sweep dtecn --policies random --seeds 0..4 --slots 50 --grid vehicles.num_vehicle=5,10 --engine events",
        "twin sweep dtecn --policies random --seeds 0..4 --slots 50 --grid vehicles.num_vehicle=5,10 --executor dask",
        "twin sweep dtecn --policies random --seeds 0..4 --grid vehicles.num_vehicle=5,10 --shard 0/8 --out shards/0",
        "twin sweep dtecn --policies random --seeds 0..4 --grid vehicles.num_vehicle=5,10 --collect shards --out study",
    ),
)
def _sweep(
    scenario: studies.ScenarioName,
    policies: studies.Policies,
    seeds: studies.Seeds,
    grid: Annotated[
        list[str], typer.Option("--grid", metavar="KEY=a,b,c", help="Values of a scenario key; repeatable.")
    ],
    baseline: studies.Baseline = None,
    slots: studies.Slots = None,
    settings: Settings = None,
    warmup: studies.Warmup = "auto",
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
    as_json: Json = False,
    quiet: hints.Quiet = False,
) -> int:
    """Compare policies at every point of a grid of scenario values.

    The headline is the penalty per slot after a warm-up, one cut per point of the grid.
    A policy of one's own is FILE.py:CLASS. Finished runs are kept: a sweep that was stopped goes on where it was; what
    has changed since runs anew. Another engine changes nothing.
    """
    from sim.show import compared, terminal
    from sim.studies import compare, plan, sweep

    def at(more: Sequence[str]) -> Scenario:
        return load(scenario, [*(settings or ()), *more], slots, engine=engine)

    part = studies.Part(list_jobs, shard, collect)
    who = studies.Who(workers, executor, scheduler, keep_traces, fresh)
    points = sweep.parse_grid(grid)
    for option, given, key in (("--slots", slots, "time.num_slot"), ("--engine", engine, "engine")):
        if given is not None and key in points:
            raise InputError("are given both", where=f"{option}, --grid {key}", accepted="one of them")
    names, numbers = compare.parse_policies(policies), compare.parse_seeds(seeds)
    cut = compare.parse_warmup(warmup)
    directory = out if out is not None else compare.default_directory(scenario, at(()), "sweep")
    num_run = len(names) * len(numbers) * math.prod(map(len, points.values()))
    bar = terminal.progress(num_run, shown=hints.is_shown(silent=as_json or quiet), what="runs")
    try:
        if part.is_given:
            planned = plan.plan_sweep(at, names, points, numbers, cut)
            if part.serve(planned, directory, who, bar, as_json=as_json):
                return 0
        with bar as progress:
            how = {**who.options, "baseline": baseline, "warmup": cut, "progress": progress}
            found = sweep.sweep(at, names, points, numbers, directory, **how)
    except KeyboardInterrupt:
        return interrupted(f"interrupted; finished runs are kept, the same command goes on: {directory}")
    output.results_in(directory)
    if as_json:
        reused = sum(point.comparison.num_reused for point in found)
        print_json({"points": sweep.to_dict(found), "directory": str(directory), "runs_reused": reused})
    else:
        compared.sweep(found, f"{scenario}, {studies.count(numbers)}", directory)
    settled = [f"{key}={value}" for key, value in found[0].values.items()]
    words = [*studies.words_of(baseline, warmup, None, engine), *who.words]
    at_point = ["compare", scenario, "--policies", policies, "--seeds", seeds, *words]
    look, changes = hints.report(directory), hints.set_words([*(settings or ()), *settled], slots)
    hints.tell([hints.Step("look at it", look), hints.Step("one point", [*at_point, *changes])])
    return 0
