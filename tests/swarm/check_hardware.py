"""Checks that nothing does more than its hardware can, in any window of time, and nothing idles while work waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from physical.arrays import Floats
from tests.swarm.books import NO_NODE, Books
from tests.swarm.facts import Facts

_NS = 1e-9
_ROUNDING_S = 4 * _NS
"""Each end of a stage is recorded in whole ns."""
Supply = Callable[[Floats], Floats]


def overbooked(begin_s: Floats, end_s: Floats, work: Floats, supply: Supply, slack: float) -> str:
    """Say in which window of time more work begins and ends than is offered; "" if there is none."""
    for since_s in np.unique(begin_s):
        inside = begin_s >= since_s
        order = np.argsort(end_s[inside], kind="stable")
        done, until_s = np.cumsum(work[inside][order]), end_s[inside][order]
        offered = supply(until_s) - supply(np.array([since_s]))
        last = np.append(np.diff(until_s) > 0, True)
        wrong = (done > offered * (1 + 1e-9) + slack * (1 + np.arange(len(done)))) & last
        if wrong.any():
            at = int(np.argmax(wrong))
            return f"{done[at]:.9g} in {since_s:.9f} to {until_s[at]:.9f} s, where there is {offered[at]:.9g}"
    return ""


def lazy(begin_s: Floats, end_s: Floats, work: Floats, supply: Supply, slack: float) -> str:
    """Say when a resource has done less than it could while there was work all the time; unended work has end NaN."""
    order = np.argsort(begin_s, kind="stable")
    until = -np.inf
    group: list[int] = []
    for row in [*order.tolist(), None]:
        if row is None or begin_s[row] > until + 2 * _NS:
            if group and not np.isnan(end_s[group]).any():
                since = begin_s[group].min()
                offered = float(supply(np.array([until]))[0] - supply(np.array([since]))[0])
                if work[group].sum() < offered * (1 - 1e-9) - slack * (1 + len(group)):
                    return f"{work[group].sum():.9g} in {since:.9f} to {until:.9f} s, where there is {offered:.9g}"
            group = []
            until = -np.inf
        if row is not None:
            group.append(row)
            until = np.inf if np.isnan(end_s[row]) else max(until, end_s[row])
    return ""


def _cut(books: Books) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which tasks were ended from outside: their stages may not have ended."""
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.isin(
        books.tasks["outcome"].astype(str), ["dropped: handover", "dropped: vehicle left"]
    )
    return found


def check_cpus(books: Books, facts: Facts) -> Iterator[str]:
    """A CPU does one second of work per second; with cpu "per-task" each task has its own."""
    tasks, need_s = books.tasks, facts.task_work[0] / facts.local_hz
    begin_s, end_s = tasks["started_ns"] * _NS, tasks["local_end_ns"] * _NS
    runs = ~np.isnan(begin_s) & (need_s > 0)
    ended, cut = runs & ~np.isnan(end_s), _cut(books)
    wrong = ended & (end_s - begin_s < need_s * (1 - 1e-9) - 2 * _NS)
    if facts.cpu_rule == "per-task":
        wrong |= ended & (end_s - begin_s > need_s * (1 + 1e-9) + 2 * _NS)
        over = np.where(runs & ~ended & ~cut, begin_s + need_s, np.inf)
        if (over < books.end_ns * _NS - 2 * _NS).any():
            yield f"local work should have ended: task {int(np.argmin(over))}"
    if wrong.any():
        row = int(np.argmax(wrong))
        yield f"task {row}: {end_s[row] - begin_s[row]:.9f} s for {need_s[row]:.9f} s of local work"
    idle = ~np.isnan(end_s) & (need_s == 0) & (end_s != begin_s)
    if idle.any():
        yield f"task {int(np.argmax(idle))}: nothing to do locally, and {(end_s - begin_s)[idle][0]} s for it"
    if facts.cpu_rule == "per-task":
        return
    for vehicle in range(books.num_vehicle):
        mine = ended & (tasks["vehicle"] == vehicle)
        if told := overbooked(begin_s[mine], end_s[mine], need_s[mine], np.array, _ROUNDING_S):
            yield f"CPU of vehicle {vehicle}: {told}"
        mine = runs & (tasks["vehicle"] == vehicle)
        if told := lazy(begin_s[mine], np.where(cut, np.nan, end_s)[mine], need_s[mine], np.array, _ROUNDING_S):
            yield f"idle CPU of vehicle {vehicle}: {told}"


