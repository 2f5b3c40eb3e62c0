"""Compares policies with the same random numbers: many runs, paired differences, confidence intervals.

A comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from physical.errors import InputError
from physical.seed import NUM_SEED_MAX, STORED_MAX
from sim.scenario.scenario import Scenario
from sim.studies.comparison import Comparison
from sim.studies.contents import place_of
from sim.studies.entrants import Policies
from sim.studies.evaluation import evaluate
from sim.studies.executors.window import AnyExecutor
from sim.studies.jobs import Finished, Job, JobsByPolicy, told_of
from sim.studies.plan import SEEDS_MAX, Plan, Rules, check_baseline, plan_comparison
from sim.studies.pool import Pool, silent
from sim.studies.results import Runs
from sim.studies.store import folder_of_study
from sim.studies.tables import write_comparison

SEEDS_CHECKED = 10
"""A precision is checked from this number of seeds on. With fewer seeds the length of the interval is chance."""
_DIGITS_MAX = len(str(STORED_MAX))


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
        last = last if dots else first
        if not (first.isdecimal() and last.isdecimal()):
            raise InputError(f"{_cut(part)!r} is not a seed or a range of seeds", where="--seeds", accepted=accepted)
        if max(len(first), len(last)) > _DIGITS_MAX or int(last) > STORED_MAX:
            raise InputError(f"{_cut(part)!r} is out of range", where="--seeds", accepted=f"0 to {STORED_MAX}")
        if (num := len(seeds) + int(last) - int(first) + 1) > NUM_SEED_MAX:
            raise InputError(f"{num} seeds are too many", where="--seeds", accepted=f"at most {NUM_SEED_MAX}")
        seeds.extend(range(int(first), int(last) + 1))
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"{_cut(text)!r} does not name different seeds", where="--seeds", accepted=accepted)
    return tuple(seeds)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def parse_warmup(text: str) -> int | None:
    """Read ``auto`` (None) or a number of slots.

    >>> parse_warmup("auto"), parse_warmup("200")
    (None, 200)
    """
    if text.strip() == "auto":
        return None
    if not text.strip().isdecimal():
        raise InputError(f"{text!r} is no number of slots", where="--warmup", accepted="auto, or for example 200")
    return int(text)


def parse_precision(text: str) -> float:
    """Read ``0.5%`` or ``0.005``.

    >>> parse_precision("0.5%"), parse_precision("0.01")
    (0.005, 0.01)
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        found = float(number) / (100 if percent else 1)
    except ValueError:
        found = math.nan
    if not 0 < found < 1:
        raise InputError(f"{text!r} is no precision", where="--precision", accepted="for example 0.5% or 0.005")
    return found


