"""Case sets as files: one Parquet table, with the system that the cases are from in its metadata."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from physical.errors import InputError
from physical.params import Params
from physical.printable import one_line
from physical.quantize import freeze
from physical.reading import check_regular
from physical.system import System
from policies.cases.case import Case, CaseSet
from policies.feasible import JOINT_FIELDS
from traces.arrays import numbers_of, of_numbers, to_arrow
from traces.atomic import write_whole
from traces.digest import TableDigest
from traces.table import READABLE_VERSIONS, Column, Table
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_INT64, _FLOAT = pa.int64(), pa.float64()
_FLOATS, _INTS = pa.list_(_FLOAT), pa.list_(_INT64)

CASES = Table(
    "cases",
    ("slot",),
    (
        Column("origin", pa.string(), "", "where the case comes from, for people: policy, scenario, seed, slot"),
        Column("slot", _INT64, "", "slot that was decided, from 0 on"),
        Column("time_ns", _INT64, "ns", "when the twin took its snapshot"),
        Column("size_bytes", _FLOATS, "B", "estimated size of each task, by vehicle and class"),
        Column("x_m", _FLOATS, "m", "estimated position of each vehicle along x"),
        Column("y_m", _FLOATS, "m", "estimated position of each vehicle along y"),
        Column("speed_mps", _FLOATS, "m/s", "speed of each vehicle as last reported"),
        Column("heading_rad", _FLOATS, "rad", "direction of each vehicle as last reported, counter-clockwise from x"),
        Column(
            "serving_node",
            _INTS,
            "",
            "index of the node that served each vehicle as last reported; below 0 without one",
        ),
        Column("channel_gain", _FLOATS, "", "estimated linear power gain of each vehicle"),
        Column("age_of_information_s", _FLOATS, "s", "time since the state on which each vehicle's estimate rests"),
        Column("backlog_bytes", _FLOATS, "B", "estimated backlog of each class, all servers together"),
        Column(
            "estimation_bias_hz", _FLOATS, "Hz", "bias of the edge frequency of each flow, as the policy was told it"
        ),
        Column("cpu_backlog_cycles", _FLOATS, "cycles", "estimated work that waits or runs on each vehicle's CPU"),
        Column("uplink_backlog_bytes", _FLOATS, "B", "estimated bytes of each vehicle that wait or are being sent"),
        Column(
            "flow_backlog_cycles",
            _FLOATS,
            "cycles",
            "estimated work of each flow at its vehicle's server, by vehicle and class",
        ),
        Column(
            "offloading_ratio", _FLOATS, "", "decided part of each task that the server computes, by vehicle and class"
        ),
        Column(
            "compute_allocation_hz",
            _FLOATS,
            "Hz",
            "decided frequency of each flow at its vehicle's server, by vehicle and class",
        ),
        Column(
            "local_frequency_hz", _FLOATS, "Hz", "decided frequency of each vehicle; empty without joint allocation"
        ),
        Column(
            "transmit_power_w", _FLOATS, "W", "decided transmit power of each vehicle; empty without joint allocation"
        ),
        Column("bandwidth_hz", _FLOATS, "Hz", "decided bandwidth of each vehicle; empty without joint allocation"),
        Column(
            "objective",
            _FLOAT,
            "",
            "what the decision was expected to bring: P2, or the weighted cost, as the twin saw it",
        ),
        Column("realised", _FLOAT, "", "objective of the slot in the simulation; NaN where it is not known"),
        Column(
            "capacity_price",
            _FLOAT,
            "",
            "price of the whole server on which the decision rests; NaN where it is not known",
        ),
    ),
    about="One row per case, in the order of the set; lists run over vehicles, then task classes.",
)

_BY_FLOW = ("size_bytes", "estimation_bias_hz", "flow_backlog_cycles", "offloading_ratio", "compute_allocation_hz")
_OF_DECISION = ("offloading_ratio", "compute_allocation_hz", *JOINT_FIELDS)
_OF_SNAPSHOT = tuple(
    column.name for column in CASES.columns if pa.types.is_list(column.type) and column.name not in _OF_DECISION
)
_NOT_NEGATIVE = (
    *("size_bytes", "channel_gain", "age_of_information_s", "backlog_bytes"),
    *("cpu_backlog_cycles", "uplink_backlog_bytes", "flow_backlog_cycles", *_OF_DECISION),
)
_VERSION, _TABLE, _SYSTEM, _DIGEST = b"vectwin_schema", b"table", b"system", b"digest"


@dataclass(frozen=True)
class CaseFile:
    """A case set as it lies in a file, before it is known what system it is wanted for.

    Parameters
    ----------
    path : the file
    rows : of the schema of `CASES`
    system : constants of the system that the cases are from, by name; "num_vehicle", "num_class" and "num_node" among
        them
    digest : as written in the file, of the decoded values
    """

    path: Path
    rows: pa.Table
    system: dict[str, Any]
    digest: str

    @property
    def is_intact(self) -> bool:
        """Whether the rows have the digest that was written with them."""
        return _digest(self.rows) == self.digest

    def arrays(self, name: str) -> list[NDArray[Any]]:
        """Return the lists of a column, one array per case."""
        lists = self.rows.column(name).combine_chunks()
        (values, _), (offsets, _) = numbers_of(lists.values), numbers_of(lists.offsets)
        return [values[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]

    def used_share(self) -> list[float]:
        """Return the part of all servers' capacity that each case allocates."""
        capacity_hz = sum(self.system["node_hz"])
        return [float(hz.sum() / capacity_hz) for hz in self.arrays("compute_allocation_hz")]

    def cases(self, system: System) -> CaseSet:
        """Return the cases for a system.

        Raises
        ------
        InputError : the system has another number of vehicles or classes, lacks a node that the cases name, or decides
            power and bandwidth where they do not, or the reverse
        """
        where = str(self.path)
        for name in ("num_vehicle", "num_class"):
            wanted = getattr(system, name)
            if self.system[name] != wanted:
                raise InputError(
                    f"is {self.system[name]} in this case set", where=where, key=name, accepted=str(wanted)
                )
        columns = {name: self.arrays(name) for name in (*_OF_SNAPSHOT, *_OF_DECISION)}
        if bool(columns[JOINT_FIELDS[0]][0].size) != (system.spectrum is not None):
            problem = "are decided in only one of this case set and the scenario"
            raise InputError(problem, where=where, key=", ".join(JOINT_FIELDS), accepted="cases of such a scenario")
        node = max(int(nodes.max()) for nodes in columns["serving_node"])
        if node >= system.num_node:
            accepted = f"at most {system.num_node - 1}"
            raise InputError(f"{node} is no node of this scenario", where=where, key="serving_node", accepted=accepted)
        plain = self.rows.select(["origin", "slot", "time_ns", "objective", "realised", "capacity_price"]).to_pylist()
        return CaseSet(system, (_case(system, row, columns, index) for index, row in enumerate(plain)))


