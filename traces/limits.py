"""Checks the rows of a run, so that no code has to handle a slot, a vehicle or a decision that cannot exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.errors import InputError
from physical.ticks import HORIZON_NS
from traces.arrays import numbers_of
from traces.schema import Column, Table

_LARGEST = 1e30
"""Largest magnitude of decisions and places, so that results computed from them stay finite."""
_STAGES = ("started", "local_end", "upload_end", "arrived", "service_begin", "service_end", "done")
_OPTIONAL = {
    "tasks": {f"{name}_ns" for name in _STAGES},
    "jobs": {"layers_local", "local_frequency_hz", "energy_local_j", "energy_transmit_j", "energy_edge_j"},
    "vehicles": {"serving_node"},
    "messages": {"delivered_ns"},
    "entities": {"kind"},
}
"""Columns that may be null."""
_PER_FLOW = ("estimated_size_bytes", "estimated_flow_backlog_cycles", "offloading_ratio", "compute_allocation_hz")
_PER_VEHICLE = ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")
_MAY_BE_EMPTY = {"estimated_flow_backlog_cycles", *_PER_VEHICLE}
_NUMBERS = {
    ("decisions", "offloading_ratio"): (0.0, 1.0),
    **{("decisions", name): (0.0, _LARGEST) for name in ("compute_allocation_hz", *_PER_VEHICLE)},
    **{("vehicles", name): (-_LARGEST, _LARGEST) for name in ("x_m", "y_m")},
    **{("twin", name): (-_LARGEST, _LARGEST) for name in ("estimated_x_m", "estimated_y_m")},
}
"""Numbers that must be finite. All others may be infinite or NaN, which a page shows as a gap."""
_SEVERAL_PER_KEY = {"events", "messages"}


@dataclass(frozen=True)
class Extent:
    """The sizes of a run.

    num_slot, num_vehicle, num_class, num_node : of the scenario
    """

    num_slot: int
    num_vehicle: int
    num_class: int
    num_node: int

    def rows_max(self, table: Table) -> int | None:
        """Return the largest number of rows of a table; None if there may be several per key."""
        if table.name in _SEVERAL_PER_KEY:
            return None
        counts = {"slot": self.num_slot, "vehicle": self.num_vehicle, "task_class": self.num_class}
        most = 1
        for key in table.key:
            most *= counts[key]
        return most

    def lengths(self, name: str) -> tuple[int, ...]:
        """Return the lengths that the lists of a column may have."""
        length = self.num_class
        if name in _PER_VEHICLE:
            length = self.num_vehicle
        elif name in _PER_FLOW:
            length = self.num_vehicle * self.num_class
        return (length, 0) if name in _MAY_BE_EMPTY else (length,)

    def range(self, table: str, name: str) -> tuple[int, int] | None:
        """Return the least and the largest value of a column of integers; None if there is no limit."""
        if name.endswith("_ns"):
            return 0, 2 * HORIZON_NS
        if table == "events":
            return None
        if (table, name) == ("messages", "vehicle"):
            return -self.num_node, self.num_vehicle - 1
        counts = {"slot": self.num_slot, "vehicle": self.num_vehicle, "task_class": self.num_class}
        return (0, counts[name] - 1) if name in counts else None


def check_rows(rows: pa.Table, table: Table, extent: Extent, where: str) -> None:
    """Refuse impossible values: null, a slot or a vehicle that the run does not have, lists of a wrong length.

    rows : with the table's schema
    where : file of the rows

    Raises
    ------
    InputError : names the first such column
    """
    for column in table.columns:
        values, name = rows.column(column.name), column.name
        if values.null_count and name not in _OPTIONAL.get(table.name, ()):
            raise InputError("has a value that is null", where=where, key=name, accepted=_accepted(column))
        for chunk in values.chunks:
            if pa.types.is_list(column.type):
                _check_lists(chunk, table, name, extent, where)
            elif pa.types.is_integer(column.type):
                _refuse(_known(chunk), extent.range(table.name, name), where, name)
            elif pa.types.is_floating(column.type):
                _refuse(_known(chunk), _NUMBERS.get((table.name, name)), where, name)


def check_once(rows: pa.Table, table: Table, where: str) -> None:
    """Refuse a key that occurs twice.

    rows : in the order of the key
    where : folder of the rows
    """
    if table.name in _SEVERAL_PER_KEY or rows.num_rows < 2:
        return
    keys = {name: np.asarray(rows.column(name)) for name in table.key}
    twice = np.logical_and.reduce([values[1:] == values[:-1] for values in keys.values()])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        key = ", ".join(f"{name} {values[row]}" for name, values in keys.items())
        raise InputError("is there twice", where=where, key=key, accepted="one row of it")


def _accepted(column: Column) -> str:
    kind = column.type
    if pa.types.is_list(kind):
        return "a list of numbers"
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return "a text"
    return "true or false" if pa.types.is_boolean(kind) else "a number"


def _known(values: pa.Array) -> NDArray[Any]:
    numbers, null = numbers_of(values)
    return numbers if null is None else numbers[~null]


def _check_lists(values: pa.ListArray, table: Table, name: str, extent: Extent, where: str) -> None:
    lengths, accepted = np.diff(numbers_of(values.offsets)[0]), extent.lengths(name)
    wrong = ~np.isin(lengths, accepted)
    if wrong.any():
        problem = f"has a list of {lengths[wrong][0]} values"
        raise InputError(problem, where=where, key=name, accepted=" or ".join(map(str, accepted)))
    inside = values.flatten()
    if inside.null_count:
        raise InputError("has a list with null in it", where=where, key=name, accepted="numbers")
    _refuse(_known(inside), _NUMBERS.get((table.name, name)), where, name)


def _refuse(numbers: NDArray[Any], limits: tuple[float, float] | None, where: str, name: str) -> None:
    """Refuse numbers beyond limits, and NaN."""
    if limits is None or not numbers.size:
        return
    low, high = limits
    if not (numbers.min() >= low and numbers.max() <= high):  # the minimum is NaN if one number is NaN
        wrong = numbers[~((numbers >= low) & (numbers <= high))][0]
        raise InputError(f"{wrong} is out of range", where=where, key=name, accepted=f"{low:g} to {high:g}")
