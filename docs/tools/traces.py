"""The page of what a run leaves behind: tables and columns from `traces.schema`, manifest and summary."""

from __future__ import annotations

import inspect

import pyarrow as pa

from docs.tools.markdown import anchored, cell, code, prose, sentence, table
from physical.docstrings import meanings
from policies.cases.file import CASES
from sim.runs.summary import ENTRIES
from traces.exogenous.schema import LINK, MOBILITY, REQUESTS
from traces.manifest import EngineUsed, Input, Manifest
from traces.schema import TABLES
from traces.table import READABLE_VERSIONS, SCHEMA_VERSION, Table

INTRODUCTION = f"""\
# Traces

A run leaves a folder: `manifest.json`, and a folder of Parquet files for each table. This page lists every table and
column, the manifest, and the keys of the summary. How to read them: [Read traces](../how-to/read-traces.md).

The version of the schema is {SCHEMA_VERSION}; {" and ".join(map(str, READABLE_VERSIONS))} can be read. A table may
have several files, its *parts*, and rows of one part are not in the order of the key: `Trace.table` of
[`traces.reader`](api/traces.md) sorts them. Times that end in `_ns` are whole nanoseconds since the begin of the run. A
list has one value per vehicle, or per vehicle and task class, vehicles first. The *digest* of a table is computed from
its decoded values; columns that differ between two runs of the same thing, such as wall times, do not count: where a
table has any, its last column says so.
"""
IMPORTED = {"mobility": MOBILITY, "requests": REQUESTS, "link": LINK, "cases": CASES}
"""Tables that no run writes, by the anchor of their section."""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for name, one in TABLES.items():
        parts += [f"## {code(name)} {{ #{name} }}", *_about(one), _columns(name, one)]
    parts += [_manifest(), _summary(), "## Files that no run writes { #files }"]
    parts.append(
        "[`twin import`](commands.md#import) writes the first three of these tables from files of other tools, and "
        "[`twin cases build`](commands.md#cases-build) the last."
    )
    for name, one in IMPORTED.items():
        parts += [f"### {code(name)} {{ #{name} }}", *_about(one), _columns(name, one)]
    return "\n\n".join(parts) + "\n"


def _about(one: Table) -> list[str]:
    since = f" Traces of version {one.since} and later have it." if one.since > min(READABLE_VERSIONS) else ""
    rows = f"Rows are ordered by {', '.join(map(code, one.key))}.{since}" if one.key else ""
    return [part for part in (*map(prose, one.about.split("\n\n")), rows) if part]


def _columns(name: str, one: Table) -> str:
    rows = [
        (
            anchored(column.name, f"{name}.{column.name}"),
            cell(sentence(column.about)),
            type_name(column.type),
            column.unit,
            "" if all(each.digested for each in one.columns) else "yes" if column.digested else "no",
        )
        for column in one.columns
    ]
    return table(("Column", "Meaning", "Type", "Unit", "In the digest"), rows)


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
    told = {
        f"{prefix}{name}": meanings(inspect.getdoc(model) or "").get(name, "")
        for prefix, model in (("", Manifest), ("engine.", EngineUsed), ("inputs.NAME.", Input))
        for name in model.model_fields
    }
    rows = [(anchored(name, f"manifest.{name}"), cell(sentence(said))) for name, said in told.items()]
    head = "## `manifest.json` { #manifest }"
    words = "What the run was, and what came of it. Other keys, such as digests of a policy's own code, may be there."
    return "\n\n".join([head, words, table(("Key", "Meaning"), rows)])


def _summary() -> str:
    rows = [
        (anchored(name, f"summary.{name}"), cell(sentence(one.about)), one.unit, cell(one.when))
        for name, one in ENTRIES.items()
    ]
    head = "## The summary { #summary }"
    words = "`RunResult.summary`, the manifest and the commands with `--json` have these keys; in JSON, None is null."
    return "\n\n".join([head, words, table(("Key", "Meaning", "Unit", "Only"), rows)])
