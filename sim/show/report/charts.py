"""The charts of a report about runs: one run is shown in detail, several runs have one colour each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from sim.show.report.beside import ENERGIES
from sim.show.report.runs import ReportedRun
from sim.show.report.series import Chart, Curve

Runs = Sequence[ReportedRun]
Points = tuple[Floats, Floats]

QUANTILES = 500
"""Points of a distribution."""
MARKS_MAX = 100
"""Largest number of vertical lines per kind of event in one run; more lines would hide the charts."""
_EVENTS_MAX = 1000
_WAITING = {"cpu": "vehicles' CPUs", "uplink": "uplinks", "server": "servers"}


def charts_of(runs: Runs) -> list[Chart]:
    """Return the charts of runs; charts that have nothing to show are left out."""
    makers: tuple[Callable[[Runs], Iterator[Chart]], ...] = (
        _events,
        _penalty,
        _missed,
        _delays,
        _backlog,
        _waiting,
        _energy,
        _objective,
        _position_error,
        _gain_error,
        _size_error,
        _age,
        _bias,
        _decision_time,
        _prompts,
    )
    return [chart for make in makers for chart in make(runs) if any(len(curve.x) for curve in chart.curves)]


def event_kinds(runs: Runs) -> list[str]:
    """Return the kinds of events of all runs; the index of a kind is its colour and its line in the chart."""
    return sorted({kind for run in runs for _, kind, _ in run.events()})


def marks(runs: Runs) -> list[dict[str, object]]:
    """Return the vertical lines of all charts over time: kind, colour, times; kinds that are too frequent have none."""
    found: list[dict[str, object]] = []
    kinds = event_kinds(runs)
    for run in runs:
        for colour, kind in enumerate(kinds):
            times = sorted({round(time_s, 6) for time_s, one, _ in run.events() if one == kind})
            if 0 < len(times) <= MARKS_MAX:
                found.append({"kind": kind, "colour": colour, "run": run.index, "times": times})
    return found


def event_points(runs: Runs) -> list[dict[str, object]]:
    """Return the points of the chart of events; of a kind with very many events, only every n-th."""
    found: list[dict[str, object]] = []
    for run in runs:
        for colour, kind in enumerate(event_kinds(runs)):
            chosen = [(time_s, detail) for time_s, one, detail in run.events() if one == kind]
            step = -(-len(chosen) // _EVENTS_MAX) or 1
            times, details = zip(*chosen[::step], strict=True) if chosen else ((), ())
            more = f" (every {step}. shown)" if step > 1 else ""
            found.append(
                {
                    "label": f"{kind}: {len(chosen)}{more}" + (f" · {run.name}" if len(runs) > 1 else ""),
                    "kind": kind,
                    "colour": colour,
                    "run": run.index,
                    "x": [round(time_s, 6) for time_s in times],
                    "text": [detail[:200] for detail in details],
                }
            )
    return [points for points in found if points["x"]]


def _lines(runs: Runs, what: str, points: Callable[[ReportedRun], Points], colour: int = 0) -> list[Curve]:
    """Return one curve per run, labelled by its quantity if there is a single run, else by the run."""
    if len(runs) == 1:
        return [Curve(what, *points(runs[0]), colour)]
    return [Curve(run.name, *points(run), run.colour, run.index) for run in runs]


def _of_slots(name: str) -> Callable[[ReportedRun], Points]:
    return lambda run: (run.slot_time_s, run.column("slots", name))


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
    note = "What each slot cost: the objective without the drift of the backlog. Its mean is what a run is judged by."
    yield Chart("penalty", "Penalty", note, "per slot", _lines(runs, "penalty", _of_slots("penalty")))


def _missed(runs: Runs) -> Iterator[Chart]:
    note = "Of the tasks that appeared in a slot, the share that was late or dropped."

    def points(run: ReportedRun) -> Points:
        return run.slot_time_s, 100 * run.column("slots", "deadline_miss_ratio")

    yield Chart("missed", "Deadlines missed", note, "%", _lines(runs, "missed", points, 1))


def _waiting(runs: Runs) -> Iterator[Chart]:
    columns = {key: [run.column("slots", f"waiting_{key}_s") for run in runs] for key in _WAITING}
    if len(runs) > 1:
        curves = _lines(
            runs, "waiting", lambda run: (run.slot_time_s, np.sum([one[run.index] for one in columns.values()], axis=0))
        )
    else:
        curves = [
            Curve(_WAITING[key], runs[0].slot_time_s, values[0], colour)
            for colour, (key, values) in enumerate(columns.items())
            if np.nan_to_num(values[0]).any()
        ]
    note = (
        "Work that waits at the begin of a slot, in seconds of what it waits for, summed over all CPUs, uplinks and "
        "servers. In a stable run it does not keep growing."
    )
    yield Chart("waiting", "Work waiting", note, "s", curves)


def _backlog(runs: Runs) -> Iterator[Chart]:
    if len(runs) > 1:
        curves = _lines(runs, "", lambda run: (run.slot_time_s, run.lists("slots", "backlog_bytes").sum(axis=1)))
        yield Chart("backlog", "Backlog of the edge servers", "Bytes waiting at all servers.", "B", curves)
        return
    (run,) = runs
    curves = []
    backlog, known = run.lists("slots", "backlog_bytes"), run.lists("decisions", "estimated_backlog_bytes")
    for index, name in enumerate(run.class_names):
        if backlog.size:
            curves.append(Curve(name, run.slot_time_s, backlog[:, index], index))
    for index, name in enumerate(run.class_names):
        # If the twin always knows the truth, a second line would only hide the first.
        if known.size and known.shape[1] == len(run.class_names) and not _same(backlog, known):
            curves.append(
                Curve(f"{name}, as the twin knew it", run.decision_time_s, known[:, index], index, faint=True)
            )
    yield Chart("backlog", "Backlog of the edge servers", "Bytes waiting per task class, all servers.", "B", curves)


def _same(first: Floats, second: Floats) -> bool:
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=1e-9))


def _delays(runs: Runs) -> Iterator[Chart]:
    note = (
        "Share of the tasks that were done within a time, of all that ended; a dropped task never is. "
        "The upright lines are the deadlines. At first the axis ends where 19 of 20 are done; double-click to see all."
    )
    if len(runs) == 1:
        (run,) = runs
        curves = [Curve(task.name, *_delay_of(run, k), k) for k, task in enumerate(run.scenario.tasks)]
        lines: dict[float, dict[str, int]] = {}
        for index, task in enumerate(run.scenario.tasks):
            lines.setdefault(float(task.deadline_s), {})[task.name] = index
        # A line for several classes has no class's colour.
        x_lines = [
            (x, next(iter(of.values())) if len(of) == 1 else -1, f"deadline of {', '.join(of)}")
            for x, of in lines.items()
        ]
        yield Chart(
            "delay", "Delay of tasks", note, "", curves, kind="delay", x_lines=x_lines, x_end=_end(curves, *lines)
        )
        return
    for place, name in enumerate(dict.fromkeys(name for run in runs for name in run.class_names)):
        having = [run for run in runs if name in run.class_names]
        curves = [
            Curve(run.name, *_delay_of(run, run.class_names.index(name)), run.colour, run.index) for run in having
        ]
        deadlines = dict.fromkeys(float(run.scenario.tasks[run.class_names.index(name)].deadline_s) for run in having)
        x_lines = [(x, -1, "deadline") for x in deadlines]
        end_s = _end(curves, *deadlines)
        yield Chart(f"delay-{place}", f"Delay of {name}", note, "", curves, kind="delay", x_lines=x_lines, x_end=end_s)


def _delay_of(run: ReportedRun, task_class: int) -> Points:
    chosen = run.task_class == task_class
    return distribution(run.delay_s[chosen], run.outcome[chosen])


def _end(curves: Sequence[Curve], *deadlines: float) -> float:
    """Return the end of a distribution's axis when the page opens."""
    usual = [float(curve.x[np.searchsorted(curve.y, min(0.95, curve.y[-1]))]) for curve in curves if curve.x.size]
    return 1.1 * max([*usual, *deadlines])