def _case(system: System, row: dict[str, Any], columns: dict[str, list[NDArray[Any]]], index: int) -> Case:
    arrays: dict[str, Any] = {name: values[index].copy() for name, values in columns.items()}
    for name in _BY_FLOW:
        arrays[name] = arrays[name].reshape(system.num_vehicle, system.num_class)
    freeze(*arrays.values())
    snapshot = TwinSnapshot(
        slot=row["slot"], time_ns=row["time_ns"], system=system, **{name: arrays[name] for name in _OF_SNAPSHOT}
    )
    decided: dict[str, Any] = {name: arrays[name] if arrays[name].size else None for name in _OF_DECISION}
    decision = Decision(**decided)
    return Case(snapshot, decision, row["objective"], row["realised"], row["origin"], row["capacity_price"])


def read_cases(path: str | Path, system: System) -> CaseSet:
    """Read a case set for a system.

    Raises
    ------
    InputError : see `open_cases` and `CaseFile.cases`
    """
    return open_cases(path).cases(system)


def open_cases(path: str | Path) -> CaseFile:
    """Read a case set and check its form.

    Raises
    ------
    InputError : no such file, not Parquet, cut short, of another version or schema, without a case, with lists that do
        not fit the number of vehicles and classes, or with values that are not finite or out of range

    >>> open_cases("no/such/file.parquet")
    Traceback (most recent call last):
    physical.errors.InputError: no/such/file.parquet: there is no such file
    """
    path = Path(path)
    if not path.exists():
        raise InputError("there is no such file", where=str(path))
    try:
        check_regular(path)
        # Opened here: Arrow takes some names for addresses of the network.
        with pa.OSFile(str(path)) as stream, pq.ParquetFile(stream) as file:
            metadata = file.schema_arrow.metadata or {}
            _check_schema(str(path), file.schema_arrow, metadata)
            rows = _read_rows(path, file)
        rows.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        line = one_line(str(error))[:100]
        raise InputError(f"cannot be read as Parquet: {line}", where=str(path), accepted=_ACCEPTED) from error
    found = CaseFile(path, rows, _system_of(str(path), metadata), metadata.get(_DIGEST, b"").decode("ascii", "replace"))
    _check_rows(found)
    return found


