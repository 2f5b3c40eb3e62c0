"""Opens traces of runs, also of killed runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from physical.errors import InputError
from traces.digest import TableDigest
from traces.limits import Extent, check_once
from traces.manifest import read_manifest
from traces.part import check_own, read_part
from traces.schema import TABLES


class Trace:
    """A run on disk.

    >>> Trace("no/such/run")
    Traceback (most recent call last):
    physical.errors.InputError: no/such/run: is not a run: it has no manifest.json
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest: dict[str, Any] = read_manifest(self.directory)

    def table(self, name: str, extent: Extent | None = None) -> pa.Table:
        """Return a table in the order of its key; the table of a killed run lacks the rows of its last part.

        extent : sizes of the run, if the values of the rows have to be checked

        Raises
        ------
        InputError : there is no such table, a part cannot be read, or columns are missing or of another type; with an
            extent also if rows are impossible
        """
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}", where=str(self.directory), accepted=", ".join(TABLES))
        folder, parts = self.directory / name, []
        for path in sorted(folder.glob("part-*.parquet")):
            check_own(path, self.directory)
            parts.append(read_part(path, TABLES[name], extent))
        rows = in_key_order(parts, name)
        if extent is not None:
            check_once(rows, TABLES[name], str(folder))
        return rows

    def mismatches(self) -> list[str]:
        """Return the tables whose rows do not have the digest in the manifest."""
        wrong = []
        for name, expected in self.manifest.get("digests", {}).items():
            digest = TableDigest(TABLES[name])
            digest.add(self.table(name))
            if digest.hex() != expected:
                wrong.append(name)
        return wrong


def in_key_order(parts: list[pa.Table], name: str) -> pa.Table:
    """Join parts of a table and sort them by its key."""
    table = TABLES[name]
    if not parts:
        return table.schema().empty_table()
    import pyarrow.compute as pc  # a run that is only written does not need it

    joined = pa.concat_tables(parts).unify_dictionaries()
    keys = {key: joined.column(key) for key in table.key}
    for key, values in keys.items():
        if pa.types.is_dictionary(values.type):  # Arrow does not sort those
            keys[key] = values.cast(values.type.value_type)
    order = pc.sort_indices(pa.table(keys), sort_keys=[(key, "ascending") for key in keys])
    return joined.take(order)
