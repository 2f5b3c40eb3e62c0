"""Nothing does more than its hardware can: no CPU, no uplink, no spectrum, no server, in any window of time.

Recomputed from the recorded tables; with joint allocation the rates are observed, as no table has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.arrays import Floats
from physical.model import computing, energy
from physical.registry import EngineName
from physical.system import System
from physical.ticks import NS_PER_S, TICKS_PER_S, to_ns
from sim.runs.run import RunResult
from tests.property.eventful import hardware_case_of
from tests.property.families import Case
from tests.property.layer_families import check_capacity_in_force
from tests.support.tables import Columns, columns

ROUNDING_S = 4e-9  # each end of a stage is recorded in whole ns


def check_windows(
    begin_s: Floats, end_s: Floats, work: Floats, supply: Callable[[Floats], Floats], slack: float
) -> None:
    """Check that what begins and ends inside any window of time is no more work than what there is in that window.

    begin_s, end_s, work : of each task
    supply : what there is of a resource up to some times, s
    """
    for since_s in np.unique(begin_s):
        inside = begin_s >= since_s
        order = np.argsort(end_s[inside])
        done, until_s = work[inside][order].cumsum(), end_s[inside][order]
        offered = supply(until_s) - supply(np.array([since_s]))
        last = np.append(np.diff(until_s) > 0, True)
        assert (done <= offered * (1 + 1e-9) + slack * (1 + len(done)))[last].all()


def busy_s(begin_s: Floats, end_s: Floats) -> float:
    """Return how long at least one task was there."""
    total_s, until_s = 0.0, -np.inf
    for begin, end in sorted(zip(begin_s.tolist(), end_s.tolist(), strict=True)):
        total_s += max(end - max(begin, until_s), 0.0)
        until_s = max(until_s, end)
    return total_s


class Books:
    """The recorded tables of a run, in seconds."""

    def __init__(self, case: Case, result: RunResult) -> None:
        self.system: System = case.scenario.system()
        self.observed = case.observed
        self.tasks = columns(result.table("tasks"))
        self.slots = columns(result.table("slots"))
        self.vehicles = result.table("vehicles")
        names = result.table("jobs").column_names
        self.jobs: Columns | None = columns(result.table("jobs")) if "slot" in names and self._has_jobs else None
        self.slot_s = to_ns(case.scenario.time.slot_duration_s) / NS_PER_S
        self.num_slot = case.scenario.time.num_slot
        self.end_s = self.num_slot * self.slot_s
        self.node_names = [node.name for node in case.scenario.nodes]
        self.vehicle, self.task_class = self.tasks["vehicle"], self.tasks["task_class"]
        self.ratio = np.nan_to_num(self.tasks["offloading_ratio"])

    @property
    def _has_jobs(self) -> bool:
        system = self.system
        return system.joint or system.has_transformer or system.model.edge_energy_rule == "job"

    def stage_s(self, name: str) -> Floats:
        """Return when a stage was reached, NaN if it was not."""
        seconds: Floats = self.tasks[f"{name}_ns"].astype(np.float64) / NS_PER_S
        return seconds

    def until_s(self, name: str) -> Floats:
        """Return when a stage was reached, or up to when it can have lasted."""
        stage_s, done_s = self.stage_s(name), self.stage_s("done")
        ended_s = np.where(np.isnan(done_s), self.end_s, done_s)
        return np.where(np.isnan(stage_s), ended_s, stage_s)

    def work_cycles(self) -> tuple[Floats, Floats]:
        """Return the cycles of the local and the edge part of each task."""
        size_bytes = np.zeros((self.num_slot, self.system.num_vehicle, self.system.num_class))
        index = self.tasks["slot"], self.vehicle, self.task_class
        size_bytes[index] = self.tasks["size_bytes"]
        node = np.full(size_bytes.shape[:2], -1)
        names = {name: position for position, name in enumerate(self.node_names)} | {None: -1}
        present = self.vehicles["slot"].to_numpy(), self.vehicles["vehicle"].to_numpy()
        node[present] = [names[name] for name in self.vehicles["serving_node"].to_pylist()]
        local, edge = self.system.work_cycles(size_bytes, node)
        return computing.local_part(local[index], self.ratio), computing.edge_part(edge[index], self.ratio)

    def local_hz(self) -> Floats:
        """Return the frequency of each task on its vehicle; that of a held one does not matter."""
        if self.jobs is None:
            return np.asarray(self.system.cpu_hz)[self.vehicle]
        return np.nan_to_num(self.jobs["local_frequency_hz"], nan=1.0)

    def sent_bytes(self, vehicle: int) -> Callable[[Floats], Floats]:
        """Return a function that tells what an uplink can have sent up to some times, s."""
        since_s = np.array([time / TICKS_PER_S for time, _ in self.observed.rates_bps] + [self.end_s])
        rate_bps = np.array([rate_bps[vehicle] for _, rate_bps in self.observed.rates_bps])
        total = np.concatenate([[0.0], np.cumsum(rate_bps / 8 * np.diff(since_s))])
        return lambda time_s: np.interp(time_s, since_s, total)


def check_rates(books: Books) -> None:
    """What was observed of fixed radios is what the table `vehicles` says."""
    if books.system.joint:
        return
    table = books.vehicles
    observed = np.array([rate_bps for _, rate_bps in books.observed.rates_bps])
    recorded = table["uplink_rate_bps"].to_numpy()
    assert (observed[table["slot"].to_numpy(), table["vehicle"].to_numpy()] == recorded).all()


def check_cpus(books: Books) -> None:
    """CPU time used is at most the time, and exactly the time in which there was something to do.

    cpu = "per-task" is the paper's: every task has a CPU of its own, and all that is bounded is what one of them does.
    """
    system = books.system
    cycles, hz = books.work_cycles()[0], books.local_hz()
    begin_s, end_s = books.stage_s("started"), books.stage_s("local_end")
    runs = ~np.isnan(begin_s) & (cycles > 0)
    ended = runs & ~np.isnan(end_s)
    need_s = cycles / hz
    assert (need_s[ended] <= (end_s - begin_s)[ended] * (1 + 1e-9) + ROUNDING_S).all()
    watts = np.asarray(system.kappa_vehicle)[books.vehicle] * hz**3
    most_j, least_j = np.zeros(system.num_vehicle), np.zeros(system.num_vehicle)
    for vehicle in range(system.num_vehicle):
        mine, own = runs & (books.vehicle == vehicle), ended & (books.vehicle == vehicle)
        if system.cpu != "per-task":
            check_windows(begin_s[own], end_s[own], need_s[own], lambda time_s: time_s, ROUNDING_S)
        if not mine.any():
            continue
        until_s = books.until_s("local_end")
        parts = busy_s(begin_s[mine], until_s[mine]) if system.cpu != "per-task" else (until_s - begin_s)[mine].sum()
        most_j[vehicle], least_j[vehicle] = parts * watts[mine].max(), parts * watts[mine].min()
        if books.jobs is not None:
            used_s = (books.jobs["energy_local_j"] / watts)[mine].sum()
            assert used_s == pytest.approx(parts, rel=1e-9, abs=ROUNDING_S * mine.sum())
    slack_j = ROUNDING_S * len(runs) * watts.max(initial=0.0)
    total_j = books.slots["energy_local_j"].sum()
    assert least_j.sum() * (1 - 1e-9) - slack_j <= total_j <= most_j.sum() * (1 + 1e-9) + slack_j
    full_w = np.asarray(system.kappa_vehicle) * np.asarray(system.cpu_hz) ** 3
    if system.cpu != "per-task":
        assert total_j <= full_w.sum() * books.end_s * (1 + 1e-9)


def check_uplinks(books: Books) -> None:
    """In no window are more bits sent than the rate of that time gives (eq. 2), and nothing at more than full power.

    uplink = "each" is the paper's reading of eq. 9: every upload has the whole rate, and all that is bounded is one.
    """
    system, tasks = books.system, books.tasks
    sent_bytes = np.asarray(system.upload_bytes(tasks["size_bytes"], books.ratio, books.task_class))
    begin_s = books.stage_s("started" if system.model.order == "parallel" else "local_end")
    end_s = books.stage_s("upload_end")
    ended = (sent_bytes > 0) & ~np.isnan(end_s)
    for vehicle in range(system.num_vehicle):
        supply = books.sent_bytes(vehicle)
        slack = ROUNDING_S * max(float(rate_bps[vehicle]) for _, rate_bps in books.observed.rates_bps) / 8 + 1e-6
        own = np.flatnonzero(ended & (books.vehicle == vehicle))
        for rows in [own] if system.uplink != "each" else own[:, np.newaxis]:
            check_windows(begin_s[rows], end_s[rows], sent_bytes[rows], supply, slack)
        if system.joint:  # else the radio costs nothing
            assert books.jobs is not None
            coming = (sent_bytes > 0) & ~np.isnan(begin_s) & (books.vehicle == vehicle)
            until_s = books.until_s("upload_end")
            time_s = busy_s(begin_s[coming], until_s[coming])
            if system.uplink == "each":
                time_s = float((until_s - begin_s)[coming].sum())
            most_j = system.transmit_power_w[vehicle] * (time_s + ROUNDING_S * coming.sum())
            assert books.jobs["energy_transmit_j"][books.vehicle == vehicle].sum() <= most_j * (1 + 1e-9)


def check_servers(books: Books, case: Case) -> None:
    """In no window are more cycles served than all servers can do, and no node ever runs faster than it can."""
    check_capacity_in_force(case)
    system = books.system
    cycles = books.work_cycles()[1]
    begin_s, end_s = books.stage_s("arrived"), books.stage_s("service_end")
    served = ~np.isnan(end_s)
    total_hz = float(np.sum(system.node_hz))
    slack = ROUNDING_S * total_hz
    check_windows(begin_s[served], end_s[served], cycles[served], lambda time_s: total_hz * time_s, slack)
    most_w = energy.edge_power_w(np.asarray(system.node_hz), system.node_num_core, system.node_kappa)
    joules = books.slots["energy_edge_j"]
    if system.model.edge_energy_rule != "job":
        per_slot_s = 1.0 if system.model.edge_energy_rule == "power" else books.slot_s
        assert (joules <= most_w.sum() * per_slot_s * (1 + 1e-9)).all()
        return
    assert books.jobs is not None
    assert joules.sum() <= most_w.sum() * books.end_s * (1 + 1e-9)
    per_cycle_j = float((most_w / system.node_hz).max())
    assert (books.jobs["energy_edge_j"] <= per_cycle_j * cycles * (1 + 1e-9) + 1e-12).all()


def check_hardware(case: Case, engine: EngineName = "columns") -> Counter[str]:
    """Check all that a run used; return what it had.

    With joint allocation, where no table has the rates of uplinks, those of the columns are expected of both engines.
    """
    result = case.run()
    books = Books(case, result if engine == "columns" else case.run(engine))
    check_rates(books)
    check_cpus(books)
    check_uplinks(books)
    check_servers(books, case)
    system = books.system
    outcomes = set(books.tasks["outcome"].tolist())
    kinds = [f"cpu {system.cpu}", f"uplink {system.uplink}", f"allocation {system.model.allocation}"]
    kinds += [f"edge energy {system.model.edge_energy_rule}", f"handover {system.model.handover}"]
    kinds += [event["kind"] for event in case.data["timeline"]]
    return Counter([*kinds, *(outcome for outcome in outcomes if outcome.startswith("dropped"))])


@settings(max_examples=20)
@given(case=st.integers(0, 2**64 - 1).map(hardware_case_of))
def test_nothing_does_more_than_it_can(engine: EngineName, case: Case) -> None:
    check_hardware(case, engine)


@pytest.mark.full
def test_nothing_does_more_than_it_can_in_every_family() -> None:
    """120 cases, and in these every kind of resource."""
    seen: Counter[str] = Counter()
    for seed in range(120):
        seen.update(check_hardware(hardware_case_of(seed)))
    assert min(seen[f"cpu {rule}"] for rule in ("per-task", "in-turn", "sharing")) >= 24, seen
    assert min(seen[f"uplink {rule}"] for rule in ("each", "in-turn", "sharing")) >= 24, seen
    assert min(seen.values()) >= 1, seen