_ACCEPTED = "the output of twin cases build"
_DECODED_MAX = 1 << 29
"""Bytes of all cases in memory; a file of some kB may claim to hold more."""


def _read_rows(path: Path, file: pq.ParquetFile) -> pa.Table:
    """Read batch by batch, up to a limit."""
    names = [column.name for column in CASES.columns]
    batches, left = [], _DECODED_MAX
    for batch in file.iter_batches(batch_size=256, columns=names, use_threads=False):
        left -= batch.nbytes
        if left < 0:
            accepted = f"at most {_DECODED_MAX >> 20} MiB of them"
            raise InputError("holds too many bytes of cases", where=str(path), accepted=accepted)
        batches.append(batch)
    fields = [file.schema_arrow.field(name) for name in names]
    return pa.Table.from_batches(batches, batches[0].schema if batches else pa.schema(fields)).combine_chunks()


def _check_schema(where: str, schema: pa.Schema, metadata: dict[bytes, bytes]) -> None:
    table = metadata.get(_TABLE, b"").decode("utf-8", "replace")
    if table != CASES.name:
        problem = f"is a file of {one_line(table)[:40]}" if table else "is none of our files"
        raise InputError(problem, where=where, accepted=_ACCEPTED)
    version = one_line(metadata.get(_VERSION, b"").decode("utf-8", "replace"))[:40]
    readable = [str(known) for known in READABLE_VERSIONS]
    if version not in readable:
        raise InputError(f"{version!r} is another version", where=where, key="version", accepted=", ".join(readable))
    for column in CASES.columns:
        indices = schema.get_all_field_indices(column.name)
        kind = schema.field(indices[0]).type if len(indices) == 1 else None
        if kind != column.type:
            problem = "is missing" if kind is None else f"has type {kind}"
            raise InputError(problem, where=where, key=column.name, accepted=str(column.type))


