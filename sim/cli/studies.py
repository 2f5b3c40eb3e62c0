"""What `twin compare` and `twin sweep` share: options, and the parts of a study that job arrays need."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physical.errors import InputError
from sim.cli import hints, output
from sim.cli.app import note, print_json

if TYPE_CHECKING:
    from sim.show.terminal import Telling
    from sim.studies.plan import Plan

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
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes to use; by default 1, with dask one for each core.")
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="NAME", help="Who runs: local, processes of this command; dask, a cluster. Equal results."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="With dask: tcp://HOST:PORT or the scheduler's file; without one, a cluster on this machine.",
    ),
]
KeepTraces = Annotated[
    str | None,
    typer.Option(
        "--keep-traces", metavar="DIR|URL", help="Where the trace of every run goes; by default none is kept."
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run again what is kept already.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where results go; by default below runs/.")]
ListJobs = Annotated[bool, typer.Option("--list-jobs", help="Run nothing: list the runs, and which are kept already.")]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Run part I of N, from 0, and keep it; for arrays of jobs."),
]
Collect = Annotated[
    list[Path] | None,
    typer.Option(
        "--collect",
        metavar="DIR",
        help="Take finished runs of shards from DIR, a shard's or one with such; repeatable.",
    ),
]


@dataclass(frozen=True)
class Who:
    """The options that say who runs and what is kept, as they were given."""

    workers: int | None
    executor: str | None
    scheduler: str | None
    keep_traces: str | None = None
    fresh: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `sim.compare` and `sim.sweep`."""
        return {
            "num_worker": self.workers,
            "executor": self.executor,
            "scheduler": self.scheduler,
            "keep_traces": self.keep_traces,
            "fresh": self.fresh,
            "tell": note,
        }

    @property
    def words(self) -> list[str]:
        """The words of a command line that has the same runs done in the same way."""
        given = {"--workers": self.workers, "--executor": self.executor, "--scheduler": self.scheduler}
        return [word for name, value in given.items() if value is not None for word in (name, str(value))]


@dataclass(frozen=True)
class Part:
    """The options for arrays of jobs, as they were given: list the runs, run some of them, collect them.

    Raises
    ------
    InputError : more than one of them is given
    """

    list_jobs: bool
    shard: str | None
    collect: Sequence[Path] | None

    def __post_init__(self) -> None:
        """See that at most one is given."""
        if sum((self.list_jobs, self.shard is not None, bool(self.collect))) > 1:
            raise InputError("are given together", where="--list-jobs, --shard, --collect", accepted="one of them")

    @property
    def is_given(self) -> bool:
        """Whether one of them is."""
        return self.list_jobs or self.shard is not None or bool(self.collect)

    def serve(
        self, plan: Plan, directory: Path, who: Who, progress: AbstractContextManager[Telling], *, as_json: bool
    ) -> bool:
        """Do what the options say; tell whether that is all, and no table is wanted.

        plan : of the whole study
        directory : of the study
        """
        from sim.studies import collect, shards
        from sim.studies.store import folder_of_study

        folder = folder_of_study(directory)
        assert folder is not None
        if self.list_jobs:
            _print_jobs([*shards.listing(plan, folder)], as_json=as_json)
            return True
        if self.collect:
            if any(not str(place).strip() or place == Path() for place in self.collect):  # an empty text is Path()
                raise InputError(
                    "is empty, or this folder",
                    where="--collect",
                    accepted="the name of a folder that a shard wrote, other than . here",
                )
            if who.fresh:
                raise InputError("are given both", where="--collect, --fresh", accepted="one of them")
            collect.collect(plan.jobs, self.collect, folder)
            return False
        assert self.shard is not None
        part = shards.parse_shard(self.shard)
        with progress as told:
            done = shards.run_shard(plan, part, folder, progress=told, **who.options)
        output.results_in(directory)
        if as_json:
            print_json({"directory": str(directory), **done.to_dict()})
        else:
            from sim.show import terminal

            terminal.say(f"{done}: {directory}")
        return True


def _print_jobs(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the runs of a study, a line each."""
    if as_json:
        print_json({"jobs": rows})
        return
    from sim.show import terminal

    terminal.jobs(rows)


def words_of(baseline: str | None, warmup: str, out: Path | None, engine: str | None) -> list[str]:
    """Return other options of a study as they were given."""
    words = [] if baseline is None else ["--baseline", baseline]
    words += [] if warmup == "auto" else ["--warmup", warmup]
    words += hints.engine_words(engine)
    return words if out is None else [*words, "--out", str(out)]


def ranges(seeds: Sequence[int]) -> str:
    """Return seeds as ``--seeds`` reads them; consecutive seeds become a range.

    >>> ranges([0, 1, 2, 3]), ranges([0, 3, 4, 5, 9]), ranges([4, 2])
    ('0..3', '0,3..5,9', '4,2')
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def count(seeds: Sequence[int]) -> str:
    """Return how many seeds there are, as words."""
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
