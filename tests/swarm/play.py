"""Plays a case: runs it, checks its tables, and runs it again in other ways that must make no difference."""

from __future__ import annotations

import signal
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from physical.errors import InputError
from sim import Scenario, run
from sim.runs.replay import branch, verify
from sim.runs.run import RunResult
from tests.swarm.books import Books
from tests.swarm.checks import CHECKS, Violation, violations
from tests.swarm.draw import Case
from tests.swarm.rogue import Rogue, make_rogue
from traces.reader import Trace
from traces.schema import TABLES

_OTHER_PARTS = {"part_rows": 3, "part_seconds": 1e-9}


def policy_of(case: Case) -> str | Rogue | None:
    """Return what decides; objects are made anew for each run."""
    if case.policy.startswith("rogue"):
        return make_rogue(case.policy)
    return case.policy or None


def _refuses(case: Case) -> bool:
    """Whether the policy may end the run before it begins: it fails to get ready, or to describe itself."""
    return "kind=reset-" in case.policy or "kind=describe-" in case.policy


def digest_of(case: Case) -> str:
    """Return the digest of a case with other parts."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), limited(LIMIT_S):
        warnings.simplefilter("error")
        path = case.write(Path(folder))
        settings = [f"trace.{key}={value}" for key, value in _OTHER_PARTS.items()]
        return str(
            run(Scenario.load(path, settings), policy_of(case), seed=case.seed, keep_tables=False).summary["digest"]
        )


def is_timeless(case: Case) -> bool:
    """Whether a run does not depend on how fast the machine is."""
    return bool(case.data.get("twin", {}).get("decision", {}).get("latency") != "measured")


LIMIT_S = 30.0
"""CPU time that a case may take: a hundred times what most take."""


class EndlessError(BaseException):
    """A case takes too long; no guard of a policy should take it for the policy's error."""


@contextmanager
def limited(limit_s: float) -> Iterator[None]:
    """Let what takes more CPU time than it may end with an error, in a main thread where there are signals."""

    def stop(*_: object) -> None:
        raise EndlessError

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGPROF"):
        yield
        return
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def play(case: Case, folder: Path, limit_s: float = LIMIT_S, only: str = "") -> tuple[list[Violation], str]:
    """Return what is wrong with a case, and the digest of its run ("" if there is none).

    only : the check that matters; "" for all
    """
    try:
        with limited(limit_s):
            return _play(case, folder, only)
    except EndlessError as error:
        return [Violation("endless", f"more than {limit_s:g} CPU s: {_place(error)}")], ""


def _play(case: Case, folder: Path, only: str) -> tuple[list[Violation], str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scenario, result, found = _run(case, folder)
        if scenario is None or result is None:
            return found, ""
        name = only.partition(":")[0]
        found += violations(Books.open(folder / "run"), [one for one in CHECKS if name in {"", one}])
        if only in {"", "replay", "endless"}:
            found += _guarded("replay", lambda: _replay(folder))
        if only in {"", "branch", "endless"} and result.summary["slots"]:
            found += _guarded("branch", lambda: _branch(case, scenario, folder))
    return found, str(result.summary["digest"])


def _run(case: Case, folder: Path) -> tuple[Scenario | None, RunResult | None, list[Violation]]:
    try:
        scenario = Scenario.load(case.write(folder))
    except InputError as error:
        return None, None, [Violation("refused", str(error))]
    except Exception as error:  # whatever the product lets out
        return None, None, [_crash(error)]
    try:
        return scenario, run(scenario, policy_of(case), seed=case.seed, out=folder / "run"), []
    except InputError as error:
        told = str(error)
        if _refuses(case) and "\n" not in told and told.isprintable():
            return scenario, None, []
        return scenario, None, [Violation("refused", told)]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | EndlessError):
            raise
        return scenario, None, [_crash(error)]


def _crash(error: BaseException) -> Violation:
    place = _place(error)
    try:
        told = str(error)
    except Exception as other:  # there are errors that cannot be told
        told = f"{type(other).__name__} in its text"
    return Violation(f"crash: {place}", told.encode("ascii", "backslashreplace").decode()[:300])


def _place(error: BaseException) -> str:
    """Name an error and where it was raised, without its text: a shrunk case has another one."""
    while error.__cause__ is not None:  # what SimPy raises anew
        error = error.__cause__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
    if not frames:
        return type(error).__name__
    return f"{type(error).__name__} at {'/'.join(Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}"


def _guarded(name: str, act: Any) -> list[Violation]:
    try:
        return [Violation(name, told) for told in act()]
    except Exception as error:  # whatever the product lets out
        return [Violation(name, f"crash: {_place(error)}: {str(error)[:200]}")]


def _replay(folder: Path) -> list[str]:
    difference = verify(folder / "run").difference
    return [] if difference is None else [str(difference)]


def _branch(case: Case, scenario: Scenario, folder: Path) -> list[str]:
    """Let another policy decide from some time on; nothing before may differ."""
    at_s = round((case.seed % 997 / 997) * scenario.time.num_slot * scenario.time.slot_duration_s, 9)
    at_ns = round(at_s * 1e9)
    if at_ns >= scenario.time.num_slot * round(scenario.time.slot_duration_s * 1e9):
        return []
    other = "edge-equal" if case.seed % 2 else "random"
    _, result = branch(folder / "run", at_s, other)
    recorded = Trace(folder / "run")
    slot_ns = round(scenario.time.slot_duration_s * 1e9)
    found = []
    for name in ("vehicles", "decisions", "twin", "messages", "events", "tasks"):
        ours, theirs = (_before(name, rows, at_ns, slot_ns) for rows in (recorded.table(name), result.table(name)))
        if name == "twin":  # of decisions that were made before
            made = {row["slot"] for row in _before("decisions", recorded.table("decisions"), at_ns, slot_ns)}
            ours, theirs = ([row for row in rows if row["slot"] in made] for rows in (ours, theirs))
        if ours != theirs:
            different = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
            found.append(f"at {at_s} s: {name}: {different or (len(ours), len(theirs))}")
    return found


_TIME = {"decisions": "decided_ns", "messages": "sent_ns", "events": "time_ns", "tasks": "generated_ns"}


def _before(name: str, rows: pa.Table, at_ns: int, slot_ns: int) -> list[dict[str, Any]]:
    """Return the rows of what happened before a time, with what came later blanked out."""
    walls = [column.name for column in TABLES[name].columns if not column.digested]
    kept = []
    for found in rows.drop_columns(walls).to_pylist():
        row = dict(found)
        if (row["slot"] * slot_ns if name in {"vehicles", "twin"} else row[_TIME[name]]) >= at_ns:
            continue
        if name == "tasks":
            later = row["done_ns"] is None or row["done_ns"] >= at_ns
            stages = {
                key: None if value is None or value >= at_ns else value
                for key, value in row.items()
                if key.endswith("_ns")
            }
            row |= stages | ({"outcome": "in flight"} if later else {})
            if row["started_ns"] is None:
                row["offloading_ratio"] = None
        kept.append({key: _plain(value) for key, value in row.items()})
    return kept


def _plain(value: Any) -> Any:
    """Return a value that equals itself: NaN as a text."""
    if isinstance(value, list):
        return np.asarray(value, dtype=float).tobytes()
    return "nan" if isinstance(value, float) and np.isnan(value) else value
