"""The canonical tables of exogenous traces, and what is known of where their rows come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from physical.arrays import Ints
from traces.digest import TableDigest
from traces.table import Column, Table

_TEXT = pa.dictionary(pa.int32(), pa.string())

MOBILITY = Table(
    "mobility",
    ("t_ns", "entity_id"),
    (
        Column(
            "t_ns",
            pa.int64(),
            "ns",
            "time of the row, as the source counts; where that has dates, from its earliest on",
        ),
        Column("entity_id", _TEXT, "", "name of the entity in the source"),
        Column("x_m", pa.float64(), "m", "position along x, east; in whole mm", noisy=True),
        Column("y_m", pa.float64(), "m", "position along y, north; in whole mm", noisy=True),
        Column("speed_mps", pa.float32(), "m/s", "speed, in whole mm/s"),
        Column(
            "heading_rad",
            pa.float32(),
            "rad",
            "direction, counter-clockwise from east, in [0, 2 pi), 1e-4 rad; null where the source does not tell it",
        ),
        Column("kind", _TEXT, "", "kind of the entity; null where the source does not tell it"),
    ),
    about="One row per entity and time.",
)

REQUESTS = Table(
    "requests",
    ("t_ns",),
    (
        Column("t_ns", pa.int64(), "ns", "time of the request's arrival, from the first one on", noisy=True),
        Column("num_input_token", pa.int32(), "", "tokens of the prompt"),
        Column("num_output_token", pa.int32(), "", "tokens of the answer"),
    ),
    about="One row per request to a language model; several may arrive at once.",
)

LINK = Table(
    "link",
    ("link_id", "t_ns"),
    (
        Column(
            "t_ns", pa.int64(), "ns", "time from which on the rates hold, until the next row, from the earliest row on"
        ),
        Column("link_id", _TEXT, "", "name of the link in the source"),
        Column("uplink_rate_bps", pa.float64(), "bit/s", "uplink rate"),
        Column("downlink_rate_bps", pa.float64(), "bit/s", "downlink rate; null where the source does not tell it"),
    ),
    about="One row per link and time.",
)

AT_INSTANT = "instant: the state at t"
AT_STEP_BEGIN = "step begin: the state when the step that begins at t has been made"


@dataclass(frozen=True)
class Cut:
    """What rows of a mobility trace that were cut from longer ones do not tell by themselves.

    begin_ns, end_ns : ns, earliest and latest time of the longer ones
    absent_after_ns : ns, the longest gap between two rows of an entity in which it has been there
    exceptions_ns : entity: that gap, where it is another
    """

    begin_ns: int
    end_ns: int
    absent_after_ns: int
    exceptions_ns: dict[str, int]

    def __post_init__(self) -> None:
        values: list[Any] = [self.begin_ns, self.end_ns, self.absent_after_ns, self.exceptions_ns]
        if type(self.exceptions_ns) is dict:
            values = [*values[:3], *self.exceptions_ns.values()]
        if any(type(value) is not int or abs(value) >= 1 << 63 for value in values):
            raise TypeError(f"cut is {self!r}")


@dataclass(frozen=True)
class Provenance:
    """Where rows come from and what was done to them; kept in the metadata of the canonical file.

    origin : format of the source
    source : name of the source file, without its folder
    sha256 : of the bytes of that file
    licence : of the source; "" if nobody said
    time_label : which instant the time of a row names
    interpolation : what lies between two rows, "linear", "hold" or "none"
    step_ns : ns, between rows; None if no one step divides all gaps
    epoch_ns : ns, what was taken off the times of the source
    num_left_out : rows of the source that are not here: other than vehicles, or replaced by a later row
    notes : what was recognised or derived, and not told by the source; a sentence each
    cut : what the rows of the source told that are not here, as a run needs some of them only; None: all are here
    """

    origin: str
    source: str
    sha256: str
    licence: str
    time_label: str
    interpolation: str
    step_ns: int | None
    epoch_ns: int
    num_left_out: int
    notes: tuple[str, ...] = ()
    cut: Cut | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(self.notes))  # JSON knows lists only
        if not all(isinstance(note, str) for note in self.notes):
            raise TypeError(f"notes is {self.notes!r}")
        if isinstance(self.cut, dict):  # as it is read
            object.__setattr__(self, "cut", Cut(**self.cut))
        for name, wanted in _PROVENANCE.items():
            value = getattr(self, name)
            if type(value) not in wanted:
                raise TypeError(f"{name} is {value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        fields = asdict(self)
        return fields if self.cut is not None else {name: fields[name] for name in fields if name != "cut"}


_PROVENANCE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("origin", "source", "sha256", "licence", "time_label", "interpolation"), (str,)),
    **dict.fromkeys(("epoch_ns", "num_left_out"), (int,)),
    "step_ns": (int, type(None)),
    "cut": (Cut, type(None)),
}


@dataclass(frozen=True)
class ExogenousTrace:
    """Rows in canonical form, in the order of the key, with their provenance and digest.

    rows : Arrow table of schema `spec`, one chunk
    digest : of the decoded values: equal for equal rows, whatever file they came in
    """

    spec: ClassVar[Table]
    group: ClassVar[str] = ""
    """The column that tells entities apart."""

    rows: pa.Table
    provenance: Provenance
    digest: str

    @classmethod
    def of(cls, rows: pa.Table, provenance: Provenance) -> Self:
        """Wrap rows and compute their digest."""
        return cls(rows, provenance, digest_of(rows, cls.spec))

    @property
    def num_row(self) -> int:
        """How many rows there are."""
        return int(self.rows.num_rows)

    @property
    def begin_ns(self) -> int:
        """Return the earliest time [ns]."""
        return int(self.column("t_ns").min())

    @property
    def end_ns(self) -> int:
        """Return the latest time [ns]."""
        return int(self.column("t_ns").max())

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of numbers, [num_row], or the codes of a column of texts; null is NaN."""
        column = self.rows.column(name).combine_chunks()
        array = column.indices if pa.types.is_dictionary(column.type) else column
        values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return values

    def names(self, column: str) -> list[str]:
        """Return the texts that the codes of a column stand for, sorted."""
        texts: list[str] = self.rows.column(column).combine_chunks().dictionary.to_pylist()
        return texts

    def summary(self) -> dict[str, Any]:
        """Return what the command line shows."""
        return {
            "table": self.spec.name,
            "num_row": self.num_row,
            "num_entity": len(self.names(self.group)) if self.group else None,
            "begin_s": self.begin_ns / 1e9,
            "end_s": self.end_ns / 1e9,
            "digest": self.digest,
            **self.provenance.to_dict(),
        }


