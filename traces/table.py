"""What a table of a trace is: its columns with meanings, units, and which of them count for the digest."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 3
READABLE_VERSIONS = (2, 3)
"""Version 2 had positions in single precision, and no table `entities`; what it wrote is read as it was meant."""


INT32, INT64, FLOAT, BOOL, STRING = pa.int32(), pa.int64(), pa.float64(), pa.bool_(), pa.string()
TEXT = pa.dictionary(pa.int32(), pa.string())
"""Of texts that repeat."""
FLOATS = pa.list_(FLOAT)
SINGLE = pa.float32()
"""Of gains, which are quantised to it, see `physical.quantize`."""


@dataclass(frozen=True)
class Column:
    """One column.

    unit : of its values; "" for a number without one
    about : what a value is, in a phrase: of which instant, and what null or NaN mean; it is not written to files
    digested : False for what differs between two runs of the same thing, such as wall times
    noisy : values hardly repeat; an imported file keeps no dictionary of them
    effect : in a table of what the world does whatever anybody decides, what earlier decisions have led to
    single : values that single precision holds count for the digest as such, so that it is that of version 2
    """

    name: str
    type: pa.DataType
    unit: str = ""
    about: str = ""
    digested: bool = True
    noisy: bool = False
    effect: bool = False
    single: bool = False


@dataclass(frozen=True)
class Table:
    """One table.

    key : columns that order the rows when they are read
    since : version in which the table came
    about : what a row is, and what all columns have in common; it is not written to files
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    since: int = 2
    about: str = ""

    def schema(self) -> pa.Schema:
        """Return the Arrow schema, units in the metadata of the columns."""
        return pa.schema(
            [pa.field(column.name, column.type, metadata={"unit": column.unit}) for column in self.columns],
            metadata={"vectwin_schema": str(SCHEMA_VERSION), "table": self.name},
        )


def place(name: str, about: str) -> Column:
    """Return a column of positions: generated ones are quantised to single precision, those of traces are not."""
    return Column(name, FLOAT, "m", about, single=True)
