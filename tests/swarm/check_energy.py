"""Checks of energies, and of servers whose speeds at all times follow from the messages that reached them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats
from tests.swarm.books import Books, totals
from tests.swarm.facts import Facts

_NS = 1e-9


def _close(one: Floats, other: Floats, scale: float = 0.0) -> bool:
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12 * scale + 1e-300))


def check_local_energy(books: Books, facts: Facts) -> Iterator[str]:
    """Local work costs kappa f^2 per cycle, as far as it has run: kappa f^3 t."""
    tasks, (cycles, _), hz = books.tasks, facts.task_work, facts.local_hz
    full_j = facts.kappa[tasks["vehicle"]] * hz**2 * cycles
    begun_ns, ended = tasks["started_ns"].astype(float), ~np.isnan(tasks["local_end_ns"].astype(float))
    until_ns = np.fmin(tasks["done_ns"].astype(float), books.end_ns)
    ran_s = np.where(np.isnan(begun_ns), 0.0, np.maximum(until_ns - begun_ns, 0.0)) * _NS
    ran_j = facts.kappa[tasks["vehicle"]] * hz**3 * (np.nan_to_num(ran_s) + 2 * _NS)
    most_j = np.where(np.isnan(begun_ns), 0.0, np.where(ended, full_j, np.minimum(full_j, ran_j)))
    alone = facts.cpu_rule == "per-task"
    slack_j = np.where(ended, 0.0, facts.kappa[tasks["vehicle"]] * hz**3 * 4 * _NS)
    least_j = np.where(ended, full_j, np.maximum(most_j - slack_j, 0.0) if alone else 0.0)
    scale = max(full_j.max(initial=0.0) * len(full_j), facts.energy_scale_j)
    slots = tasks["slot"]
    if facts.metered:
        spent_j = books.jobs["energy_local_j"]
        if (spent_j < least_j * (1 - 1e-9) - 1e-12 * scale).any() or (
            spent_j > most_j * (1 + 1e-9) + 1e-12 * scale
        ).any():
            row = int(np.argmax(np.maximum(spent_j - most_j, least_j - spent_j)))
            yield f"job {row}: {spent_j[row]} J, not {least_j[row]} to {most_j[row]}"
        total_j = totals(slots, spent_j, books.num_slot)
        if not _close(books.slots["energy_local_j"], total_j, scale):
            yield f"slots: {books.slots['energy_local_j'].tolist()} J, jobs {total_j.tolist()}"
    least = totals(slots, least_j, books.num_slot) * (1 - 1e-9) - 1e-9 * scale
    most = totals(slots, most_j, books.num_slot) * (1 + 1e-9) + 1e-9 * scale
    wrong = (books.slots["energy_local_j"] < least) | (books.slots["energy_local_j"] > most)
    if wrong.any():
        slot = int(np.argmax(wrong))
        yield f"slot {slot}: {books.slots['energy_local_j'][slot]} J, not {least[slot]} to {most[slot]}"


def check_radio_energy(books: Books, facts: Facts) -> Iterator[str]:
    """The radio costs p t, between its least and its greatest power; nothing where it is not decided."""
    tasks, slots = books.tasks, books.slots["energy_transmit_j"]
    if not facts.joint:
        if slots.any() or (facts.metered and not np.isnan(books.jobs["energy_transmit_j"].astype(float)).all()):
            yield "energy of a radio that costs nothing"
        return
    spent_j = books.jobs["energy_transmit_j"]
    if not _close(slots, totals(tasks["slot"], spent_j, books.num_slot), facts.energy_scale_j):
        yield f"slots: {slots.tolist()} J, jobs {totals(tasks['slot'], spent_j, books.num_slot).tolist()}"
    if (spent_j < 0).any():
        yield "negative energy"
    if facts.paper:
        return
    begin_ns = (tasks["started_ns"] if facts.parallel else tasks["local_end_ns"]).astype(float)
    until_ns = np.fmin(np.fmin(tasks["upload_end_ns"].astype(float), tasks["done_ns"].astype(float)), books.end_ns)
    sends = (facts.sent_bytes > 0) & ~np.isnan(begin_ns)
    time_s = np.where(sends, np.maximum(until_ns - begin_ns, 0.0) * _NS + 2 * _NS, 0.0)
    most_j = books.scenario["vehicles"]["transmit_power_w"] * time_s
    if (spent_j > most_j * (1 + 1e-9)).any():
        row = int(np.argmax(spent_j - most_j))
        yield f"job {row}: {spent_j[row]} J, at most {most_j[row]}"


def check_edge_energy(books: Books, facts: Facts) -> Iterator[str]:
    """Servers use at most the power of all their cores at full speed, and jobs sum to their slots."""
    recorded = books.slots["energy_edge_j"]
    if (recorded < 0).any():
        yield f"negative energy: {recorded.min()}"
    most_w = float(facts.full_power_w.sum())
    if facts.edge_energy == "job" and not books.has_tasks:
        if recorded.any():
            yield f"energy of no tasks: {recorded.tolist()}"
        return
    if facts.edge_energy == "job":
        spent_j = books.jobs["energy_edge_j"].astype(float)
        total_j = totals(books.tasks["slot"], spent_j, books.num_slot)
        if not _close(recorded, total_j, facts.energy_scale_j):
            yield f"slots: {recorded.tolist()} J, jobs {total_j.tolist()}"
        per_cycle_j = float((facts.full_power_w / facts.server_hz).max())
        if facts.effective and (spent_j > per_cycle_j * facts.task_work[1] * (1 + 1e-9) + 1e-15).any():
            yield "a job that costs more than at full speed"
        return
    if facts.metered and books.has_tasks and not np.isnan(books.jobs["energy_edge_j"].astype(float)).all():
        yield "energy of jobs where it is that of the server's power"
    per_slot = most_w if facts.edge_energy == "power" else most_w * books.slot_ns * _NS
    # By the rule "alloc" what is billed are allocations, of which floors may come on top.
    if facts.effective and (recorded > per_slot * (1 + 1e-9)).any():
        yield f"{recorded.max()} in a slot, of {per_slot} at most"


class Pace(NamedTuple):
    """The speeds of a server from a time on: of flows, Hz, [N, K], and what is billed, Hz."""

    since_ns: int
    flow_hz: Floats
    billed_hz: float


def paces(books: Books, facts: Facts) -> list[Pace] | None:
    """Return the speeds of the only server at all times; None where messages, bias or nodes do not tell them."""
    if books.messages is None or facts.comes_and_goes or facts.frequency_bias(0) is None:
        return None
    told = books.messages["server-command"]
    orders = zip(told["delivered_ns"].astype(float).tolist(), told["slot"].tolist(), strict=True)
    # A bias changes when a slot begins, before commands of that instant.
    steps: list[tuple[float, int, int]] = [(float(slot * books.slot_ns), 0, slot) for slot in range(books.num_slot)]
    steps += [(at, 1, slot) for at, slot in orders if at <= books.end_ns]
    found, newest = [], -1
    allocation_hz = np.zeros((books.num_vehicle, books.num_class))
    bias_hz = facts.frequency_bias(0)
    assert bias_hz is not None
    for at, what, slot in sorted(steps):
        if what == 0:
            changed = facts.frequency_bias(slot)
            assert changed is not None
            bias_hz = changed
        elif slot > newest:
            newest, allocation_hz = slot, books.decided[slot]["compute_allocation_hz"]
        speed_hz = np.where(allocation_hz > 0, np.maximum(allocation_hz + bias_hz[:, np.newaxis], 0.0), 0.0)
        total_hz = float(speed_hz.sum())
        if facts.effective and total_hz > facts.server_hz[0] * (1 + 1e-12):
            speed_hz = speed_hz * (facts.server_hz[0] / total_hz)
        billed_hz = float(speed_hz.sum()) if facts.effective else float(allocation_hz.sum())
        found.append(Pace(int(at), speed_hz, billed_hz))
    return found


def check_server_speeds(books: Books, facts: Facts) -> Iterator[str]:
    """Energy and offered service of slots, and each service, follow from commands and bias."""
    known = paces(books, facts)
    if known is None:
        return
    server = facts.servers[0]
    since = np.array([pace.since_ns for pace in known] + [books.end_ns], dtype=float)
    flows_hz = np.stack([pace.flow_hz for pace in known])
    edges = np.arange(books.num_slot + 1) * float(books.slot_ns)

    def integral(rate: Floats) -> Floats:
        total: Floats = np.concatenate([[0.0], np.cumsum(rate * np.diff(since) * _NS)])
        return total

    if facts.edge_energy != "job":
        core_hz = np.array([pace.billed_hz for pace in known]) / server["num_core"]
        power_w = server["num_core"] * server["kappa"] * core_hz**3
        expected = np.diff(np.interp(edges, since, integral(power_w)))
        expected = expected / books.slot_s if facts.edge_energy == "power" else expected
        if not np.allclose(books.slots["energy_edge_j"], expected, rtol=1e-6, atol=1e-9 * power_w.max(initial=0.0)):
            yield f"energy {books.slots['energy_edge_j'].tolist()}, not {expected.tolist()}"
    offered = books.matrix("service_bytes")
    for index in range(books.num_class):
        total = integral(flows_hz[:, :, index].sum(axis=1))
        expected = np.diff(np.interp(edges, since, total)) / facts.cycles_per_byte[index]
        scale = float(facts.server_hz[0]) * books.slot_s / facts.cycles_per_byte[index]
        if not np.allclose(offered[:, index], expected, rtol=1e-6, atol=1e-9 * scale):
            yield f"class {index}: offers {offered[:, index].tolist()} B, not {expected.tolist()}"
    yield from _services(books, facts, since, flows_hz)


def _services(books: Books, facts: Facts, since: Floats, flows_hz: Floats) -> Iterator[str]:
    """Check that each service lasts as long as its cycles take at the speeds of that time, and its job's energy."""
    tasks, cycles = books.tasks, facts.task_work[1]
    begun, ended = tasks["service_begin_ns"].astype(float), tasks["service_end_ns"].astype(float)
    fifo, server = books.scenario["server"]["discipline"] == "fifo", facts.servers[0]
    for row in np.flatnonzero(~np.isnan(ended)):
        index = tasks["task_class"][row]
        rate = flows_hz[:, :, index].sum(axis=1) if fifo else flows_hz[:, tasks["vehicle"][row], index]
        inside_s = np.clip(np.minimum(since[1:], ended[row]) - np.maximum(since[:-1], begun[row]), 0.0, None) * _NS
        did, slack = float((rate * inside_s).sum()), 4 * _NS * rate.max() + 1e-6 * cycles[row] + 1e-6
        if abs(did - cycles[row]) > slack:
            yield f"task {row}: {cycles[row]} cycles served in the time of {did}"
            return
        if facts.edge_energy == "job":
            watts = server["kappa"] * (rate / server["num_core"]) ** 2 * rate
            expected, slack = float((watts * inside_s).sum()), 4 * _NS * watts.max()
            if abs(books.jobs["energy_edge_j"][row] - expected) > 1e-6 * expected + slack:
                yield f"job {row}: {books.jobs['energy_edge_j'][row]} J, not {expected}"
                return
