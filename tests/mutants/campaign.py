"""Tries mutants one after another, keeps what found each, and goes on where it was interrupted."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from tests.mutants.draw import Mutant
from tests.mutants.stages import STAGES, Copy, Stage
from traces.atomic import replacing

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
SPARE_S = 30.0
"""That a command may take beyond three times what it takes without a mutant."""
FOUND, SURVIVED, LISTED = "found", "SURVIVED", "equivalent"


class Known(NamedTuple):
    """A mutant that does what the source does; the text of its line tells it, whatever its number is."""

    file: str
    function: str
    before: str
    after: str


def known(path: Path = EQUIVALENT) -> dict[Known, str]:
    """Read the mutants that are shown to be equivalent, each with its reason."""
    listed = tomllib.loads(path.read_text("utf-8")).get("mutant", [])
    return {Known(*(one[name] for name in Known._fields)): one["reason"] for one in listed}


def is_known(mutant: Mutant) -> Known:
    """Return what `known` would call a mutant."""
    return Known(mutant.file, mutant.function, mutant.before, mutant.after)


@dataclass(frozen=True)
class Tried:
    """What came of a mutant.

    key, place, before, after : the mutant; its place is file:line
    verdict : FOUND, SURVIVED or LISTED
    stage : that found it
    why : what it found, or why there is nothing to find
    duration_s : s
    """

    key: str
    place: str
    before: str
    after: str
    verdict: str
    stage: str
    why: str
    duration_s: float

    def told(self) -> str:
        """Return all in two lines."""
        by = f" by {self.stage}" if self.stage else ""
        why = f": {self.why}" if self.why else ""
        return (
            f"{self.place}: {self.before}  ->  {self.after}\n  {self.verdict}{by}, {self.duration_s:.1f} s{why} "
            f"[{self.key}]"
        )


class Limits:
    """How long stages may take, s: they are run without a mutant when somebody asks first."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._limit_s: dict[Stage, float] = {}

    def of(self, stage: Stage, file: str) -> float:
        """Return the limit of a stage.

        Raises
        ------
        RuntimeError : it finds something in the tree as it is
        """
        if stage not in self._limit_s:
            ended = self._copy.run(stage, file, 3600.0)
            if ended.found:
                raise RuntimeError(f"{stage.name} finds something where there is no mutant: {ended.found}")
            self._limit_s[stage] = 3 * ended.duration_s + SPARE_S
        return self._limit_s[stage]


def attempt(mutant: Mutant, copy: Copy, limits: Limits, stages: Sequence[Stage] = STAGES) -> Tried:
    """Run stages on a mutant until one of them finds it."""
    spent_s = 0.0
    for stage in stages:
        if mutant.file.startswith(stage.of):
            limit_s = limits.of(stage, mutant.file)
            with copy.holding(mutant):
                ended = copy.run(stage, mutant.file, limit_s)
            spent_s += ended.duration_s
            if ended.found:
                return _tried(mutant, FOUND, stage.name, ended.found, spent_s)
    return _tried(mutant, SURVIVED, "", "", spent_s)


def _tried(mutant: Mutant, verdict: str, stage: str, why: str, duration_s: float) -> Tried:
    place = f"{mutant.file}:{mutant.line}"
    return Tried(mutant.key, place, mutant.before, mutant.after, verdict, stage, why, round(duration_s, 1))


class Results:
    """What came of mutants, in a file that is written anew after each."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        listed = json.loads(path.read_text("utf-8")) if resume and path.exists() else []
        self._tried = {one["key"]: Tried(**one) for one in listed}

    def of(self, mutant: Mutant) -> Tried | None:
        """Return what came of a mutant, if it was tried as it is drawn now."""
        tried = self._tried.get(mutant.key)
        return tried if tried is not None and tried.after == mutant.after else None

    def add(self, tried: Tried) -> None:
        """Keep what came of one more."""
        self._tried[tried.key] = tried
        with replacing(self._path) as file:
            file.write(json.dumps([asdict(one) for one in self._tried.values()], indent=1).encode())


def campaign(
    mutants: Sequence[Mutant],
    folder: Path,
    results: Results,
    reasons: Mapping[Known, str],
    *,
    again: bool = False,
    quick: bool = False,
) -> Iterator[Tried]:
    """Try mutants and yield what comes of each.

    folder : for the copy of the tree
    reasons : why some are equivalent; these are not tried
    again : try those that survived before
    quick : run the first stage only
    """
    copy = Copy(folder)
    limits = Limits(copy)
    for mutant in mutants:
        tried = results.of(mutant)
        if reason := reasons.get(is_known(mutant), ""):
            tried = _tried(mutant, LISTED, "", reason, 0.0)
        elif tried is None or tried.verdict == LISTED or (again and tried.verdict == SURVIVED):
            tried = attempt(mutant, copy, limits, STAGES[:1] if quick else STAGES)
        results.add(tried)
        yield tried


def summary(tried: Sequence[Tried]) -> str:
    """Return what came of all, in a few lines; what survived comes last."""
    verdicts = Counter(one.verdict for one in tried)
    stages = Counter(one.stage for one in tried if one.verdict == FOUND)
    by = f" ({', '.join(f'{number} by {stage}' for stage, number in stages.most_common())})" if stages else ""
    survivors = [one for one in tried if one.verdict == SURVIVED]
    total_s = sum(one.duration_s for one in tried)
    lines = [
        f"{len(tried)} mutants in {total_s:.0f} s: {verdicts[FOUND]} found{by}, {verdicts[LISTED]} are equivalent, "
        f"{len(survivors)} survived"
    ]
    return "\n".join([*lines, *(one.told() for one in survivors)])