def _system_of(where: str, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        system = json.loads(metadata.get(_SYSTEM, b""))
    except (ValueError, RecursionError):
        system = None
    for name in ("num_vehicle", "num_class", "num_node"):
        value = system.get(name) if isinstance(system, dict) else None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{value!r} is no number of these", where=where, key=name, accepted=_ACCEPTED)
    hz = system.get("node_hz")
    if not isinstance(hz, list) or not hz or not all(isinstance(value, float) and value > 0 for value in hz):
        raise InputError("is no list of positive numbers", where=where, key="node_hz", accepted=_ACCEPTED)
    found: dict[str, Any] = system
    return found


def _check_rows(file: CaseFile) -> None:
    """Check that every list is as long as it must be, and that values are numbers."""
    where, rows = str(file.path), file.rows
    if not rows.num_rows:
        raise InputError("holds no case", where=where, accepted=_ACCEPTED)
    num_vehicle, num_class = file.system["num_vehicle"], file.system["num_class"]
    lengths = dict.fromkeys(_BY_FLOW, num_vehicle * num_class) | {"backlog_bytes": num_class}
    for column in CASES.columns:
        name, values = column.name, rows.column(column.name).combine_chunks()
        if values.null_count or (pa.types.is_list(column.type) and values.values.null_count):
            raise InputError("has a value that is null", where=where, key=name, accepted=_ACCEPTED)
        if not pa.types.is_list(column.type):
            continue
        wanted = lengths.get(name, num_vehicle)
        length = set(np.diff(numbers_of(values.offsets)[0]).tolist())
        if length != {wanted} and not (name in JOINT_FIELDS and length == {0}):
            wrong = min(length - {wanted})
            raise InputError(f"has a list of {wrong} values", where=where, key=name, accepted=f"{wanted} of them")
        numbers, _ = numbers_of(values.values)
        if not np.isfinite(numbers).all():
            raise InputError("has a value that is not finite", where=where, key=name, accepted="numbers")
        if name in _NOT_NEGATIVE and (numbers < 0).any():
            raise InputError("has a negative value", where=where, key=name, accepted=">= 0")
    given = {name: bool(len(rows.column(name).combine_chunks().values)) for name in JOINT_FIELDS}
    if len(set(given.values())) > 1:
        missing = ", ".join(name for name, is_given in given.items() if not is_given)
        raise InputError("is missing, others are given", where=where, key=missing, accepted=_ACCEPTED)


def write_cases(cases: CaseSet, path: str | Path) -> None:
    """Write a case set, whole or not at all; a file that stands there is replaced.

    Raises
    ------
    InputError : no case, another suffix than ``.parquet``, or it cannot be written there
    """
    path = Path(path)
    check_target(path)
    if not len(cases):
        raise InputError("there is no case to write", where=str(path))
    rows = _table(cases)
    metadata = {
        **CASES.schema().metadata,
        _SYSTEM: json.dumps(_describe(cases.system)),
        _DIGEST: _digest(rows),
    }
    write_whole(rows.replace_schema_metadata(metadata), path)


def check_target(path: Path) -> None:
    """Refuse a name that no case set may have.

    Raises
    ------
    InputError : another suffix than ``.parquet``, or a directory
    """
    if path.suffix != ".parquet":
        raise InputError("has another suffix", where=str(path), accepted=".parquet")
    if path.is_dir():
        raise InputError("is a directory", where=str(path), accepted="a file")


def _table(cases: Iterable[Case]) -> pa.Table:
    cases = list(cases)
    columns: dict[str, Any] = {
        "origin": [case.origin for case in cases],
        "slot": [case.snapshot.slot for case in cases],
        "time_ns": [case.snapshot.time_ns for case in cases],
        "objective": [case.objective for case in cases],
        "realised": [case.realised for case in cases],
        "capacity_price": [case.capacity_price for case in cases],
        **{name: [getattr(case.snapshot, name) for case in cases] for name in _OF_SNAPSHOT},
        **{name: [getattr(case.decision, name) for case in cases] for name in _OF_DECISION},
    }
    arrays = [
        (_lists if pa.types.is_list(column.type) else to_arrow)(columns[column.name], column.type)
        for column in CASES.columns
    ]
    return pa.Table.from_arrays(arrays, schema=CASES.schema())


def _lists(arrays: list[NDArray[Any] | None], kind: pa.DataType) -> pa.ListArray:
    flat = [np.empty(0) if values is None else values.reshape(-1) for values in arrays]
    offsets = np.cumsum([0, *(len(values) for values in flat)], dtype=np.int32)
    return pa.ListArray.from_arrays(of_numbers(offsets), of_numbers(np.concatenate(flat), kind.value_type))


def _digest(rows: pa.Table) -> str:
    digest = TableDigest(CASES)
    digest.add(rows)
    return digest.hex()


def _describe(system: System) -> dict[str, Any]:
    """Return the constants of a system as JSON has them."""
    described: dict[str, Any] = {name: getattr(system, name) for name in ("num_vehicle", "num_class", "num_node")}
    return described | {field.name: _plain(getattr(system, field.name)) for field in dataclasses.fields(system)}


def _plain(value: Any) -> Any:
    """Return a constant as JSON has it; a number that is not finite is null."""
    if isinstance(value, Params):
        return value.model_dump(mode="json")
    if isinstance(value, np.ndarray):
        return [_plain(number) for number in value.tolist()]
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