def check_rates(books: Books, facts: Facts) -> Iterator[str]:
    """Rates follow eq. 2 from the gains, in whole bit/s; 0 without a node, and where they are decided."""
    radio, rows = books.scenario["radio"], books.table("vehicles")
    if not rows:
        return
    rate_bps = rows["uplink_rate_bps"]
    if facts.joint:
        if rate_bps.any():
            yield "a rate where it takes a decision to have one"
        return
    alone = np.array([name is None for name in rows["serving_node"]])
    width_hz = radio["bandwidth_hz"] / (facts.most_present if radio["bandwidth_sharing"] == "equal" else 1)
    noise_w = radio["noise_w"]
    if noise_w is None:
        noise_w = 10 ** ((radio["noise_density_dbm_hz"] + radio["noise_figure_db"] - 30) / 10) * width_hz
    snr = books.scenario["vehicles"]["transmit_power_w"] * rows["channel_gain"].astype(float) / noise_w
    expected = np.where(alone, 0.0, np.rint(width_hz * np.log1p(snr) / np.log(2)))
    # A value that is half a bit/s may be rounded up or down.
    wrong = np.abs(rate_bps - expected) > 1.0 + 1e-9 * expected
    if wrong.any() or (rate_bps != np.rint(rate_bps)).any():
        row = int(np.argmax(wrong))
        yield f"vehicle {rows['vehicle'][row]} in slot {rows['slot'][row]}: {rate_bps[row]} bit/s, not {expected[row]}"


def _supply(books: Books, rate_bps: Floats) -> Supply:
    """Return what a link can have sent up to some times, bits; `rate_bps` : [T]."""
    edges_s = np.arange(books.num_slot + 1) * books.slot_ns * _NS
    total = np.concatenate([[0.0], np.cumsum(rate_bps * books.slot_ns * _NS)])
    return lambda time_s: np.interp(time_s, edges_s, total)


def check_uplinks(books: Books, facts: Facts) -> Iterator[str]:
    """No more bits are sent than the rates of that time allow; with uplink "each" by each upload."""
    tasks, bits = books.tasks, 8 * facts.sent_bytes
    begin_s = (tasks["started_ns"] if facts.parallel else tasks["local_end_ns"]) * _NS
    end_s, cut = tasks["upload_end_ns"] * _NS, _cut(books)
    sends = (bits > 0) & ~np.isnan(begin_s)
    ended = sends & ~np.isnan(end_s)
    rates = _most_bps(books, facts)
    may_fail = bool(books.occurrences("node-down")) or facts.joint
    for vehicle in range(books.num_vehicle):
        supply, mine = _supply(books, rates[:, vehicle]), sends & (tasks["vehicle"] == vehicle)
        slack = _ROUNDING_S * rates[:, vehicle].max() + 1e-6
        groups = (
            [mine] if facts.uplink_rule != "each" else [np.arange(len(mine)) == row for row in np.flatnonzero(mine)]
        )
        for group in groups:
            own = group & ended
            if told := overbooked(begin_s[own], end_s[own], bits[own], supply, slack):
                yield f"uplink of vehicle {vehicle}: {told} bits"
            if may_fail:
                continue
            if told := lazy(begin_s[group], np.where(cut, np.nan, end_s)[group], bits[group], supply, slack):
                yield f"idle uplink of vehicle {vehicle}: {told} bits"


