"""Numbers beside the map: the state of a run at every time, and the strip under the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from sim.show.report.runs import ReportedRun
from sim.show.report.series import POINTS_MAX, rounded


def live_of(run: ReportedRun) -> dict[str, Any]:
    """Return penalty and energy per slot and the share of missed deadlines up to every time, and the work that waits.

    The slots are those whose tasks are all known. Of very many slots, only every n-th is returned.
    """
    slots = run.slot_time_s
    step = max(1, -(-len(slots) // POINTS_MAX))
    penalty = run.column("slots", "penalty")
    late, dropped, done = (run.column("slots", f"num_{name}") for name in ("late", "dropped", "completed"))
    missed = np.cumsum(late + dropped)
    energy_j = sum(run.column("slots", f"energy_{kind}_j") for kind in ("local", "transmit", "edge"))
    waiting_s = sum(run.column("slots", f"waiting_{kind}_s") for kind in ("cpu", "uplink", "server"))
    series = {
        "penalty": _ratio(np.cumsum(np.nan_to_num(penalty)), np.cumsum(np.isfinite(penalty))),
        "missed": _ratio(missed, missed + np.cumsum(done)),
        "energy": _ratio(np.cumsum(energy_j), np.arange(1.0, len(slots) + 1)),
        "waiting": np.asarray(waiting_s, dtype=np.float64),
    }
    return {
        "x": [rounded(value) for value in slots[::step].tolist()],
        **{name: [rounded(value) for value in values[::step].tolist()] for name, values in series.items()},
    }


def strip(runs: Sequence[ReportedRun]) -> dict[str, Any]:
    """Return the curves under the clock: the share of missed deadlines, or the penalty if none is missed."""
    name, label = "deadline_miss_ratio", "deadlines missed"
    if not any(np.nan_to_num(run.column("slots", name)).any() for run in runs):
        name, label = "penalty", "penalty"
    curves = []
    for run in runs:
        values = run.column("slots", name)
        size = max(1, -(-len(values) // POINTS_MAX))
        padded = np.pad(values, (0, -len(values) % size), constant_values=np.nan).reshape(-1, size)
        known = np.isfinite(padded)
        means = _ratio(np.where(known, padded, 0.0).sum(axis=1), known.sum(axis=1))
        curves.append(
            {
                "run": run.index,
                "x": [rounded(value) for value in run.slot_time_s[::size].tolist()],
                "y": [rounded(value) for value in means.tolist()],
            }
        )
    return {"label": label, "curves": curves}


def _ratio(total: NDArray[Any], count: NDArray[Any]) -> Floats:
    found: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=np.asarray(count) > 0)
    return found
