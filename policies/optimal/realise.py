"""Turns a candidate into a decision: ratios and allocations that keep deadlines to the last bit."""

from __future__ import annotations

import numpy as np

from physical.arrays import Floats, Mask
from physical.closed_form.slot import SlotOutcome
from policies.optimal.options import SlotOptions
from policies.optimal.recover import Candidate
from policies.optimal.tasks import Tasks
from policies.scoring import slot_outcome
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_BINDING = 1e-12
_NUDGES = (4e-15, 3.2e-14, 2.5e-13)
_FASTER_MAX = 2e-13
_LEAST_DRAIN_HZ = 1e-9


def realise(
    snapshot: TwinSnapshot, tasks: Tasks, options: SlotOptions, candidate: Candidate
) -> tuple[Decision, SlotOutcome, int]:
    """Return the decision of a candidate, its outcome by `slot_step`, and the number of deadlines that bind.

    A binding deadline is met with equality, and ``t > T`` is tested literally, so that rounding would turn half of
    these tasks into misses. So such a task is nudged: 4e-15 of its ratio moves to the side that has time to spare, and
    its speed grows, by at most 2e-13, so that the edge part gains four times as much of T. If `slot_step` still finds
    it late, the nudge grows. All nudges together stay below 1e-12 of the capacity, an excess that
    `policies.feasible.project` accepts. The event engine rounds stages to 2^-14 ns and ends to the nearest ns. So a
    task that is in time here is in time there.

    Parameters
    ----------
    snapshot : the twin's belief
    tasks, options, candidate : of that snapshot
    """
    ratio = options.ratio(tasks, candidate.choice, candidate.v_hz)
    speed_hz = candidate.v_hz if tasks.effective else candidate.v_hz + tasks.bias_hz
    active = (ratio > 0.0) | (candidate.v_hz > 0.0)
    promised = options.timely[candidate.choice] & (ratio > 0.0)
    binding = promised & (_delay_s(tasks, ratio, speed_hz) >= (1.0 - _BINDING) * tasks.deadline_s)
    ratio, speed_hz = _nudged(tasks, ratio, speed_hz, binding, _NUDGES[0])
    decision = _decision(tasks, ratio, speed_hz, active, snapshot.size_bytes.shape)
    outcome = slot_outcome(snapshot, decision)
    for nudge in _NUDGES[1:]:
        late = promised & (outcome.missed.reshape(-1) > 0)
        if not late.any():
            break
        ratio, speed_hz = _nudged(tasks, ratio, speed_hz, late, nudge)
        decision = _decision(tasks, ratio, speed_hz, active, snapshot.size_bytes.shape)
        outcome = slot_outcome(snapshot, decision)
    return decision, outcome, int(np.count_nonzero(binding))


def _decision(tasks: Tasks, ratio: Floats, speed_hz: Floats, active: Mask, shape: tuple[int, ...]) -> Decision:
    least_hz = np.where(ratio > 0.0, tasks.least_hz, _LEAST_DRAIN_HZ if tasks.effective else 0.0)
    allocation_hz = np.where(active, np.maximum(speed_hz - tasks.bias_hz, least_hz), 0.0)
    return Decision(ratio.reshape(shape), allocation_hz.reshape(shape))


def _delay_s(tasks: Tasks, ratio: Floats, speed_hz: Floats) -> Floats:
    """Return the delays of active tasks, [M], s, eq. 10."""
    busy = ratio > 0.0
    edge_s = np.where(busy, ratio * tasks.work_cycles / np.where(busy, speed_hz, 1.0), 0.0)
    local_s = (1.0 - ratio) * tasks.local_s
    upload_s = np.where(busy, tasks.ratio_upload_s, 0.0)  # infinite without a rate
    remote_s = tasks.fixed_upload_s + ratio * upload_s + edge_s
    return np.maximum(local_s, remote_s) if tasks.parallel else local_s + remote_s


def _nudged(tasks: Tasks, ratio: Floats, speed_hz: Floats, late: Mask, nudge: float) -> tuple[Floats, Floats]:
    """Bring late tasks into their deadlines: move work to the side with time to spare, and raise the speed."""
    index = np.flatnonzero(late)
    if not index.size:
        return ratio, speed_hz
    ratio, speed_hz = ratio.copy(), speed_hz.copy()
    part, deadline_s = ratio[index], tasks.deadline_s[index]
    edge_s = part * tasks.work_cycles[index] / speed_hz[index]
    local_late = tasks.idle_late[index]
    if tasks.parallel:
        local_late = (1.0 - part) * tasks.local_s[index] >= (1.0 - _BINDING) * deadline_s
    moved = part * np.where(local_late, 1.0 + nudge, 1.0 - nudge)
    ratio[index] = np.where(part < 1.0, np.minimum(moved, 1.0), part)
    speed_hz[index] *= 1.0 + np.minimum(4.0 * nudge * deadline_s / edge_s, _FASTER_MAX)
    return ratio, speed_hz