def compare(
    scenario: Scenario | str | Path,
    policies: Policies,
    seeds: Iterable[int] = range(10),
    out: str | Path | None = None,
    *,
    baseline: str | None = None,
    warmup: int | None = None,
    precision: float | None = None,
    seeds_max: int = SEEDS_MAX,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | Path | None = None,
    keep_traces: str | Path | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    tell: Callable[[str], None] = silent,
) -> Comparison:
    """Run every policy with every seed and compare them: means, and paired differences with 95 % intervals.

    With a directory, every finished run is kept there, with the penalty of every slot. It is not run again as long as
    scenario, policy, the files that they name, their code and this version of vectwin are the same; the engine may be
    another, as both give the same numbers. With a precision, seeds are added after the largest one until every
    difference of two stable policies is known to that precision: the sequential procedure of Law (2015), *Simulation
    Modeling and Analysis*, 5th ed., section 9.4.1, after Chow and Robbins (1965). Each check adds as many seeds as the
    present interval asks for, at most as many as there are.

    Parameters
    ----------
    scenario : or its name, or a TOML file
    policies : names with options, paths with a class, classes, objects; a mapping says what tables call them
    seeds : the same for every policy
    out : directory of the comparison; None: nothing is kept
    baseline : policy with which the others are compared; by default the first
    warmup : slots cut from every run for `penalty_mean`; None: MSER-5 decides
    precision : half-width to reach, in parts of |baseline's penalty| + 1; None: only the given seeds are run
    seeds_max : with a precision, the largest number of seeds
    num_worker : number of processes; with 1, this process runs everything; None: 1, with Dask one for each core
    executor : who runs: "local", processes of our own; "dask"; or an object whose `submit` begins a call and returns a
        future, such as an executor of `concurrent.futures`. None: "local"
    scheduler : with "dask", address of the scheduler, or its file; None: a cluster on this machine
    keep_traces : folder, or URL of fsspec, for the trace of every run, a folder each; None: no run writes a trace
    fresh : whether runs that are kept already are run again
    progress : called with the number of finished runs and the number of all runs
    tell : called with a line for the user: where the dashboard is, that a run failed

    Raises
    ------
    RunsFailedError : runs failed by their own fault; the others are through, and kept if there is a directory
    InputError : a policy or the baseline is unknown, the directory cannot be written, the warm-up leaves nothing

    >>> found = compare("dtecn", ["local-only", "edge-equal"], seeds=[1, 2])
    >>> found.means["edge-equal"]["penalty_mean"].mean < found.means["local-only"]["penalty_mean"].mean
    True
    """
    plan = plan_comparison(scenario, policies, seeds, warmup)
    reference = check_baseline(plan.who, baseline)
    directory = folder_of_study(out)
    rules = Rules(warmup, precision, seeds_max)
    rules.check(plan.points[0].scenario.time.num_slot, len(plan.seeds))
    pool = Pool(
        directory,
        num_worker=num_worker,
        executor=executor,
        scheduler=scheduler,
        keep_traces=keep_traces,
        fresh=fresh,
        tell=tell,
    )
    return _compared(plan, reference, rules, pool, directory, progress)


def _compared(
    plan: Plan,
    baseline: str,
    rules: Rules,
    pool: Pool,
    directory: Path | None,
    progress: Callable[[int, int], None],
) -> Comparison:
    """Run the jobs of a plan, and more seeds if a precision asks for them."""
    (point,) = plan.points
    seeds = plan.seeds
    if rules.precision is not None:
        seeds = _continued(seeds, min(SEEDS_CHECKED, rules.seeds_max) - len(seeds))
    found: ChainMap[Job, Finished] = ChainMap()
    while True:
        jobs = point.make(seeds)
        _finish(jobs, found, pool, progress)
        held = {policy: [found[job] for job in row] for policy, row in jobs.items()}
        comparison = evaluate(held, seeds, baseline, rules.warmup, rules.precision)
        if not (more := _num_missing(comparison, rules)):
            break
        seeds = _continued(seeds, more)
    if directory is not None:
        told = {**comparison.to_dict(), **told_of(plan.who, held, point.scenario)}
        write_comparison(comparison.rows(), told, directory)
    return replace(comparison, runs={policy: Runs(row, found) for policy, row in jobs.items()})


def _finish(
    jobs: JobsByPolicy, found: ChainMap[Job, Finished], pool: Pool, progress: Callable[[int, int], None]
) -> None:
    """Run the jobs of each policy that are not among the `found`, and add what they give."""
    missing = [job for row in jobs.values() for job in row if job not in found]
    given = pool.finish(missing, partial(_tell, progress, len(found), len(found) + len(missing)))
    found.maps.append(given)  # type: ignore[arg-type]  # a map that is only read


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _continued(seeds: tuple[int, ...], num: int) -> tuple[int, ...]:
    """Return the seeds with `num` more after the largest."""
    return (*seeds, *range(max(seeds) + 1, max(seeds) + 1 + num))


def _num_missing(comparison: Comparison, rules: Rules) -> int:
    """Return how many seeds to add; 0 if the precision is reached or cannot be reached."""
    num, reached = len(comparison.seeds), comparison.precision_reached
    if rules.precision is None or math.isnan(reached) or reached <= rules.precision:
        return 0
    wanted = math.ceil(num * (reached / rules.precision) ** 2)  # the interval shrinks as the root of the number
    return min(max(1, wanted - num), num, rules.seeds_max - num)


def default_directory(scenario_name: str, scenario: Scenario, kind: str = "compare") -> Path:
    """Return a directory that belongs to the scenario, so that a stopped comparison finds its runs again."""
    return Path("runs") / f"{kind}-{Path(scenario_name).stem}-{place_of(scenario)[:8]}"
