"""Compares policies with the same random numbers: many runs, paired differences, confidence intervals.

A comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from physical.errors import InputError
from physical.seed import NUM_SEED_MAX, STORED_MAX, whole_seeds
from sim.scenario.scenario import Scenario
from sim.studies.comparison import Comparison
from sim.studies.contents import place_of
from sim.studies.entrants import Entrant, Policies, entrants
from sim.studies.evaluation import evaluate, write_runs
from sim.studies.jobs import Finished, Job, Jobs, told_of
from sim.studies.pool import Pool
from sim.studies.store import folder_of_study
from traces.atomic import whole_file

SEEDS_CHECKED = 10
"""A precision is checked from this number of seeds on. With fewer seeds the length of the interval is chance."""
SEEDS_MAX = 100
NUM_RUN_MAX = 1_000_000
_DIGITS_MAX = len(str(STORED_MAX))


@dataclass(frozen=True)
class Rules:
    """How to compare.

    Parameters
    ----------
    warmup : slots cut from every run for `penalty_mean`; None: MSER-5 decides
    precision : half-width to reach, in parts of |baseline's penalty| + 1; None: only the given seeds are run
    seeds_max : largest number of seeds
    """

    warmup: int | None = None
    precision: float | None = None
    seeds_max: int = SEEDS_MAX

    def check(self, num_slot: int, num_seed: int) -> None:
        """Refuse rules that cannot be followed.

        Raises
        ------
        InputError : the warm-up leaves nothing of runs of `num_slot` slots; `seeds_max` is less than `num_seed`, the
            number of given seeds, or too large
        """
        if self.warmup is not None and not 0 <= self.warmup < num_slot:
            accepted = f"auto, or 0 to {num_slot - 1}: something must stay of {num_slot} slots"
            raise InputError(f"{self.warmup} slots cannot be cut", where="--warmup", accepted=accepted)
        if self.precision is not None and self.seeds_max < num_seed:
            raise InputError(f"is less than the {num_seed} seeds given", where="--seeds-max")
        if self.precision is not None and self.seeds_max > NUM_SEED_MAX:
            raise InputError(f"{self.seeds_max} are too many", where="--seeds-max", accepted=f"at most {NUM_SEED_MAX}")


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


def seeds_of(seeds: Iterable[int], num_policy: int, num_point: int = 1) -> tuple[int, ...]:
    """Return the seeds of a study.

    Raises
    ------
    InputError : there is no seed, or seeds, policies and points make more than `NUM_RUN_MAX` runs
    """
    chosen = whole_seeds(seeds, where="--seeds", most=STORED_MAX)
    if (num := num_policy * len(chosen) * num_point) > NUM_RUN_MAX:
        where = "--policies, --seeds" + (", --grid" if num_point > 1 else "")
        raise InputError(f"{num} runs are too many", where=where, accepted=f"at most {NUM_RUN_MAX}")
    return chosen


def check_baseline(who: Sequence[Entrant], baseline: str | None) -> str:
    """Return the name of the baseline, by default the first one.

    Raises
    ------
    InputError : the baseline does not take part
    """
    names = [entrant.name for entrant in who]
    if baseline is not None and baseline not in names:
        raise InputError(f"{baseline!r} is not compared", where="--baseline", accepted=", ".join(names))
    return names[0] if baseline is None else baseline


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
    num_worker: int = 1,
    executor: Executor | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
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
    num_worker : number of processes that run; with 1, this process runs everything itself
    executor : runs the jobs, in place of processes of our own
    fresh : whether runs that are kept already are run again
    progress : called with the number of finished runs and the number of all runs

    Raises
    ------
    InputError : a policy or the baseline is unknown, the directory cannot be written, the warm-up leaves nothing

    >>> found = compare("dtecn", ["local-only", "edge-equal"], seeds=[1, 2])
    >>> found.means["edge-equal"]["penalty_mean"].mean < found.means["local-only"]["penalty_mean"].mean
    True
    """
    scenario = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    who = entrants(policies)
    reference = check_baseline(who, baseline)
    chosen = seeds_of(seeds, len(who))
    rules = Rules(warmup, precision, seeds_max)
    rules.check(scenario.time.num_slot, len(chosen))
    if precision is not None:
        chosen = _continued(chosen, min(SEEDS_CHECKED, seeds_max) - len(chosen))
    pool = Pool(folder_of_study(out), num_worker=num_worker, executor=executor, fresh=fresh)
    make = Jobs(scenario, who)
    found: dict[Job, Finished] = {}
    while True:
        runs = _finish(make(chosen), found, pool, progress)
        comparison = evaluate(runs, chosen, reference, warmup, precision)
        if not (more := _num_missing(comparison, rules)):
            break
        chosen = _continued(chosen, more)
    if out is not None:
        _write(comparison, who, scenario, Path(out))
    return comparison


def _finish(
    jobs: Mapping[str, Sequence[Job]], found: dict[Job, Finished], pool: Pool, progress: Callable[[int, int], None]
) -> dict[str, list[Finished]]:
    """Run the jobs of each policy that are not among the `found`, and return what all of them give."""
    missing = [job for row in jobs.values() for job in row if job not in found]
    found |= pool.finish(missing, partial(_tell, progress, len(found), len(found) + len(missing)))
    return {policy: [found[job] for job in row] for policy, row in jobs.items()}


def _write(comparison: Comparison, who: Sequence[Entrant], scenario: Scenario, directory: Path) -> None:
    write_runs(comparison.rows(), directory / "runs.parquet")
    report = json.dumps({**comparison.to_dict(), **told_of(who, comparison.runs, scenario)}, indent=2, allow_nan=False)
    with whole_file(directory / "compare.json") as file:
        file.write(f"{report}\n".encode())


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
