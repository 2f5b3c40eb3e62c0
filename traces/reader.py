"""Opens traces, also those of killed runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from physical.errors import InputError
from traces.digest import TableDigest
from traces.schema import READABLE_VERSIONS, TABLES
from traces.writer import MANIFEST


class Trace:
    """A run on disk.

    >>> Trace("no/such/run")
    Traceback (most recent call last):
    physical.errors.InputError: no/such/run: is not a run: it has no manifest.json
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        path = self.directory / MANIFEST
        if not path.is_file():
            raise InputError(f"is not a run: it has no {MANIFEST}", where=str(directory))
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
            version = self.manifest["schema_version"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(f"is not a manifest: {error!r}", where=str(path)) from error
        if version not in READABLE_VERSIONS:
            accepted = ", ".join(map(str, READABLE_VERSIONS))
            raise InputError(
                f"{version!r} is another version", where=str(path), key="schema_version", accepted=accepted
            )

    def table(self, name: str) -> pa.Table:
        """Return a table in the order of its key; a killed run's lacks what its last part would have held.

        Raises
        ------
        InputError : no such table, or a part that cannot be read
        """
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}", where=str(self.directory), accepted=", ".join(TABLES))
        parts = []
        for path in sorted((self.directory / name).glob("part-*.parquet")):
            try:
                parts.append(pq.read_table(path, schema=TABLES[name].schema()))
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
        return in_key_order(parts, name)

    def mismatches(self) -> list[str]:
        """Return the tables whose rows do not have the digest that the manifest gives."""
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
