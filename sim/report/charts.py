"""Which charts a report has, and their curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.report.runs import ReportedRun
from sim.report.series import Chart, Curve

Floats = NDArray[np.float64]
Runs = Sequence[ReportedRun]

QUANTILES = 500
"""Points of a distribution."""
MARKS_MAX = 100
"""Vertical lines per kind of event in one run; with more of them, lines would hide the charts."""
_EVENTS_MAX = 1000


def charts_of(runs: Runs) -> list[Chart]:
    """Return the charts of runs; those without anything to show are left out."""
    makers: tuple[Callable[[Runs], Iterator[Chart]], ...] = (
        *(_events, _penalty, _waiting, _backlog, _delays, _missed, _energy, _objective, _position_error),
        *(_gain_error, _size_error, _age, _bias, _decision_time, _prompts),
    )
    return [chart for make in makers for chart in make(runs) if any(len(curve.x) for curve in chart.curves)]


def event_kinds(runs: Runs) -> list[str]:
    """Return the kinds of events of all runs; the place of one is its colour and its line in the chart."""
    return sorted({kind for run in runs for _, kind, _ in run.events()})


def marks(runs: Runs) -> list[dict[str, object]]:
    """Return the vertical lines of all charts over time: kind, colour, times; none of a kind that is too frequent."""
    found: list[dict[str, object]] = []
    kinds = event_kinds(runs)
    for run in runs:
        for colour, kind in enumerate(kinds):
            times = sorted({round(time_s, 6) for time_s, one, _ in run.events() if one == kind})
            if 0 < len(times) <= MARKS_MAX:
                found.append({"kind": kind, "colour": colour, "run": run.index, "times": times})
    return found


def event_points(runs: Runs) -> list[dict[str, object]]:
    """Return the points of the chart of events; of a kind with very many, every n-th."""
    found: list[dict[str, object]] = []
    for run in runs:
        for colour, kind in enumerate(event_kinds(runs)):
            chosen = [(time_s, detail) for time_s, one, detail in run.events() if one == kind]
            step = -(-len(chosen) // _EVENTS_MAX) or 1
            times, details = zip(*chosen[::step], strict=True) if chosen else ((), ())
            more = f" (every {step}. shown)" if step > 1 else ""
            found.append(
                {
                    "label": f"{kind}: {len(chosen)}{more}",
                    "kind": kind,
                    "colour": colour,
                    "run": run.index,
                    "x": [round(time_s, 6) for time_s in times],
                    "text": [detail[:200] for detail in details],
                }
            )
    return [points for points in found if points["x"]]


def _named(runs: Runs, run: ReportedRun, what: str) -> str:
    return what if len(runs) == 1 else f"{what} · {run.name}"


def _events(runs: Runs) -> Iterator[Chart]:
    points = event_points(runs)
    if points:
        note = (
            "Timed events of the scenario, fallbacks, repaired and guarded decisions; touch a mark to read it. They "
            f"are the vertical lines in the charts below, too, except kinds with more than {MARKS_MAX}."
        )
        empty = [Curve(str(one["label"]), np.zeros(1), np.zeros(1), 0) for one in points[:1]]  # drawn from the points
        yield Chart("events", "Events", note, "", empty, kind="events")


def _penalty(runs: Runs) -> Iterator[Chart]:
    curves = [
        Curve(_named(runs, run, "penalty"), run.slot_time_s, run.column("slots", "penalty"), 0, run.index)
        for run in runs
    ]
    note = "What each slot cost: the objective without the drift of the backlog. Its mean is what a run is judged by."
    yield Chart("penalty", "Penalty", note, "per slot", curves)


def _waiting(runs: Runs) -> Iterator[Chart]:
    curves = []
    for colour, (key, name) in enumerate({"cpu": "vehicles' CPUs", "uplink": "uplinks", "server": "servers"}.items()):
        values = [run.column("slots", f"waiting_{key}_s") for run in runs]
        if any(np.nan_to_num(one).any() for one in values):
            for run, one in zip(runs, values, strict=True):
                curves.append(Curve(_named(runs, run, name), run.slot_time_s, one, colour, run.index))
    note = (
        "Work that waits at the begin of a slot, in seconds of what it waits for, summed over all CPUs, uplinks and "
        "servers. In a stable run it does not keep growing."
    )
    yield Chart("waiting", "Work waiting", note, "s", curves)


def _backlog(runs: Runs) -> Iterator[Chart]:
    curves = []
    for run in runs:
        backlog = run.lists("slots", "backlog_bytes")
        for index, name in enumerate(run.class_names):
            if backlog.size:
                curves.append(Curve(_named(runs, run, name), run.slot_time_s, backlog[:, index], index, run.index))
        reported = run.lists("decisions", "estimated_backlog_bytes")
        if len(runs) == 1 and reported.size and reported.shape[1] == len(run.class_names):
            for index, name in enumerate(run.class_names):
                label = f"{name}, as the twin knew it"
                curves.append(Curve(label, run.decision_time_s, reported[:, index], index, run.index, faint=True))
    yield Chart("backlog", "Backlog of the edge servers", "Bytes waiting per task class, all servers.", "B", curves)


def _delays(runs: Runs) -> Iterator[Chart]:
    curves: list[Curve] = []
    lines: dict[float, dict[str, int]] = {}
    usual_s = 0.0
    for run in runs:
        task_class = run.table("tasks").column("task_class").to_numpy()
        delay_s = run.column("tasks", "done_ns") / 1e9 - run.column("tasks", "generated_ns") / 1e9
        for index, task in enumerate(run.scenario.tasks):
            x, y = distribution(delay_s[task_class == index], run.outcome[task_class == index])
            curves.append(Curve(_named(runs, run, task.name), x, y, index, run.index))
            if x.size:
                usual_s = max(usual_s, float(x[np.searchsorted(y, min(0.95, y[-1]))]))
            lines.setdefault(float(task.deadline_s), {})[task.name] = index
    note = (
        "Share of the tasks that were done within a time, of all that ended; a dropped task never is. "
        "The upright lines are the deadlines. At first the axis ends where 19 of 20 are done; double-click to see all."
    )
    end_s = 1.1 * max(usual_s, *lines)
    # A line of several classes has the colour of none.
    x_lines = [
        (x, next(iter(of.values())) if len(of) == 1 else -1, f"deadline of {', '.join(of)}") for x, of in lines.items()
    ]
    yield Chart("delay", "Delay of tasks", note, "", curves, kind="delay", x_lines=x_lines, x_end=end_s)


def distribution(delay_s: Floats, outcome: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """Return delays and the share of tasks done by then; tasks in flight do not count, dropped ones are never done.

    >>> distribution(np.array([0.3, 0.1, 0.2, np.nan]), np.array([1, 1, 3, 0], dtype=np.int8))[1].round(3).tolist()
    [0.0, 0.333, 0.667]
    """
    done = np.sort(delay_s[(outcome == 1) | (outcome == 2)])
    num_ended = int((outcome > 0).sum())
    if not done.size:
        return np.zeros(0), np.zeros(0)
    chosen = np.unique(np.linspace(0, len(done) - 1, min(len(done), QUANTILES)).round().astype(np.int64))
    return np.concatenate([done[:1], done[chosen]]), np.concatenate([[0.0], (chosen + 1) / num_ended])


def _missed(runs: Runs) -> Iterator[Chart]:
    curves = [
        Curve(_named(runs, run, "missed"), run.slot_time_s, run.column("slots", "deadline_miss_ratio"), 1, run.index)
        for run in runs
    ]
    note = "Of the tasks that appeared in a slot, the share that was late or dropped."
    yield Chart("missed", "Deadlines missed", note, "share", curves)


def _energy(runs: Runs) -> Iterator[Chart]:
    kinds = {"energy_local_j": "vehicles", "energy_edge_j": "edge servers", "energy_transmit_j": "transmission"}
    curves = []
    for colour, (key, name) in enumerate(kinds.items()):
        values = [run.column("slots", key) for run in runs]
        if colour < 2 or any(np.nan_to_num(one).any() for one in values):
            for run, one in zip(runs, values, strict=True):
                curves.append(Curve(_named(runs, run, name), run.slot_time_s, one, colour, run.index))
    yield Chart("energy", "Energy per slot", "What the tasks of a slot took, by who spent it.", "J", curves)


def _objective(runs: Runs) -> Iterator[Chart]:
    curves = []
    for run in runs:
        realised, expected = run.column("slots", "objective"), run.column("decisions", "objective_predicted")
        curves.append(Curve(_named(runs, run, "realised"), run.slot_time_s, realised, 0, run.index))
        curves.append(Curve(_named(runs, run, "expected"), run.decision_time_s, expected, 1, run.index, faint=True))
    note = "What each slot brought, and what followed from the twin's belief when it decided. Less is better."
    yield Chart("objective", "Objective", note, "per slot", curves)


def _of_vehicles(runs: Runs, name: str, scale: float = 1.0, *, absolute: bool = False) -> Iterator[Curve]:
    for run in runs:
        time_s, mean, largest = run.over_vehicles(name, absolute=absolute)
        yield from _mean_and_worst(runs, run, time_s, mean * scale, largest * scale)


def _mean_and_worst(runs: Runs, run: ReportedRun, time_s: Floats, mean: Floats, worst: Floats) -> Iterable[Curve]:
    yield Curve(_named(runs, run, "mean"), time_s, mean, 0, run.index)
    yield Curve(_named(runs, run, "worst vehicle"), time_s, worst, 1, run.index, faint=True)


def _position_error(runs: Runs) -> Iterator[Chart]:
    note = "Distance between where the twin believed a vehicle when it decided, and where it was."
    yield Chart("position", "Twin: position error", note, "m", list(_of_vehicles(runs, "position_error_m")))


def _gain_error(runs: Runs) -> Iterator[Chart]:
    curves = list(_of_vehicles(runs, "channel_gain_error_db", absolute=True))
    note = "Difference between estimated and true channel gain, either way."
    yield Chart("gain", "Twin: channel gain error", note, "dB", curves)


def _size_error(runs: Runs) -> Iterator[Chart]:
    curves: list[Curve] = []
    for run in runs:
        time_s, mean, worst = run.size_errors()
        if np.nan_to_num(worst).any():
            curves += _mean_and_worst(runs, run, time_s, 100 * mean, 100 * worst)
    note = "Difference between estimated and true task sizes in parts of the true ones, either way."
    yield Chart("size", "Twin: task size error", note, "%", curves)


def _age(runs: Runs) -> Iterator[Chart]:
    note = "How old the newest report of a vehicle was when the twin decided."
    yield Chart("age", "Twin: age of information", note, "s", list(_of_vehicles(runs, "age_of_information_s")))


def _bias(runs: Runs) -> Iterator[Chart]:
    curves = []
    for run in runs:
        time_s, mean, _ = run.over_vehicles("estimation_bias_hz")
        if mean.any():
            curves.append(Curve(_named(runs, run, "mean over vehicles"), time_s, mean, 0, run.index))
    note = "Bias of the edge frequencies that the twin reckons with."
    yield Chart("bias", "Twin: estimation bias", note, "Hz", curves)


def _decision_time(runs: Runs) -> Iterator[Chart]:
    curves = []
    for run in runs:
        latency_s, wall_s = run.column("decisions", "latency_ns") / 1e9, run.column("decisions", "policy_wall_s")
        if latency_s.any():
            label = _named(runs, run, "latency, simulated")
            curves.append(Curve(label, run.decision_time_s, np.where(latency_s > 0, latency_s, np.nan), 0, run.index))
        label = _named(runs, run, "wall time of the policy")
        curves.append(Curve(label, run.decision_time_s, np.where(wall_s > 0, wall_s, np.nan), 1, run.index, faint=True))
    slot_s = runs[0].slot_s
    note = (
        "Simulated time from the begin of a decision to its commands, where decisions take any, and the wall time that "
        "the policy took. The dashed line is the length of a slot. Logarithmic."
    )
    level = (slot_s, f"slot, {slot_s:g} s")
    yield Chart("latency", "Time to decide", note, "s", curves, level=level, log=True)


def _prompts(runs: Runs) -> Iterator[Chart]:
    tokens: list[Curve] = []
    times: list[Curve] = []
    columns = {"num_token": "prompt", "num_reused_token": "of it reused", "num_answer_token": "answer"}
    for run in runs:
        slot_s = run.column("prompts", "slot") * run.slot_s
        for colour, (key, name) in enumerate(columns.items()):
            tokens.append(Curve(_named(runs, run, name), slot_s, run.column("prompts", key), colour, run.index))
        for colour, name in enumerate(("prefill", "decode")):
            values = run.column("prompts", f"{name}_wall_s")
            times.append(Curve(_named(runs, run, name), slot_s, values, colour, run.index))
    note = "Tokens of each question to the language model, and of its answer."
    yield Chart("tokens", "Language model: tokens", note, "tokens", tokens)
    note = "Wall time to read the prompt (prefill) and to write the answer (decode)."
    yield Chart("prompt-times", "Language model: times", note, "s", times)
