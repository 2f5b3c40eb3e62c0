"""Made-up measurements of a plan of figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.show.figures import llm6g
from sim.show.figures.measure import Measured
from sim.show.figures.plan import PENALTY, FigureWorld, PaperPlan

SEEDS = tuple(range(5))
NOISE = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
Means = Mapping[tuple[str, str], Sequence[float]]
"""World and policy -> mean at each point."""


def synthetic(plan: PaperPlan, means: Means, noise: float = 1.0, gap: float | None = 1e-12) -> Measured:
    """Make up runs: every metric of a policy has the given means, and the same noise for all policies."""
    keys = {panel.metric.key for figure in plan.figures for panel in figure.panels}
    keys |= {plan.objective.key, PENALTY.key, "objective_predicted_mean"}
    counts = {"gap_max": gap, "decisions": 10, "fallbacks": 0, "decisions_repaired": 0, "stable": True}
    summaries: dict[Any, list[dict[str, Any]]] = {}
    for mode in plan.modes:
        for world, index, _ in plan.points():
            for number, method in enumerate(plan.methods):
                level = means.get((world.name, method.policy), [10.0 + number] * len(world.points))[index]
                summaries[mode, world.name, method.policy, index] = [
                    {**dict.fromkeys(keys, level + noise * float(error)), **counts} for error in NOISE
                ]
    return Measured(plan, tuple(plan.modes), SEEDS, summaries)


SMALL = dataclasses.replace(
    llm6g.plan(), worlds=(FigureWorld("square", "", "llm6g", ("time.num_slot=1",), (0.1, 0.2, 0.3)),)
)