def distribution(delay_s: Floats, outcome: NDArray[np.int8]) -> Points:
    """Return delays, and for each the share of tasks with at most this delay.

    Tasks in flight are left out. Dropped tasks count, but they are never done.

    >>> distribution(np.array([0.3, 0.1, 0.2, np.nan]), np.array([1, 1, 3, 0], dtype=np.int8))[1].round(3).tolist()
    [0.0, 0.333, 0.667]
    """
    done = np.sort(delay_s[(outcome == 1) | (outcome == 2)])
    num_ended = int((outcome > 0).sum())
    if not done.size:
        return np.zeros(0), np.zeros(0)
    chosen = np.unique(np.linspace(0, len(done) - 1, min(len(done), QUANTILES)).round().astype(np.int64))
    return np.concatenate([done[:1], done[chosen]]), np.concatenate([[0.0], (chosen + 1) / num_ended])


def _energy(runs: Runs) -> Iterator[Chart]:
    columns = {key: [run.column("slots", key) for run in runs] for key in ENERGIES}
    if len(runs) > 1:
        curves = _lines(
            runs, "", lambda run: (run.slot_time_s, np.sum([one[run.index] for one in columns.values()], axis=0))
        )
        yield Chart("energy", "Energy per slot", "What the tasks of a slot took, everywhere.", "J", curves)
        return
    curves = [
        Curve(ENERGIES[key], runs[0].slot_time_s, values[0], colour)
        for colour, (key, values) in enumerate(columns.items())
        if np.nan_to_num(values[0]).any()
    ]
    yield Chart("energy", "Energy per slot", "What the tasks of a slot took, by who spent it.", "J", curves)


