"""The tables `vehicles` and `entities`: where vehicles were, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physical.arrays import Mask
from physical.states import AWAY, VehicleStates
from traces import arrays
from traces.sink import Sink


def write_vehicles(sink: Sink, states: Sequence[tuple[int, VehicleStates]], node_names: list[str]) -> None:
    """Add rows to the table `vehicles`.

    states : slots with the true states at their starts, at least one
    node_names : of the serving nodes
    """
    slots = np.array([index for index, _ in states], dtype=np.int32)
    count = len(states[0][1].x_m)

    def of_all(name: str) -> Any:
        return np.concatenate([getattr(state, name) for _, state in states])

    serving = of_all("serving_node")
    own = ("x_m", "y_m", "speed_mps", "channel_gain", "uplink_rate_bps", "cpu_backlog_cycles", "uplink_backlog_bytes")
    add_present(
        sink,
        "vehicles",
        serving != AWAY,
        {
            "slot": np.repeat(slots, count),
            "vehicle": np.tile(np.arange(count, dtype=np.int32), len(slots)),
            "serving_node": arrays.Coded(np.ma.MaskedArray(serving.astype(np.int32), mask=serving < 0), node_names),
            **{name: of_all(name) for name in own},
        },
    )


def write_names(sink: Sink, names: Sequence[str], kinds: Sequence[str]) -> None:
    """Add rows to the table `entities`: which vehicle of a trace is which, [N] each; "" for a kind that is not told."""
    known = list(dict.fromkeys(kinds))
    codes = np.array([known.index(kind) for kind in kinds], dtype=np.int32)
    told = np.ma.MaskedArray(codes, mask=[not kind for kind in kinds])
    vehicle = np.arange(len(names), dtype=np.int32)
    sink.add("entities", {"vehicle": vehicle, "vehicle_id": list(names), "kind": arrays.Coded(told, known)})


def add_present(sink: Sink, table: str, present: Mask, columns: dict[str, Any]) -> None:
    """Add the rows of vehicles that are in the scene; `present` is a mask over rows."""
    if not present.all():
        columns = {name: values[present] for name, values in columns.items()}
    sink.add(table, columns)
