"""`p2-slsqp`: solves P2 by a general solver; it is slower than `p2-exact`, and its result is never below that bound."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from scipy.special import expit

from physical.arrays import Floats
from physical.system import System
from policies.feasible import project, rest_hz
from policies.optimal.p2_exact import certificate, check_margin, lower_bound
from policies.optimal.tasks import Tasks, check_p2, read_tasks
from policies.scoring import slot_outcome
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

_IDLE_RATIO = 1e-6


@dataclass
class P2Slsqp:
    """Solves P2 by sequential quadratic programming (scipy) over ratios and allocations, from equal shares.

    A local solver needs a smooth function. So each miss is a logistic step of width `smoothing` T, and with the upload
    rule "whole" every task pays its upload. `slot_step` scores the result without this smoothing. The lower bound is
    the price bound of `p2-exact`, for the same rest of the capacity. If the start is better than the end, the start is
    returned.

    Parameters
    ----------
    method : solver of `scipy.optimize.minimize`
    margin : part of every deadline kept back for a bias that the twin does not know
    smoothing : width of the step at a deadline, as a part of it
    max_iteration : iterations after which the solver is stopped
    """

    method: Literal["slsqp", "trust-constr"] = "slsqp"
    margin: float = 0.0
    smoothing: float = 0.01
    max_iteration: int = 200

    def __post_init__(self) -> None:
        """Check the options."""
        check_margin(self.margin)
        if not self.smoothing > 0:
            raise ValueError(f"smoothing {self.smoothing} is not positive")
        if self.max_iteration < 1:
            raise ValueError(f"max_iteration {self.max_iteration} is not positive")

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature; nothing is random
        """Forget the last run."""
        check_p2(system, "p2-slsqp")
        self._diagnostics = Diagnostics()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the solver's decision for the slot of `snapshot`."""
        begin_s = time.perf_counter()
        tasks = read_tasks(snapshot, self.margin)
        shape = snapshot.size_bytes.shape
        idle = Decision(np.zeros(shape), np.zeros(shape))
        points = _Smooth(tasks, self.smoothing).solve(self.method, self.max_iteration)
        decisions = [self._decision(snapshot, tasks, *point) for point in points]
        values = [float(slot_outcome(snapshot, decision).objective) for decision in (*decisions, idle)]
        best = int(np.argmin(values))
        solve_s = time.perf_counter() - begin_s
        bound = lower_bound(read_tasks(snapshot) if self.margin else tasks) + tasks.constant
        self._diagnostics = certificate(values[best], bound, solve_s)
        return (*decisions, idle)[best]

    def diagnostics(self) -> Diagnostics:
        """Return objective, lower bound and gap of the last decision; the time is the solver's, without the bound."""
        return self._diagnostics

    def _decision(self, snapshot: TwinSnapshot, tasks: Tasks, ratio: Floats, allocation_hz: Floats) -> Decision:
        """Round ratios near 0 to 0, and clip values that the solver leaves slightly infeasible."""
        ratio = np.where(ratio < _IDLE_RATIO, 0.0, np.minimum(ratio, 1.0))
        allocation_hz = np.where((ratio > 0) | (tasks.drain_per_hz > 0), allocation_hz, 0.0)
        raw = Decision(ratio.reshape(snapshot.size_bytes.shape), allocation_hz.reshape(snapshot.size_bytes.shape))
        return project(snapshot.system, raw, snapshot.estimation_bias_hz, rest_hz=rest_hz(snapshot))[0]