def _objective(runs: Runs) -> Iterator[Chart]:
    curves = _lines(runs, "realised", _of_slots("objective"))
    note = "What each slot brought, the drift of the backlog included. Less is better."
    if len(runs) == 1:
        expected = runs[0].column("decisions", "objective_predicted")
        curves.append(Curve("expected", runs[0].decision_time_s, expected, 1, faint=True))
        note = "What each slot brought, and what followed from the twin's belief when it decided. Less is better."
    yield Chart("objective", "Objective", note, "per slot", curves)


def _of_vehicles(runs: Runs, name: str, *, absolute: bool = False) -> list[Curve]:
    """Return the curve of the mean over vehicles, and for a single run also that of the worst vehicle."""
    found = {run.index: run.over_vehicles(name, absolute=absolute) for run in runs}
    curves = _lines(runs, "mean", lambda run: found[run.index][:2])
    if len(runs) == 1:
        time_s, _, largest = found[runs[0].index]
        curves.append(Curve("worst vehicle", time_s, largest, 1, faint=True))
    return curves


def _position_error(runs: Runs) -> Iterator[Chart]:
    note = "Distance between where the twin believed a vehicle when it decided, and where it was."
    yield Chart("position", "Twin: position error", note, "m", _of_vehicles(runs, "position_error_m"))


def _gain_error(runs: Runs) -> Iterator[Chart]:
    curves = _of_vehicles(runs, "channel_gain_error_db", absolute=True)
    note = "Difference between estimated and true channel gain, either way."
    yield Chart("gain", "Twin: channel gain error", note, "dB", curves)


def _size_error(runs: Runs) -> Iterator[Chart]:
    found = {run.index: run.size_errors() for run in runs}
    if not any(np.nan_to_num(worst).any() for _, _, worst in found.values()):
        return
    curves = _lines(runs, "mean", lambda run: (found[run.index][0], 100 * found[run.index][1]))
    if len(runs) == 1:
        time_s, _, worst = found[runs[0].index]
        curves.append(Curve("worst vehicle", time_s, 100 * worst, 1, faint=True))
    note = "Difference between estimated and true task sizes in parts of the true ones, either way."
    yield Chart("size", "Twin: task size error", note, "%", curves)


def _age(runs: Runs) -> Iterator[Chart]:
    note = "How old the newest report of a vehicle was when the twin decided."
    yield Chart("age", "Twin: age of information", note, "s", _of_vehicles(runs, "age_of_information_s"))


def _bias(runs: Runs) -> Iterator[Chart]:
    found = {run.index: run.over_vehicles("estimation_bias_hz")[:2] for run in runs}
    if any(mean.any() for _, mean in found.values()):
        curves = _lines(runs, "mean over vehicles", lambda run: found[run.index])
        note = "Bias of the edge frequencies that the twin reckons with."
        yield Chart("bias", "Twin: estimation bias", note, "Hz", curves)


def _decision_time(runs: Runs) -> Iterator[Chart]:
    curves = []
    columns = {run.index: (run.column("decisions", "latency_ns") / 1e9, run) for run in runs}
    takes_time = any(latency_s.any() for latency_s, _ in columns.values())
    if takes_time:
        curves += _lines(
            runs, "latency, simulated", lambda run: (run.decision_time_s, _positive(columns[run.index][0]))
        )
    if len(runs) == 1 or not takes_time:
        walls = _lines(
            runs,
            "wall time of the policy",
            lambda run: (run.decision_time_s, _positive(run.column("decisions", "policy_wall_s"))),
            1,
        )
        curves += walls
    slot_s = runs[0].slot_s
    note = (
        "Simulated time from the begin of a decision to its commands, where decisions take any, or the wall time that "
        "the policy took. The dashed line is the length of a slot. Logarithmic."
    )
    level = (slot_s, f"slot, {slot_s:g} s")
    yield Chart("latency", "Time to decide", note, "s", curves, level=level, log=True)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _prompts(runs: Runs) -> Iterator[Chart]:
    for run in runs:
        of = "" if len(runs) == 1 else f" of {run.name}"
        key = "" if len(runs) == 1 else f"-{run.index}"
        slot_s = run.column("prompts", "slot") * run.slot_s
        columns = {"num_token": "prompt", "num_reused_token": "of it reused", "num_answer_token": "answer"}
        tokens = [
            Curve(name, slot_s, run.column("prompts", column), colour)
            for colour, (column, name) in enumerate(columns.items())
        ]
        times = [
            Curve(name, slot_s, run.column("prompts", f"{name}_wall_s"), colour)
            for colour, name in enumerate(("prefill", "decode"))
        ]
        note = "Tokens of each question to the language model, and of its answer."
        yield Chart(f"tokens{key}", f"Language model{of}: tokens", note, "tokens", tokens)
        note = "Wall time to read the prompt (prefill) and to write the answer (decode)."
        yield Chart(f"prompt-times{key}", f"Language model{of}: times", note, "s", times)
