"""A comparison or a sweep as a report reads it from its folder, and the runs that are simulated again for the map."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from physical.digits import counted
from physical.errors import InputError
from policies.foreign.by_path import reference
from policies.registry import make, names
from sim.runs.replay import recorded_scenario
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from sim.show.report.runs import ReportedRun
from sim.show.report.studyfile import PointFile, read_points
from sim.studies.comparison import HEADLINE, Comparison
from sim.studies.evaluation import evaluate
from sim.studies.jobs import Finished
from sim.studies.store import FOLDER, is_begun, read_row
from traces.jsonfile import is_file

FILES = ("compare.json", "sweep.json")
MAPS = 4
"""Default number of policies that get a map."""
_MAP_SLOTS = 400
_MAPS_WALL_S = 60.0
"""A run that took longer gets no map, because making the page would take as long."""
_REPORT = "twin report FOLDER DIR"


@dataclass(frozen=True)
class StudiedPoint:
    """The comparison at one point of a grid; a plain comparison has one point without values.

    values : key -> value
    texts : policy -> text that makes it; empty for classes and objects
    """

    values: dict[str, str]
    scenario: Scenario
    comparison: Comparison
    texts: dict[str, str]


@dataclass(frozen=True)
class Study:
    """A comparison, or a sweep."""

    directory: Path
    points: list[StudiedPoint]

    @property
    def is_sweep(self) -> bool:
        """Whether scenario values were varied."""
        return bool(self.points[0].values)


def is_study(directory: Path) -> bool:
    """Tell whether a folder holds a comparison or a sweep."""
    return any(is_file(directory / name) for name in FILES)


def open_study(directory: Path) -> Study:
    """Read a comparison or a sweep; all statistics are computed from the runs again, as `twin compare` computes them.

    If a folder holds both, the later one is read.

    Raises
    ------
    InputError : it cannot be read, lacks its scenario, or lacks runs
    """
    files = [directory / name for name in FILES if (directory / name).is_file()]
    file = max(files, key=lambda one: one.stat().st_mtime_ns)
    return Study(directory, [_point(told, directory, file) for told in read_points(file)])


def is_unfinished(directory: Path) -> bool:
    """Tell whether a folder holds runs of a comparison or a sweep that did not end."""
    return not is_study(directory) and is_begun(directory)


def _point(told: PointFile, directory: Path, file: Path) -> StudiedPoint:
    scenario = recorded_scenario(told.scenario, str(file))
    runs: dict[str, list[Finished]] = {}
    for policy in told.policies:
        found = [read_row(directory / FOLDER / f"{key}.parquet", key) for key in told.results[policy]]
        kept = [one for one in found if one is not None]
        if len(kept) < len(found):
            problem = f"lacks {counted(len(found) - len(kept), 'run')} of {policy}"
            raise InputError(
                problem, where=str(directory), accepted="a whole comparison: the same command completes it"
            )
        runs[policy] = kept
    cut = told.warmup_slots if told.warmup_rule == "given" else None
    if cut is not None and cut >= scenario.time.num_slot:
        accepted = f"0 to {scenario.time.num_slot - 1}"
        raise InputError(f"{cut} cannot be cut", where=str(file), key="warmup_slots", accepted=accepted)
    comparison = evaluate(runs, tuple(told.seeds), told.baseline, cut, told.precision.asked)
    texts = {policy: told.texts[policy] for policy in told.policies}
    return StudiedPoint(told.values, scenario, comparison, texts)


def ranked(comparison: Comparison) -> list[str]:
    """Return the policies, the best first; the unstable ones are the last, because their means say little."""
    return sorted(
        comparison.policies,
        key=lambda policy: (comparison.is_unstable(policy), comparison.means[policy][HEADLINE].mean),
    )


def on_the_map(point: StudiedPoint, num: int) -> list[str]:
    """Return the policies that get a map: the best ones, and always the baseline."""
    order = ranked(point.comparison)
    chosen = order[:num]
    if num and point.comparison.baseline not in chosen:
        chosen[-1] = point.comparison.baseline
    return chosen


def simulate_again(point: StudiedPoint, policies: Sequence[str], folder: Path) -> tuple[list[ReportedRun], list[str]]:
    """Simulate the first seed again, because a comparison keeps no traces.

    Return the runs, and the reasons why other policies have none. A run takes as many slots as the player needs, at
    most 400. Only policies by name are run, so that no code is imported only because a folder names it. If one policy
    cannot be run, the others still get a map.

    folder : for the traces
    """
    num_slot = min(point.scenario.time.num_slot, _MAP_SLOTS)
    part = num_slot / point.scenario.time.num_slot
    why_not = {policy: _why_not(point, policy) for policy in policies}
    named = [policy for policy in policies if not why_not[policy]]
    walls = [float(point.comparison.runs[policy][0].summary.get("wall_s") or 0.0) for policy in named]
    lines = [f"No map of {policy}: {why}." for policy, why in why_not.items() if why]
    if part * sum(walls) > _MAPS_WALL_S:
        told = f"simulating these runs again takes {part * sum(walls):.0f} s; give runs beside the folder."
        return [], [f"No map of {', '.join(named)}: {told}" if lines else f"No map: {told}", *lines]
    runs: list[ReportedRun] = []
    order = ranked(point.comparison)
    for policy in named:
        out = folder / str(len(runs))
        try:
            made = make(point.texts[policy], where=policy)  # never by path
            run(point.scenario, policy=made, seed=point.comparison.seeds[0], out=out, num_slot=num_slot)
        except InputError as error:
            lines.append(f"No map of {policy}: {error}; give runs beside the folder.")
            continue
        runs.append(ReportedRun(out, len(runs), policy, order.index(policy)))
    return runs, lines


def _why_not(point: StudiedPoint, policy: str) -> str:
    """Return why a policy is not simulated again, and what to do; empty for a policy by name."""
    text, seed = point.texts[policy], point.comparison.seeds[0]
    if not text:
        return f"it was given as an object. To have one: run(..., policy=..., seed={seed}, out=DIR), then {_REPORT}"
    if text.partition(":")[0].strip() in names() or reference(text) is None:
        return ""
    as_given = policy if reference(policy) is not None else text
    again = shlex.join(["twin", "run", "SCENARIO", "--policy", as_given, "--seed", str(seed), "--out", "DIR"])
    return f"pages import nobody's code. To have one: {again}, then {_REPORT}"