@dataclass(frozen=True)
class MobilityTrace(ExogenousTrace):
    """Vehicles on the move; see `MOBILITY`."""

    spec = MOBILITY
    group = "entity_id"


@dataclass(frozen=True)
class RequestTrace(ExogenousTrace):
    """Requests to language models; see `REQUESTS`."""

    spec = REQUESTS


@dataclass(frozen=True)
class LinkTrace(ExogenousTrace):
    """Rates of links over time; see `LINK`."""

    spec = LINK
    group = "link_id"


def digest_of(rows: pa.Table, spec: Table) -> str:
    """Return the digest of the decoded values of a canonical table."""
    digest = TableDigest(spec)
    digest.add(rows)
    return digest.hex()


def step_of(times_ns: Ints) -> int | None:
    """Return the step [ns] that divides all gaps between distinct times, [num_row] in any order; None without one.

    >>> step_of(np.array([0, 100, 100, 300])), step_of(np.array([0, 100, 250])), step_of(np.array([7]))
    (100, None, None)
    """
    gaps = np.diff(np.unique(times_ns))
    if not len(gaps):
        return None
    step = gaps.min()
    return None if (gaps % step).any() else int(step)


def sorted_texts(texts: pa.Array) -> pa.DictionaryArray:
    """Return texts, plain or as a dictionary, as a dictionary without idle entries whose codes sort as its texts do.

    >>> sorted_texts(pa.array(["b", "a", None, "b"])).indices.to_pylist()
    [1, 0, None, 1]
    """
    if pa.types.is_dictionary(texts.type):
        texts = texts.cast(texts.type.value_type)
    encoded = texts.cast(pa.string()).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    codes = pa.array(rank).take(encoded.indices)
    return pa.DictionaryArray.from_arrays(codes, encoded.dictionary.take(order))
