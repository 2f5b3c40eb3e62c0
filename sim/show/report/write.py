"""Writes the report that suits the contents of the given folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from physical.errors import InputError
from sim.show.report import compared, swept
from sim.show.report.page import page
from sim.show.report.runs import ReportedRun, open_runs
from sim.show.report.study import MAPS, Study, is_study, is_unfinished, on_the_map, open_study, ranked, simulate_again
from traces.atomic import whole_file


def write_report(directories: Sequence[Path], out: Path, maps: int = MAPS) -> int:
    """Write the report of some runs, of a comparison or of a sweep; return its size in bytes.

    Parameters
    ----------
    directories : runs; or the folder of a comparison, and runs for its map; or the folder of a sweep
    maps : number of policies of a comparison whose first seed is simulated again for the map

    Raises
    ------
    InputError : there is no run, a run cannot be read or holds no slot, a comparison did not end, or the file name does
        not end in .html
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out.name!r} is no name for a page", where="--out", accepted="FILE.html")
    for directory in directories:
        if is_unfinished(directory):
            problem, accepted = "holds a comparison that did not end", "a whole one: the same command completes it"
            raise InputError(problem, where=str(directory), accepted=accepted)
    studies = [directory for directory in directories if is_study(directory)]
    if len(studies) > 1:
        raise InputError("are given several", where="comparisons", accepted="one comparison or sweep per page")
    # Somebody may have edited the numbers. A number that is too large, or no number, becomes a gap in a chart.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if studies:
            text = _of_study(open_study(studies[0]), [one for one in directories if one not in studies], maps)
        else:
            text = page(open_runs(directories))
    data = text.encode("utf-8")
    with whole_file(out) as file:
        file.write(data)
    return len(data)


def default_out(directories: Sequence[Path]) -> Path:
    """Return the default path of a report: in its folder, or beside the folders if there are several."""
    return directories[0] / "report.html" if len(directories) == 1 else Path("report.html")


def _of_study(study: Study, beside: Sequence[Path], maps: int) -> str:
    if study.is_sweep:
        if beside:
            raise InputError("is a sweep, which has no maps", where=str(study.directory), accepted="the sweep alone")
        return swept.page_of(study)
    (point,) = study.points
    if beside:
        given, order = open_runs(beside), ranked(point.comparison)
        for run in given:
            if run.recorded.policy in order:
                run.colour = order.index(run.recorded.policy)
        return compared.page_of(point, given, ["The runs are those that were given."])
    with TemporaryDirectory() as folder:
        runs: list[ReportedRun] = []
        lines: list[str] = []
        if maps:
            runs, lines = simulate_again(point, on_the_map(point, maps), Path(folder))
    shown = [f"The maps show seed {point.comparison.seeds[0]}, simulated again."] if runs else []
    return compared.page_of(point, runs, [*shown, *lines])
