"""The totals of the summary: sums over all slots that are complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from physical.sums import added
from sim.record.task_sums import SlotSums


@dataclass
class Totals:
    """Sums over everything that has been emitted."""

    num_slot: int = 0
    num_slot_counted: int = 0
    by_task: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            (
                *("generated", "counted", "completed", "late", "dropped", "missed", "in_flight", "delay_s"),
                *("upload_s", "num_split", "layers_local", "energy_local_j", "energy_transmit_j"),
            ),
            0.0,
        )
    )
    by_slot: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("objective", "penalty", "drift", "qos", "energy_edge_j", "backlog_bytes"), 0.0
        )
    )

    def add(self, rows: dict[str, Any], sums: SlotSums) -> None:
        """Add slots.

        rows : of the table `slots`
        sums : over their tasks
        """
        self.num_slot += len(rows["slot"])
        has_tasks = sums["counted"].sum(axis=1) > 0
        self.num_slot_counted += int(has_tasks.sum())
        for name in ("counted", "completed", "late", "dropped", "missed", "num_split", "layers_local"):
            self.by_task[name] += int(sums[name].sum())
        self.by_task["in_flight"] += int(rows["num_in_flight"].sum())
        _add(self.by_task, "delay_s", sums.delay_s)
        _add(self.by_task, "upload_s", sums.upload_s.tolist())
        self.by_task["generated"] += int(
            sum(rows[f"num_{name}"].sum() for name in ("completed", "late", "dropped", "in_flight"))
        )
        for name in ("energy_transmit_j", "energy_local_j"):
            _add(self.by_task, name, rows[name].tolist())
        for name in ("objective", "penalty", "drift", "qos"):
            _add(self.by_slot, name, rows[name][has_tasks].tolist())
        _add(self.by_slot, "energy_edge_j", rows["energy_edge_j"].tolist())
        _add(self.by_slot, "backlog_bytes", rows["backlog_bytes"].sum(axis=1).tolist())


def _add(sums: dict[str, float], name: str, values: Iterable[float]) -> None:
    """Add values one by one: how many come at once may depend on wall time."""
    sums[name] = added(values, sums[name])