def _most_bps(books: Books, facts: Facts) -> Floats:
    """Return the rates of all uplinks, [T, N]; where they are decided those of full power on the whole pool."""
    if not facts.joint:
        return np.nan_to_num(books.grid("uplink_rate_bps"))
    radio, gain = books.scenario["radio"], np.nan_to_num(books.grid("channel_gain"))
    density = radio["noise_density_dbm_hz"] + radio["noise_figure_db"]
    if facts.paper and radio["noise_density_paper_dbm_hz"] is not None:
        density = radio["noise_density_paper_dbm_hz"]
    width_hz = radio["bandwidth_hz"]
    snr = books.scenario["vehicles"]["transmit_power_w"] * gain / (10 ** ((density - 30) / 10) * width_hz)
    rates: Floats = np.where(books.node >= 0, width_hz * np.log1p(snr) / np.log(2), 0.0) * (1 + 1e-6)
    return rates


def check_servers(books: Books, facts: Facts) -> Iterator[str]:
    """Servers do no more cycles than they have; queues are first come, first served."""
    tasks, cycles = books.tasks, facts.task_work[1]
    begin_s, end_s = tasks["arrived_ns"] * _NS, tasks["service_end_ns"] * _NS
    served = ~np.isnan(end_s)
    total_hz = float(facts.server_hz.sum())
    if facts.effective:
        supply: Supply = lambda time_s: total_hz * time_s  # noqa: E731 - a rate, in one line
        if told := overbooked(begin_s[served], end_s[served], cycles[served], supply, _ROUNDING_S * total_hz):
            yield f"servers: {told} cycles"
        most = total_hz * books.slot_ns * _NS / facts.cycles_per_byte
        if (books.matrix("service_bytes") > most * (1 + 1e-9)).any():
            yield "service_bytes: more than the servers have"
    if books.scenario["model"]["handover"] == "finish":
        return
    fifo = books.scenario["server"]["discipline"] == "fifo"
    flow = tasks["task_class"] + (0 if fifo else books.num_class * tasks["vehicle"])
    for index in np.unique(flow[~np.isnan(begin_s)]):
        mine = np.flatnonzero((flow == index) & ~np.isnan(begin_s) & (cycles > 0) & ~_cut(books))
        mine = mine[np.argsort(begin_s[mine], kind="stable")]
        begun_ns, ended_ns = tasks["service_begin_ns"][mine], tasks["service_end_ns"][mine]
        distinct = np.diff(tasks["arrived_ns"][mine]) > 1
        before = np.fmax.accumulate(ended_ns)[:-1]
        if (distinct & (begun_ns[1:] < before - 1)).any() or (
            distinct & np.isnan(before) & ~np.isnan(ended_ns[1:])
        ).any():
            yield f"queue {index}: two are served at once, or not in order: {begun_ns.tolist()} to {ended_ns.tolist()}"


def check_arrivals(books: Books, facts: Facts) -> Iterator[str]:
    """What arrives in a slot is what its tasks bring; what arrives at a slot's start may count for either."""
    tasks, brought = books.tasks, facts.task_work[1] / facts.cycles_per_byte[books.tasks["task_class"]]
    arrived_ns, total = tasks["arrived_ns"], np.cumsum(books.matrix("arrived_bytes"), axis=0)
    for index in range(books.num_class):
        mine = (tasks["task_class"] == index) & ~np.isnan(arrived_ns)
        for slot in range(books.num_slot):
            until_ns = (slot + 1) * books.slot_ns
            least = brought[mine & (arrived_ns < until_ns)].sum()
            most = brought[mine & (arrived_ns <= until_ns)].sum()
            if not least * (1 - 1e-9) - 1e-6 <= total[slot, index] <= most * (1 + 1e-9) + 1e-6:
                yield f"class {index} up to slot {slot}: {total[slot, index]} B, not {least} to {most}"
                break


