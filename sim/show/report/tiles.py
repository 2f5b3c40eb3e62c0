"""The five most important numbers of a run, each with its unit and with information on whether it is good.

They are the penalty (by which runs are judged), the missed deadlines, the delay, the energy, and the age of the twin's
information. If that age is 0, because reports arrive at once, the time of a decision takes its place. With several
runs, each number is compared with that of the first run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from physical.goals import goal_of
from physical.model import energy
from sim.show.report.beside import ENERGIES, Shown, beside
from sim.show.report.digits import count, duration, fixed, percent, plain
from sim.show.report.runs import ReportedRun
from sim.show.report.series import scale_of
from sim.show.report.tile import Tile, TileRow
from sim.studies.statistics import Interval

_CLASSES_MAX = 3


def tiles_of(runs: Sequence[ReportedRun]) -> list[Tile]:
    """Return the tiles of one run, or of several beside each other."""
    if len(runs) == 1:
        (run,) = runs
        return [_penalty(run), _missed(run), _delay(run), _energy(run), _knowledge(run)]
    return beside(
        [Shown(run.name, run.colour, _intervals(run), unstable=run.summary().get("stable") is False) for run in runs]
    )


def _intervals(run: ReportedRun) -> dict[str, Interval]:
    """Return the numbers of a summary; the numbers of a single run have no interval."""
    told = run.summary()
    return {
        key: Interval(float(value), math.nan)
        for key, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _penalty(run: ReportedRun) -> Tile:
    told = run.summary()
    parts = _penalty_parts(run)
    largest = max((abs(value) for value in parts.values()), default=0.0) or 1.0
    rows = [
        TileRow(name, fixed(value, 3), [(abs(value) / largest, 2 if value < 0 else 1)]) for name, value in parts.items()
    ]
    best = goal_of(run.system).penalty_min
    least = f"{best:.4g}".replace("-", "\N{MINUS SIGN}") if best else "0"
    about = f"less is better; no run is below {least}"
    return Tile("penalty", "Penalty", "per slot", plain(told.get("penalty_mean")), about, rows, (), _stability(told))


def _stability(told: dict[str, object]) -> str:
    return (
        "unstable: what waits keeps growing, and every mean depends on the length"
        if told.get("stable") is False
        else ""
    )


def _penalty_parts(run: ReportedRun) -> dict[str, float]:
    """Return the terms of the mean penalty."""
    penalty = run.column("slots", "penalty")
    counted = np.isfinite(penalty)
    if not counted.any():
        return {}
    energy_j = sum(run.column("slots", key) for key in ENERGIES)
    energy_mean = float(np.asarray(energy_j)[counted].mean())
    if run.scenario.cost:
        spent = run.system.cost_weights[1] * energy_mean
        return {"time": float(penalty[counted].mean()) - spent, "energy": spent}
    weights = run.system.objective
    return {
        "quality": -weights.qos_weight * float(run.column("slots", "qos")[counted].mean()),
        "energy": weights.energy_weight * energy_mean,
        "misses": weights.deadline_price * float(run.column("slots", "deadline_miss_ratio")[counted].mean()),
    }


def _missed(run: ReportedRun) -> Tile:
    outcome, ratio = run.outcome, run.summary_number("deadline_miss_ratio")
    late, dropped, ended = (int(np.isin(outcome, codes).sum()) for codes in ((2,), (3,), (1, 2, 3)))
    shares = {}
    for index, name in enumerate(run.class_names):
        mine = outcome[run.task_class == index]
        if (mine > 0).any():
            shares[name] = (float((mine > 1).sum() / (mine > 0).sum()), index)
    worst = max((share for share, _ in shares.values()), default=0.0)
    rows = [
        TileRow(name, percent(share), [(share / worst if worst else 0.0, index)])
        for name, (share, index) in sorted(shares.items(), key=lambda item: -item[1][0])[:_CLASSES_MAX]
    ]
    about = f"{count(late + dropped)} of {count(ended)} tasks: {count(late)} late, {count(dropped)} dropped"
    return Tile("missed", "Deadlines missed", "of tasks", percent(ratio), about, rows if len(shares) > 1 else ())


def _delay(run: ReportedRun) -> Tile:
    mean_s = run.summary_number("delay_s_mean")
    scale, unit = scale_of(mean_s or 0.0, "s")
    rows, parts = [], []
    for index, task in enumerate(run.scenario.tasks):
        mine = run.delay_s[(run.task_class == index) & np.isin(run.outcome, (1, 2))]
        if mine.size:
            part = float(mine.mean()) / float(task.deadline_s)
            parts.append(part)
            limit = f"of {duration(float(task.deadline_s), scale, unit)}"
            rows.append(TileRow(task.name, plain(float(mine.mean()) / scale), [(part, index)], limit, "", None, 1.0))
    about = f"on average {percent(float(np.mean(parts)))} of the deadline" if parts else "no task was done"
    value = plain(None if mean_s is None else mean_s / scale)
    return Tile("delay", "Delay of a task", unit, value, about, rows[:_CLASSES_MAX])


def _energy(run: ReportedRun) -> Tile:
    mean_j = run.summary_number("energy_j_mean")
    scale, unit = scale_of(mean_j or 0.0, "J")
    told = run.summary()
    spent = [float(told.get(key) or 0.0) for key in ENERGIES]
    total = sum(spent) or 1.0
    legend = [
        (index, f"{name} {percent(joule / total)}")
        for index, (name, joule) in enumerate(zip(ENERGIES.values(), spent, strict=True))
        if joule
    ]
    about = ""
    if mean_j is not None:
        drawn_w, most_w = mean_j / run.slot_s, _most_w(run)
        about = f"{plain(drawn_w)} W"
        if most_w:  # a reading such as eq. 7 of 'dtecn' uses more hardware than there is
            more = "; more than" if drawn_w > most_w else "; of"
            about += f"{more} {plain(most_w)} W with everything at full power"
    row = TileRow("", "", [(joule / total, index) for index, joule in enumerate(spent)])
    value = plain(None if mean_j is None else mean_j / scale)
    return Tile("energy", "Energy", f"{unit} per slot", value, about, [row], legend)


def _most_w(run: ReportedRun) -> float | None:
    """Return the power of all CPUs and servers at full speed, plus all radios if their energy counts.

    It is None with the edge energy rule "power", which adds watts to joules. If vehicles come and go, their mean number
    counts.
    """
    system = run.system
    if system.model.edge_energy_rule == "power":
        return None
    of_vehicles = np.asarray(system.kappa_vehicle) * np.asarray(system.cpu_hz) ** 3
    if system.joint:
        of_vehicles = of_vehicles + np.asarray(system.transmit_power_w)
    of_nodes = (
        energy.edge_power_w(float(hz), int(cores), float(kappa))
        for hz, cores, kappa in zip(system.node_hz, system.node_num_core, system.node_kappa, strict=True)
    )
    return float(of_vehicles.mean()) * system.num_present + float(sum(of_nodes))


def _knowledge(run: ReportedRun) -> Tile:
    """Return the tile of the age of the twin's information, or of the time to decide if that age is always 0."""
    age_s = run.summary_number("twin_age_s_mean")
    if age_s:
        scale, unit = scale_of(age_s, "s")
        worst_s = float(np.fmax.reduce(run.column("twin", "age_of_information_s"), initial=0.0))
        about = f"{plain(age_s / run.slot_s, 2)} slots old when the twin decides"
        row = TileRow("oldest", duration(worst_s))
        return Tile("age", "Age of information", unit, plain(age_s / scale), about, [row])
    wall_s, latency_s = run.column("decisions", "policy_wall_s"), run.column("decisions", "latency_ns") / 1e9
    if not wall_s.size:
        return Tile("decide", "Time to decide", "", plain(None), "nothing was decided")
    median_s, late_s = (float(value) for value in np.percentile(wall_s, (50, 99)))
    scale, unit = scale_of(median_s, "s")
    about = f"{percent(median_s / run.slot_s)} of a slot; the twin's information is never old"
    if latency_s.any():
        about = f"simulated: {duration(float(latency_s.mean()))}; a slot has {duration(run.slot_s)}"
    limit = f"of {duration(run.slot_s)}"
    rows = [TileRow("99 % within", f"{plain(late_s / scale)} {unit}", [(late_s / run.slot_s, 0)], limit, "", None, 1.0)]
    return Tile("decide", "Time to decide", f"{unit}, median", plain(median_s / scale), about, rows)