class _Smooth:
    """P2 as a smooth function of ``z = (omega, x / unit)``, with its gradient."""

    def __init__(self, tasks: Tasks, smoothing: float) -> None:
        self.tasks = tasks
        self.width_s = smoothing * tasks.deadline_s
        self.live = tasks.reachable | (tasks.drain_per_hz > 0.0)  # tasks to which an allocation is useful
        self.least_hz = np.where(self.live, tasks.least_hz, 0.0)
        counted_hz = self.live * tasks.bias_hz if tasks.effective else 0.0
        self.offer_hz = tasks.server.capacity_hz - float(np.sum(counted_hz))
        self.paid_s = np.where(tasks.reachable, tasks.fixed_upload_s, 0.0)
        self.upload_s = np.where(tasks.reachable, tasks.ratio_upload_s, 0.0)
        self.unit_hz = max(tasks.server.capacity_hz / tasks.num_task, 1.0)

    def solve(self, method: str, max_iteration: int) -> list[tuple[Floats, Floats]]:
        """Return ratios and allocations at the end and at the start; nothing if not all tasks fit."""
        tasks, num_task = self.tasks, self.tasks.num_task
        spare_hz = self.offer_hz - float(self.least_hz.sum())
        if spare_hz < 0.0 or not self.live.any():
            return []
        low = np.concatenate([np.zeros(num_task), self.least_hz / self.unit_hz])
        high = np.concatenate([tasks.reachable * 1.0, np.where(self.live, np.inf, 0.0)])
        shares = (self.least_hz + self.live * spare_hz / self.live.sum()) / self.unit_hz
        start = np.concatenate([tasks.reachable * 0.5, shares])
        row = np.concatenate([np.zeros(num_task), np.ones(num_task)])
        capacity = LinearConstraint(row[np.newaxis], -np.inf, self.offer_hz / self.unit_hz)
        options: dict[str, Any] = {"maxiter": max_iteration}
        if method == "slsqp":
            options["ftol"] = 1e-10
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a step of length 0 is nothing to warn about
            solver: Any = minimize  # its stubs know neither arrays of bounds nor a gradient returned with the value
            found = solver(
                self.value,
                start,
                jac=True,
                method="SLSQP" if method == "slsqp" else method,
                bounds=np.column_stack([low, high]),
                constraints=capacity,
                options=options,
            )
        end = np.clip(np.where(np.isfinite(found.x), found.x, start), low, high)
        return [(z[:num_task], z[num_task:] * self.unit_hz) for z in (end, start)]

    def value(self, z: Floats) -> tuple[float, Floats]:
        """Return the smooth P2, less its constant, and its gradient."""
        tasks, num_task = self.tasks, self.tasks.num_task
        ratio, allocation_hz = z[:num_task], z[num_task:] * self.unit_hz
        speed_hz = np.where(self.live, np.maximum(allocation_hz + tasks.bias_hz, 1.0), 1.0)
        local_s = (1.0 - ratio) * tasks.local_s
        edge_s = tasks.work_cycles / speed_hz
        remote_s = self.paid_s + ratio * (self.upload_s + edge_s)
        local_counts = (local_s >= remote_s) * 1.0 if tasks.parallel else 1.0
        remote_counts = 1.0 - local_counts if tasks.parallel else 1.0
        delay_s = local_counts * local_s + remote_counts * remote_s
        late = expit((delay_s - tasks.deadline_s) / self.width_s)
        counted_hz = speed_hz if tasks.effective else allocation_hz
        total_hz = float(counted_hz.sum())
        value = ratio * tasks.backlog_cost + (1.0 - ratio) * tasks.local_cost - tasks.drain_per_hz * counted_hz
        value += tasks.delay_cost_per_s * delay_s + tasks.miss_cost * late
        per_s = tasks.delay_cost_per_s + tasks.miss_cost * late * (1.0 - late) / self.width_s
        by_ratio = remote_counts * (self.upload_s + edge_s) - local_counts * tasks.local_s
        by_hz = -remote_counts * ratio * edge_s / speed_hz
        slope = np.concatenate(
            [
                tasks.backlog_cost - tasks.local_cost + per_s * by_ratio,
                self.unit_hz * (per_s * by_hz - tasks.drain_per_hz + tasks.server.marginal(total_hz)),
            ]
        )
        return float(value.sum()) + tasks.server.cost(total_hz), slope