def check_backlogs(books: Books, facts: Facts) -> Iterator[str]:
    """What waits at CPUs, uplinks and servers at a slot's start is what tasks have brought and not yet taken."""
    tasks, recorded = (
        books.tasks,
        {"cpu": books.grid("cpu_backlog_cycles"), "uplink": books.grid("uplink_backlog_bytes")},
    )
    done_ns = np.nan_to_num(tasks["done_ns"].astype(float), nan=np.inf)
    sends_ns = (tasks["started_ns"] if facts.parallel else tasks["local_end_ns"]).astype(float)
    stages = {
        "cpu": (tasks["started_ns"].astype(float), tasks["local_end_ns"].astype(float), facts.task_work[0]),
        "uplink": (sends_ns, tasks["upload_end_ns"].astype(float), facts.sent_bytes),
    }
    size = books.num_vehicle
    for name, (begin_ns, end_ns, work) in stages.items():
        until_ns = np.minimum(np.nan_to_num(end_ns, nan=np.inf), done_ns)
        for slot in range(books.num_slot):
            now_ns = slot * books.slot_ns
            there = ~np.isnan(recorded[name][slot])
            most = np.bincount(tasks["vehicle"], work * ((begin_ns <= now_ns) & (until_ns >= now_ns)), size)
            wrong = there & (recorded[name][slot] > most * (1 + 1e-9) + 1e-6)
            inside = (begin_ns < now_ns - 1) & (until_ns > now_ns + 1) & (work > 1e-3)
            waits = np.bincount(tasks["vehicle"], inside, size) > 0
            wrong |= there & waits & (recorded[name][slot] <= 0)
            if name == "cpu" and facts.cpu_rule == "per-task":
                left = np.where(inside, (end_ns - now_ns) * _NS * facts.local_hz, 0.0)
                known = np.bincount(tasks["vehicle"], inside & np.isnan(end_ns), size) == 0
                left = np.bincount(tasks["vehicle"], np.nan_to_num(left), size)
                slack = 2 * _NS * (facts.local_hz.max() + 1) * (1 + len(work))
                wrong |= there & known & (np.abs(recorded[name][slot] - left) > 1e-6 * left + slack)
            if wrong.any():
                vehicle = int(np.argmax(wrong))
                told = f"{recorded[name][slot, vehicle]}, at most {most[vehicle]}"
                yield f"{name} of vehicle {vehicle} in slot {slot}: {told}"
                break
    yield from _server_backlogs(books, facts, done_ns)


def _server_backlogs(books: Books, facts: Facts, done_ns: Floats) -> Iterator[str]:
    tasks, classes = books.tasks, books.tasks["task_class"]
    held, brought = books.matrix("backlog_bytes"), facts.task_work[1] / facts.cycles_per_byte[classes]
    arrived_ns, begun_ns = tasks["arrived_ns"].astype(float), tasks["service_begin_ns"].astype(float)
    until_ns = np.minimum(np.nan_to_num(tasks["service_end_ns"].astype(float), nan=np.inf), done_ns)
    reached = np.nan_to_num(begun_ns, nan=np.inf)
    stays = books.scenario["model"]["handover"] != "finish"
    for slot in range(books.num_slot):
        now_ns = slot * books.slot_ns
        inside = (arrived_ns <= now_ns) & (until_ns >= now_ns)
        most = np.bincount(classes, brought * inside, books.num_class)
        here = books.node[slot][tasks["vehicle"]] > NO_NODE
        waits = stays & here & (arrived_ns < now_ns - 1) & (until_ns > now_ns + 1) & (reached > now_ns + 1)
        least = np.bincount(classes, brought * waits, books.num_class)
        wrong = (held[slot] > most * (1 + 1e-9) + 1e-3) | (held[slot] < least * (1 - 1e-9) - 1e-3)
        if wrong.any():
            k = int(np.argmax(wrong))
            yield f"servers in slot {slot}, class {k}: {held[slot, k]} B, not {least[k]} to {most[k]}"
            return
