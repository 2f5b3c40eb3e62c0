"""The figures of both papers, measured anew, and what is left of their claims.

Read `plan` first: it says what a plan consists of. `dtecn` and `llm6g` are the plans of the two papers. `measure` runs
them, `drawing` draws, `judging` tests the claims, and `page` writes. Every number comes from the simulator.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physical.errors import InputError
from physical.seed import STORED_MAX, whole_seeds

if TYPE_CHECKING:
    from sim.show.figures.measure import Measured
    from sim.show.figures.page import Judged
    from sim.show.figures.plan import PaperPlan
    from sim.studies.executors.window import AnyExecutor

PAPERS = ("dtecn", "llm6g")


@dataclass(frozen=True)
class Produced:
    """The result of `produce`: the numbers, the verdicts, and the files."""

    measured: Measured
    judged: tuple[Judged, ...]
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return verdicts and files as plain data."""
        claims = [
            {
                "figure": one.claim.figure,
                "claim": one.claim.quote,
                "mode": one.mode,
                "where": one.group,
                "num_finding": len(one.findings),
                "num_holding": sum(finding.outcome == "yes" for finding in one.findings),
                "verdict": one.verdict,
            }
            for one in self.judged
        ]
        plan = self.measured.plan
        return {
            "paper": plan.name,
            "quick": plan.quick,
            "seeds": list(self.measured.seeds),
            "missing": dict(plan.missing),
            "penalty": self.measured.penalties(),
            "claims": claims,
            "files": [str(path) for path in self.files],
        }


def load(paper: str, *, quick: bool = False) -> PaperPlan:
    """Return the plan of a paper; `sim.show.figures.measure.runnable` leaves out what cannot be run here.

    Raises
    ------
    InputError : no such paper

    >>> [figure.name for figure in load("llm6g").figures]
    ['fig1', 'fig2']
    """
    if paper not in PAPERS:
        raise InputError(f"there are no figures of {paper!r}", where="PAPER", accepted=", ".join(PAPERS))
    made: PaperPlan = importlib.import_module(f"sim.show.figures.{paper}").plan(quick=quick)
    return made


def parse_modes(text: str, plan: PaperPlan) -> tuple[str, ...]:
    """Read ``corrected,paper``.

    Raises
    ------
    InputError : an unknown mode, or one that is given twice
    """
    modes = tuple(part.strip() for part in text.split(","))
    if not set(modes) <= set(plan.modes) or len(set(modes)) < len(modes):
        raise InputError(f"{text!r} does not name modes", where="--mode", accepted=",".join(plan.modes))
    return modes


def produce(
    plan: PaperPlan,
    modes: Sequence[str],
    seeds: Sequence[int],
    directory: Path,
    *,
    command: str,
    num_worker: int | None = None,
    executor: str | AnyExecutor | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Produced:
    """Run, judge, draw and write everything below `directory`; finished runs of an earlier command are used again.

    command : the command that the page names as its origin
    num_worker, executor, scheduler, fresh, tell : see `sim.compare`

    Raises
    ------
    InputError : a directory that cannot be written, a policy that refuses a scenario, nobody is there to run
    """
    from sim.show.figures import drawing, page
    from sim.show.figures.measure import measure, write_runs

    seeds = whole_seeds(seeds, where="figures", most=STORED_MAX)
    measured = measure(
        plan,
        modes,
        seeds,
        directory,
        num_worker=num_worker,
        executor=executor,
        scheduler=scheduler,
        fresh=fresh,
        progress=progress,
        tell=tell,
    )
    judged = page.judge_all(measured)
    files = []
    for figure in plan.figures:
        for mode in modes:
            stem = directory / f"{figure.name}-{mode}"
            data = stem.with_name(f"{stem.name}.csv")
            page.write_figure_data(figure, measured, mode, data)
            files += [*drawing.draw(figure, measured, mode, stem), data]
    claims, findings, runs = directory / "claims.md", directory / "claims.csv", directory / "runs.parquet"
    page.write_claims(measured, judged, command, claims)
    page.write_findings(judged, findings)
    write_runs(measured, runs)
    return Produced(measured, tuple(judged), (claims, findings, runs, *files))
