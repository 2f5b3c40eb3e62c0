"""The ways in which a task can be part of an optimum of P2, derived from t = T (see `policies.optimal`).

For a fixed speed, the sequential cost is linear in the ratio, and the parallel cost is convex and piecewise linear.
Both jump by P_m / M at t = T. So there is an optimal ratio that is 0, or 1, or the ratio at which both parts end
together, or the ratio at which the deadline binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from physical.arrays import Floats, Mask
from policies.optimal.menu import Hyperbolas, Ints, Menu, chord, make_menu
from policies.optimal.tasks import Tasks


class Kind(IntEnum):
    """Options. LATE options pay P_m. All others except IDLE and DRAIN promise t <= T if P_m > 0."""

    IDLE = 0
    """Ratio 0; an allocation still drains the backlog."""
    DRAIN = 1
    """Ratio 0 with an allocation; its own option where a positive bias, by the rule "effective", sets a least speed."""
    FULL = 2
    FULL_LATE = 3
    BIND = 4
    """Sequential, t = T: bindA where the vehicle alone is late, bindB (convex) or bindC (concave) where it is not."""
    BALANCED = 5
    """Parallel, both parts end together; or, where more offloading costs more, the local part ends at T."""
    BALANCED_LATE = 6
    EDGE_AT_DEADLINE = 7
    """Parallel, the remote part ends at T."""


_TIMELY = (Kind.FULL, Kind.BIND, Kind.BALANCED, Kind.EDGE_AT_DEADLINE)
_INFINITE = np.inf


class _OptionRow(NamedTuple):
    """One option of all tasks: cost ``base + slope omega`` (FULL: ``base + reciprocal / y``) on [low, high] in y.

    ``omega = share y / (den0 + den1 y)``; `has` tells which tasks have the option.
    """

    kind: Kind
    has: Mask
    base: Floats
    share: Floats | float
    den0: Floats | float
    den1: Floats | float
    slope: Floats | float = 0.0
    reciprocal: Floats | float = 0.0
    low_hz: Floats | float = 0.0
    high_hz: Floats | float = _INFINITE
    is_concave: Mask | bool = False


@dataclass(frozen=True)
class SlotOptions:
    """The menu of a slot, and the meaning of its options; [J, M].

    Parameters
    ----------
    kinds : [J], kinds of the rows
    menu : prices of the options, concave ones by their chords
    truth : costs as they are
    share : the ratio is ``share y / (den0 + den1 v)`` with the denominators of `truth`
    concave : which options are concave
    timely : [J], the option promises t <= T
    """

    kinds: tuple[Kind, ...]
    menu: Menu
    truth: Hyperbolas
    share: Floats
    concave: Mask
    timely: Mask

    def ratio(self, tasks: Tasks, choice: Ints, v_hz: Floats) -> Floats:
        """Return the offloading ratios of chosen options at v, [M]."""
        index = choice * choice.size + np.arange(choice.size)
        speed_hz = v_hz if tasks.effective else v_hz + tasks.bias_hz
        below = self.truth.den0.take(index) + self.truth.den1.take(index) * v_hz
        ratio: Floats = np.minimum(np.maximum(self.share.take(index) * speed_hz / below, 0.0), 1.0)
        return ratio


def list_options(tasks: Tasks) -> SlotOptions:
    """Return all options that an optimum may need."""
    capacity_hz = tasks.server.capacity_hz
    bias_hz = 0.0 if tasks.effective else tasks.bias_hz  # y - v
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rows = [_idle(tasks), _drain(tasks), *_full(tasks)]
        rows += _parallel(tasks) if tasks.parallel else _sequential(tasks)
    rows = [row for row in rows if row.kind == Kind.IDLE or row.has.any()]

    active = np.array([[row.kind not in (Kind.IDLE, Kind.DRAIN)] for row in rows])
    low_hz = _stack(rows, "low_hz", tasks) - bias_hz
    np.maximum(low_hz, tasks.least_hz + tasks.bias_hz - bias_hz, out=low_hz, where=active)
    low_hz[0] = 0.0
    high_hz = np.minimum(_stack(rows, "high_hz", tasks) - bias_hz, capacity_hz)
    missing = (_stack(rows, "has", tasks) == 0.0) | (low_hz > high_hz)
    np.copyto(low_hz, 0.0, where=missing)
    np.copyto(high_hz, 0.0, where=missing)
    share = _stack(rows, "share", tasks, missing)
    curve = Hyperbolas(
        _stack(rows, "base", tasks, missing, _INFINITE),
        _stack(rows, "reciprocal", tasks, missing),
        _stack(rows, "slope", tasks, missing) * share,
        _stack(rows, "den0", tasks, missing, 1.0),
        _stack(rows, "den1", tasks, missing),
    )
    menu = make_menu(curve, bias_hz, (low_hz, high_hz), tasks.drain_per_hz, max(capacity_hz, 1.0))
    return _with_chords(rows, menu, missing, share, tasks)


def _stack(
    rows: list[_OptionRow], name: str, tasks: Tasks, missing: Mask | None = None, instead: float = 0.0
) -> Floats:
    """Return one property of the rows as [J, M], with a given value for options that a task does not have."""
    values = np.empty((len(rows), tasks.num_task))
    for index, row in enumerate(rows):
        values[index] = getattr(row, name)
    if missing is not None:
        np.copyto(values, instead, where=missing)
    return values


def _with_chords(rows: list[_OptionRow], menu: Menu, missing: Mask, share: Floats, tasks: Tasks) -> SlotOptions:
    truth = menu.curve
    concave = np.zeros(missing.shape, dtype=np.bool_)
    for index, row in enumerate(rows):
        if row.is_concave is not False:
            concave[index] = row.is_concave & ~missing[index]
    if concave.any():
        menu = Menu(
            Hyperbolas(*(array.copy() for array in vars(truth).values())),
            menu.reach,
            menu.offset,
            menu.low_hz,
            menu.high_hz,
            menu.drain_per_hz,
        )
        entry = np.nonzero(concave)
        chord(
            menu, truth.take(np.flatnonzero(concave)), (entry[0], entry[1]), (menu.low_hz[entry], menu.high_hz[entry])
        )
    kinds = tuple(row.kind for row in rows)
    timely = np.array([tasks.miss_cost > 0 and kind in _TIMELY for kind in kinds])
    return SlotOptions(kinds, menu, truth, share, concave, timely)


def _idle(tasks: Tasks) -> _OptionRow:
    base = tasks.local_cost + tasks.delay_cost_per_s * tasks.idle_delay_s + tasks.miss_cost * tasks.idle_late
    high_hz = np.where(_has_least_speed(tasks), 0.0, _INFINITE)
    return _OptionRow(Kind.IDLE, np.ones(tasks.num_task, dtype=np.bool_), base, 0.0, 1.0, 0.0, high_hz=high_hz)


def _has_least_speed(tasks: Tasks) -> Mask:
    """Tell which idle tasks cannot have a small allocation, because the smallest one already runs at their bias."""
    return tasks.effective & (tasks.bias_hz > 0.0)


def _drain(tasks: Tasks) -> _OptionRow:
    has = _has_least_speed(tasks) & (tasks.drain_per_hz > 0)
    return _idle(tasks)._replace(kind=Kind.DRAIN, has=has, low_hz=np.maximum(tasks.bias_hz, 0.0), high_hz=_INFINITE)


def _full(tasks: Tasks) -> list[_OptionRow]:
    """Omega = 1: ``cost = Q + w_U (u + W / y) / (M T)``, in time if ``y >= W / (T - u)``."""
    base = tasks.backlog_cost + tasks.delay_cost_per_s * tasks.upload_s
    reciprocal = tasks.delay_cost_per_s * tasks.work_cycles
    full = _OptionRow(Kind.FULL, tasks.reachable, base, 1.0, 0.0, 1.0, reciprocal=reciprocal)
    if not tasks.miss_cost:
        return [full]
    enough_hz = _enough_hz(tasks)
    least_y_hz = tasks.least_hz + tasks.bias_hz
    late = full._replace(
        kind=Kind.FULL_LATE, has=tasks.reachable & (enough_hz > least_y_hz), base=base + tasks.miss_cost
    )
    return [full._replace(has=tasks.reachable & np.isfinite(enough_hz), low_hz=enough_hz), late]


def _enough_hz(tasks: Tasks) -> Floats:
    """Return the speed at which an offloaded task just meets its deadline, ``W / (T - u)``, Hz; infinite if none."""
    left_s = tasks.deadline_s - tasks.upload_s
    return np.where(left_s > 0.0, tasks.work_cycles / np.where(left_s > 0.0, left_s, 1.0), _INFINITE)


def _sequential(tasks: Tasks) -> list[_OptionRow]:
    """T = T: ``omega = (L - T') y / ((L - up) y - W)`` with T' the deadline less the upload that is paid anyway.

    bindA: L > T', the least ratio that is in time. bindB, bindC: L < T', the largest one; signs turned.
    """
    if not tasks.miss_cost:
        return []
    late_s = tasks.local_s - (tasks.deadline_s - tasks.fixed_upload_s)  # L - T'
    bend_s = tasks.local_s - tasks.ratio_upload_s  # L - up
    more_costs = tasks.backlog_cost - tasks.local_cost  # Q - E
    enough_hz = _enough_hz(tasks)
    least_ratio = tasks.idle_late & (late_s > 0) & (more_costs > 0) & np.isfinite(enough_hz) & tasks.reachable
    most_ratio = (late_s < 0) & (more_costs < 0) & tasks.reachable
    sign = np.where(least_ratio, 1.0, -1.0)
    row = _OptionRow(
        Kind.BIND,
        least_ratio | most_ratio,
        base=tasks.local_cost + tasks.delay_cost_per_s * tasks.deadline_s,
        share=sign * late_s,
        den0=-sign * tasks.work_cycles,
        den1=sign * bend_s,
        slope=more_costs,
        low_hz=np.where(least_ratio, enough_hz, 0.0),
        high_hz=np.where(least_ratio, _INFINITE, enough_hz),
        is_concave=most_ratio & (bend_s > 0),
    )
    return [row]


def _parallel(tasks: Tasks) -> list[_OptionRow]:
    """Both parts end together: ``omega = (L - U) y / ((L + up) y + W)`` with U the upload that is paid anyway.

    A vehicle that is late on its own needs ``omega >= 1 - T / L``, which takes ``y >= omega W / (T - U - omega up)``.
    """
    q, paid_s, up_s = tasks.delay_cost_per_s, tasks.fixed_upload_s, tasks.ratio_upload_s
    local_s, work = tasks.local_s, tasks.work_cycles
    more_costs = tasks.backlog_cost - tasks.local_cost
    gain = more_costs - q * local_s  # cost of a unit of ratio as long as the local part is the longer one
    balance = _OptionRow(
        Kind.BALANCED,
        (local_s > paid_s) & (gain < 0) & tasks.reachable,
        base=tasks.local_cost + q * local_s,
        share=local_s - paid_s,
        den0=work,
        den1=local_s + up_s,
        slope=gain,
    )
    if not tasks.miss_cost:
        return [balance]
    deadline_s = tasks.deadline_s
    late = local_s > deadline_s
    least_ratio = np.where(late, 1.0 - deadline_s / local_s, 0.0)
    left_s = deadline_s - paid_s - least_ratio * up_s
    in_time_hz = np.where(left_s > 0, least_ratio * work / np.where(left_s > 0, left_s, 1.0), _INFINITE)
    possible = np.isfinite(in_time_hz)
    at_deadline = balance._replace(
        has=late & possible & (gain >= 0) & tasks.reachable,
        base=tasks.local_cost + q * deadline_s,
        share=least_ratio,
        den0=0.0,
        den1=1.0,
        slope=more_costs,
        low_hz=in_time_hz,
    )
    edge = _OptionRow(
        Kind.EDGE_AT_DEADLINE,
        (deadline_s > paid_s) & (more_costs < 0) & possible & tasks.reachable,
        base=tasks.local_cost + q * deadline_s,
        share=deadline_s - paid_s,
        den0=work,
        den1=up_s,
        slope=more_costs,
        low_hz=in_time_hz,
        high_hz=_enough_hz(tasks),
    )
    tardy = balance._replace(
        kind=Kind.BALANCED_LATE, has=balance.has & late, base=balance.base + tasks.miss_cost, high_hz=_INFINITE
    )
    return [_either(balance._replace(has=balance.has & possible, low_hz=in_time_hz), at_deadline), tardy, edge]


def _either(one: _OptionRow, other: _OptionRow) -> _OptionRow:
    """Merge two options of the same kind into one row; no task has both of them."""
    merged = {
        name: np.where(other.has, getattr(other, name), getattr(one, name))
        for name in ("base", "share", "den0", "den1", "slope", "low_hz")
    }
    return one._replace(has=one.has | other.has, **merged)
