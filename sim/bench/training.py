"""`twin bench training`: updates per second of the trainers, and the time in which `apg` comes near the optimum."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from policies.marl.apg import Apg
from policies.optimal.p2_exact import P2Exact
from policies.scoring import slot_outcome
from sim.bench.report import Report
from sim.learn.train import VARIANTS, TrainingJob, train
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_NAME = "dtecn-congested"
_STEPS = 400
_APG_STEPS = (_STEPS, 800)
_GOAL = 0.05
_SEED = 90_001


class OptimalSlots:
    """A policy that decides as `p2-exact` does and keeps the slots and their costs."""

    def __init__(self) -> None:
        self.snapshots: list[TwinSnapshot] = []
        self.costs: list[float] = []

    def reset(self, system: Any, seed: int) -> None:
        """Get the solver ready."""
        self._exact = P2Exact()
        self._exact.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Return the optimum, and note the slot."""
        decision = self._exact.decide(snapshot)
        self.snapshots.append(snapshot)
        self.costs.append(cost(snapshot, decision))
        return decision


def cost(snapshot: TwinSnapshot, decision: Decision) -> float:
    """Return P2 + w_U of a slot, which is positive."""
    return float(slot_outcome(snapshot, decision).objective) + snapshot.system.objective.qos_weight


def measure() -> Report:
    """Train for a few steps with every trainer, one after the other."""
    scenario = Scenario.load(_NAME)
    slots = OptimalSlots()
    run(Scenario.load(_NAME, ["time.num_slot=100"]), policy=slots, seed=_SEED, keep_tables=False)
    jobs = [(algorithm, variant, _STEPS) for algorithm in VARIANTS for variant in VARIANTS[algorithm]]
    jobs += [("apg", VARIANTS["apg"][0], steps) for steps in _APG_STEPS[1:]]
    entries: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for algorithm, variant, steps in jobs:
            entries.append(_train(algorithm, variant, steps, scenario, slots, Path(folder) / "weights.safetensors"))
    near = [entry["cpu_s"] for entry in entries if entry["gap"] is not None and entry["gap"] <= _GOAL]
    rows = tuple(
        (
            entry["algorithm"],
            entry["variant"],
            entry["steps"],
            round(entry["cpu_s"], 1),
            round(entry["updates_per_s"], 1),
            "" if entry["gap"] is None else f"{entry['gap']:.1%}",
        )
        for entry in entries
    )
    reached = f"{min(near):.0f} CPU s" if near else "not reached"
    notes = (
        f"apg within {_GOAL:.0%} of p2-exact: {reached}",
        f"{_NAME} with 10 vehicles, fresh slots; each line is a training of its own, with a schedule of that length",
    )
    columns = ("algorithm", "variant", "updates", "CPU s", "updates/s", "above p2-exact")
    values = {"trainings": entries, "apg_to_goal_cpu_s": min(near, default=None), "goal": _GOAL}
    return Report("Training: CPU time", columns, rows, notes, values)


def _train(
    algorithm: str, variant: str, steps: int, scenario: Scenario, slots: OptimalSlots, out: Path
) -> dict[str, Any]:
    """Train for some steps; for `apg`, also return its distance from the optimum."""
    begin_s = time.process_time()
    train(TrainingJob(algorithm, scenario, _NAME, variant, steps=steps), out)
    cpu_s = time.process_time() - begin_s
    gap = None
    if algorithm == "apg":
        policy = Apg(str(out), variant)
        policy.reset(slots.snapshots[0].system, 0)
        costs = [cost(snapshot, policy.decide(snapshot)) for snapshot in slots.snapshots]
        gap = float(np.mean(costs) / np.mean(slots.costs)) - 1.0
    return {
        "algorithm": algorithm,
        "variant": variant,
        "steps": steps,
        "cpu_s": cpu_s,
        "updates_per_s": steps / cpu_s,
        "gap": gap,
    }
