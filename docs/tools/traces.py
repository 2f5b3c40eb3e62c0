"""The page of what a run leaves behind: tables and columns from `traces.schema`, manifest and summary."""

from __future__ import annotations

import pyarrow as pa

from docs.tools.docstrings import fields
from docs.tools.markdown import anchored, barred, cell, code, prose, sentence, table
from sim.show import GROUPS
from traces.manifest import Input, Manifest
from traces.schema import READABLE_VERSIONS, SCHEMA_VERSION, TABLES, Column, Table

INTRODUCTION = f"""\
# Traces

A run leaves a folder: `manifest.json`, and a folder of Parquet files for each table. This page lists every table and
column, the manifest, and the keys of the summary. How to read them: [Read traces](../how-to/read-traces.md).

The version of the schema is {SCHEMA_VERSION}; {" and ".join(map(str, READABLE_VERSIONS))} can be read. A table may
have several files, its *parts*, and rows of one part are not in the order of the key: `Trace.table` of
[`traces.reader`](api/traces.md) sorts them. Times that end in `_ns` are whole nanoseconds since the begin of the run. A
list has one value per vehicle, or per vehicle and task class, vehicles first. The *digest* of a table is computed from
its decoded values; columns that differ between two runs of the same thing, such as wall times, do not count.
"""
_TEXTS = {
    "fallback_first": ("why the fallback decided for the first time; only if it did", ""),
    "not_closed": ("how the policy failed when it was closed; only if it did", ""),
}
"""Keys of the summary that the terminal shows otherwise, as words about the run."""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for one in TABLES.values():
        parts += [f"## `{one.name}` {{ #{one.name} }}", *_about(one), _columns(one)]
    return "\n\n".join([*parts, _manifest(), _summary()]) + "\n"


def _about(one: Table) -> list[str]:
    about = getattr(one, "about", "")
    since = f" In traces of version {one.since} and later." if one.since > min(READABLE_VERSIONS) else ""
    rows = f"Rows are ordered by {', '.join(map(code, one.key))}.{since}"
    return [prose(about), rows] if about else [rows]


def _columns(one: Table) -> str:
    rows = [
        (
            anchored(column.name, f"{one.name}.{column.name}"),
            type_name(column.type),
            column.unit,
            barred(prose(sentence(getattr(column, "about", "")))),
            "yes" if _counts(column) else "no",
        )
        for column in one.columns
    ]
    return table(("Column", "Type", "Unit", "Meaning", "In the digest"), rows)


def _counts(column: Column) -> bool:
    return column.digested


def type_name(kind: pa.DataType) -> str:
    """Return a type in words.

    >>> type_name(pa.list_(pa.float64())), type_name(pa.dictionary(pa.int32(), pa.string())), type_name(pa.int32())
    ('list of float64', 'text', 'int32')
    """
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return "text"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


def _manifest() -> str:
    said, of_input = fields(Manifest.__doc__ or ""), fields(Input.__doc__ or "")
    rows = [(anchored(name, f"manifest.{name}"), cell(sentence(said.get(name, "")))) for name in Manifest.model_fields]
    rows += [
        (anchored(f"inputs.NAME.{name}", f"manifest.inputs.{name}"), cell(sentence(of_input.get(name, ""))))
        for name in Input.model_fields
    ]
    return "\n\n".join(
        [
            "## `manifest.json` { #manifest }",
            "What the run was, and what came of it. Other keys, such as digests of a policy's own code, may be there.",
            table(("Key", "Meaning"), rows),
        ]
    )


def _summary() -> str:
    parts = [
        "## The summary { #summary }",
        "`RunResult.summary`, `twin run --json` and the manifest have these keys. A mean over nothing is null.",
    ]
    for title, group in GROUPS.items():
        entries = {**group, **(_TEXTS if title == "Twin" else {})}
        rows = [
            (anchored(name, f"summary.{name}"), unit, cell(sentence(words))) for name, (words, unit) in entries.items()
        ]
        parts += [
            f"### {title} {{ #summary-{title.lower().replace(' ', '-')} }}",
            table(("Key", "Unit", "Meaning"), rows),
        ]
    return "\n\n".join(parts)
