"""Reads floating car data of SUMO from XML, as a stream: the positions of all vehicles, time step by time step."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

import numpy as np
import pyarrow as pa

from physical.errors import InputError
from traces.exogenous.source import opened, plain

CHUNK_BYTES = 1 << 16
FLUSH_ROWS = 1 << 12
TOKEN_BYTES = 1 << 20
"""Largest length of an element with its attributes, because the parser reads an incomplete one again and again."""
DEPTH = 32
ROOT = "fcd-export"
ACCEPTED = "floating car data that SUMO writes with --fcd-output"

ATTRIBUTES = {
    "entity_id": "id",
    "x_m": "x",
    "y_m": "y",
    "lon_deg": "lon",
    "lat_deg": "lat",
    "speed_mps": "speed",
    "angle_deg": "angle",
    "kind": "type",
}
REQUIRED = (("id",), ("x", "lon"), ("y", "lat"))

# SUMO writes its configuration into a comment at the head of the file.
_CONFIGURED = re.compile(r"<fcd-output\s")
_GEO = re.compile(r"<fcd-output\.geo\s+value=\"(?:true|t|yes|y|on|x|1)\"", re.IGNORECASE)


class Export(NamedTuple):
    """The contents of an XML file.

    columns : field -> texts
    num_left_out : persons and containers
    geo : whether SUMO was told to write longitudes and latitudes; None if its configuration is not there
    """

    columns: dict[str, pa.ChunkedArray]
    num_left_out: int
    geo: bool | None


class _VehicleCollector:
    """Gathers attributes of vehicles as Arrow arrays of texts."""

    def __init__(self, where: str, parser: expat.XMLParserType) -> None:
        self.where = where
        self.parser = parser
        self.num_row = 0
        self.num_left_out = 0
        self.geo: bool | None = None
        self.chunks: dict[str, list[pa.Array]] = {field: [] for field in ("t_s", *ATTRIBUTES)}
        self._rows: list[tuple[str | None, ...]] = []  # values of ATTRIBUTES
        self._steps: list[tuple[str, int]] = []  # time of a step, and how many rows stood before it
        self._names: list[str] = []
        self._pick: Callable[[list[Any]], tuple[str | None, ...]] = tuple
        self._open: list[str] = []  # elements around the present one
        parser.ordered_attributes = True
        parser.EndElementHandler = (
            self._open.remove
        )  # removes the name; there may be several, and it need not be the last
        parser.StartElementHandler = self._start_root
        parser.CommentHandler = self._read_comment
        parser.StartDoctypeDeclHandler = self._refuse_doctype

    def _read_comment(self, text: str) -> None:
        if self.geo is None and _CONFIGURED.search(text):
            self.geo = bool(_GEO.search(text))

    def _start_root(self, name: str, _attributes: list[str]) -> None:
        self._open.append(name)
        if name != ROOT:
            raise self._error(f"the outermost element is <{plain(name)}>", f"<{ROOT}>, {ACCEPTED}")
        self.parser.StartElementHandler = self._start

    def _start(self, name: str, attributes: list[Any]) -> None:
        """Take an element; `attributes` are names and values in turn."""
        self._open.append(name)
        if len(self._open) > DEPTH:
            raise self._error(f"has elements within each other more than {DEPTH} deep", ACCEPTED)
        if name == "vehicle":
            if attributes[::2] != self._names:
                self._learn(attributes[::2])
            attributes.append(None)  # the value of what this vehicle does not tell
            self._rows.append(self._pick(attributes))
            if len(self._rows) >= FLUSH_ROWS:
                self.flush()
        elif name == "timestep":
            if "time" not in attributes[::2]:
                raise self._error("<timestep> has no time", "an attribute time")
            self._steps.append((attributes[2 * attributes[::2].index("time") + 1], len(self._rows)))
        elif name in ("person", "container"):
            self.num_left_out += 1

    def _learn(self, names: list[str]) -> None:
        """Find the places of the values, which stay the same, because SUMO writes equal attributes for all vehicles."""
        if not self._steps:
            raise self._error("a <vehicle> stands before any <timestep>", ACCEPTED)
        for known in REQUIRED:
            if not set(known) & set(names):
                raise self._error(f"a <vehicle> has no {known[0]}", f"an attribute {' or '.join(known)}")
        self._pick = itemgetter(*(2 * names.index(name) + 1 if name in names else -1 for name in ATTRIBUTES.values()))
        self._names = names

    def _refuse_doctype(self, *_arguments: Any) -> None:
        # Only a document type can declare entities, which may expand without end or name other files.
        raise self._error("has a document type declaration", ACCEPTED)

    def check_token(self, num_byte: int) -> None:
        """Refuse an element or a comment that does not end, with so many bytes read."""
        if num_byte - self.parser.CurrentByteIndex > TOKEN_BYTES:
            raise self._error(f"has an element or a comment of more than {TOKEN_BYTES} bytes", ACCEPTED)

    def _error(self, problem: str, accepted: str) -> InputError:
        key = f"line {self.parser.CurrentLineNumber}"
        return InputError(problem, where=self.where, key=key, accepted=accepted)

    def flush(self) -> None:
        """Turn the rows so far into arrays."""
        rows = self._rows
        if not rows:
            return
        starts = np.array([start for _, start in self._steps] + [len(rows)])
        times = pa.array([time for time, _ in self._steps], pa.string())
        step_of_row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        self.chunks["t_s"].append(times.take(pa.array(step_of_row)))
        for field, values in zip(ATTRIBUTES, zip(*rows, strict=True), strict=True):
            self.chunks[field].append(pa.array(values, pa.string()))
        self.num_row += len(rows)
        rows.clear()
        self._steps = [(self._steps[-1][0], 0)]


def read_xml(path: Path) -> Export:
    """Read the vehicles of a file; a field that no vehicle has is not among the columns.

    Raises
    ------
    InputError : the file is another kind of XML, or incomplete
    """
    parser = expat.ParserCreate()
    collector = _VehicleCollector(str(path), parser)
    try:
        num_byte = 0
        with opened(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                parser.Parse(chunk, False)
                num_byte += len(chunk)
                collector.check_token(num_byte)
            parser.Parse(b"", True)
    except InputError:
        raise
    except expat.ExpatError as error:
        problem = f"is not well-formed XML: {expat.ErrorString(error.code)}"
        raise InputError(problem, where=str(path), key=f"line {error.lineno}", accepted=ACCEPTED) from error
    except (ValueError, LookupError) as error:
        raise InputError(f"is not XML: {error}", where=str(path), accepted=ACCEPTED) from error
    collector.flush()
    if not collector.num_row:
        raise InputError("has no <vehicle>", where=str(path), accepted=ACCEPTED)
    columns = {field: pa.chunked_array(chunks) for field, chunks in collector.chunks.items()}
    told = {field: column for field, column in columns.items() if column.null_count < len(column)}
    return Export(told, collector.num_left_out, collector.geo)
