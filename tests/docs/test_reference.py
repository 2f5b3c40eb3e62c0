"""The pages that are made from the code lack nothing of it: each thing is looked up in another way than theirs."""

from __future__ import annotations

import re
import signal
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
import typer

from physical.kind_field import OfKind
from physical.params import Params
from policies import names as policy_names
from policies.registry import specs
from sim import Scenario, run
from sim.cli.app import BAD_INPUT, BROKEN_PIPE, INTERNAL, TRACEBACK, app
from sim.runs.summary import ENTRIES
from sim.studies.executors import local
from traces.exogenous.schema import LINK, MOBILITY, REQUESTS
from traces.manifest import Manifest
from traces.schema import TABLES

markdown = pytest.importorskip("markdown", reason="needs the extra docs")
pytest.importorskip("mkdocs", reason="needs the extra docs")

from docs.hooks import PAGES  # noqa: E402 - only where the extra is there


@cache
def anchors(path: str) -> frozenset[str]:
    """Return where links can lead on a page that is made from the code."""
    return anchors_of(made(path))


@cache
def made(path: str) -> str:
    """Return a page that is made from the code."""
    return PAGES[path]()


def anchors_of(text: str) -> frozenset[str]:
    html = markdown.markdown(text, extensions=["attr_list", "tables", "toc", "def_list", "fenced_code"])
    found = re.findall(r' id="([^"]+)"', html)
    assert len(found) == len(set(found)), sorted({one for one in found if found.count(one) > 1})
    return frozenset(found)


def lacking(wanted: Iterable[str], found: Iterable[str]) -> list[str]:
    return sorted(set(wanted) - set(found))


# ------------------------------------------------------------------------------------------------------------ scenarios
def keys_of(model: type[Params], prefix: str = "") -> Iterator[str]:
    """Yield the keys of a table, from the classes that validate it."""
    for name, field in model.model_fields.items():
        kinds = next((one for one in field.metadata if isinstance(one, OfKind)), None)
        if kinds is None or kinds.names_only():
            yield from [f"{prefix}{name}"] if kinds else keys_of_type(field.annotation, f"{prefix}{name}")
            continue
        for table in kinds.classes():
            yield from keys_of(table, f"{prefix}{name}.")


def keys_of_type(annotation: Any, name: str) -> Iterator[str]:
    """Yield the keys that a value of a type has; it is a key itself where it is no table."""
    forms = list(members(annotation))
    tables = [one for one in forms if isinstance(one, type) and issubclass(one, Params)]
    for table in tables:
        yield from keys_of(table, f"{name}.")
    kinds = [table for table in tables if "kind" in table.model_fields]
    numbers = any(table.__name__.startswith("Constant") for table in kinds)  # a number stands for such a table
    if numbers or any(one not in tables and one is not types.NoneType for one in forms if not is_list(one)):
        yield name
    for one in forms:
        if is_list(one):
            inner = typing.get_args(one)[0]
            tables = [table for table in members(inner) if isinstance(table, type) and issubclass(table, Params)]
            yield from keys_of_type(inner, f"{name}.0") if tables else [name]


def is_list(form: Any) -> bool:
    return typing.get_origin(form) in {tuple, list}


def members(annotation: Any) -> Iterator[Any]:
    """Yield what a union is of, without what annotations say of it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from members(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for one in typing.get_args(annotation):
            yield from members(one)
    else:
        yield annotation


def test_every_key_is_on_its_page() -> None:
    wanted = set(keys_of(Scenario))
    assert len(wanted) > 200
    assert {"title", "rsus.0.server.gpu.num_core", "network.access.latency_s.sigma", "timeline.0.at_s"} <= wanted
    assert not lacking(wanted, anchors("reference/scenario.md"))


def test_every_table_of_keys_has_a_section() -> None:
    assert not lacking({name for name in Scenario.model_fields if name != "title"}, anchors("reference/scenario.md"))


# --------------------------------------------------------------------------------------------------------------- traces
def test_every_column_is_on_its_page() -> None:
    columns = [f"{name}.{field.name}" for name, table in TABLES.items() for field in table.schema()]
    assert len(columns) > 100
    for one in (MOBILITY, REQUESTS, LINK):
        columns += [f"{one.name}.{field.name}" for field in one.schema()]
    assert not lacking([*TABLES, *columns], anchors("reference/traces.md"))


def test_every_key_of_manifest_and_summary_is_on_its_page() -> None:
    wanted = {f"manifest.{name}" for name in Manifest.model_fields}
    for scenario, policy in (("dtecn", "p2-exact"), ("llm6g", "edge-equal"), ("dtecn", "nearest-case")):
        summary = run(Scenario.load(scenario, ["time.num_slot=2"]), policy=policy).summary
        wanted |= {f"summary.{name}" for name in summary}
    assert len(wanted) > 40
    assert set(ENTRIES) >= {name.removeprefix("summary.") for name in wanted if name.startswith("summary.")}
    assert not lacking(wanted, anchors("reference/traces.md"))


# ------------------------------------------------------------------------------------------------------------- commands
def words_of(command: Any, context: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the anchors of a command, its options and the commands below it."""
    anchor = "-".join(path) or "twin"
    yield anchor
    for parameter in command.get_params(context):
        for word in parameter.opts:
            if word.startswith("--"):
                yield anchor + word
    for name in getattr(command, "commands", {}):
        yield from words_of(command.commands[name], context, (*path, name))


def test_every_command_and_option_is_on_its_page() -> None:
    top: Any = typer.main.get_command(app)
    context = top.context_class(top, info_name="twin")
    for name in top.list_commands(context):
        top.get_command(context, name)  # its module is imported only then
    wanted = set(words_of(typer.main.get_command(app), context, ()))
    assert {
        "twin--version",
        "twin--install-completion",
        "run",
        "run--seed",
        "compare--precision",
        "cases-build--policy",
        "import-fcd--out",
    } <= wanted
    assert not lacking(wanted, anchors("reference/commands.md"))


def test_every_exit_code_and_variable_is_on_the_page_of_commands() -> None:
    text = made("reference/commands.md")
    codes = {int(number) for row in re.findall(r"^\| (\d[\d, ]*) \|", text, re.MULTILINE) for number in row.split(",")}
    ended = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    assert codes == {0, 1, BAD_INPUT, INTERNAL, BROKEN_PIPE} | ended
    assert {TRACEBACK, *local.ONE_THREAD} == set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text))


# ------------------------------------------------------------------------------------------------------------- policies
def test_every_policy_and_option_is_on_its_page() -> None:
    found = anchors("reference/policies.md")
    assert not lacking(policy_names(), {*found, *(name for name, one in specs().items() if is_elsewhere(one))})
    assert not lacking(["p2-exact.margin", "p2-slsqp.method"], found)


def is_elsewhere(spec: Any) -> bool:
    """Whether a package that is installed here, or another test, has registered a policy."""
    return not str(spec.target).startswith("policies.")


# --------------------------------------------------------------------------------------------------------------- tables
def cells_of(text: str) -> Iterator[list[str]]:
    """Yield the rows of all tables."""
    html = markdown.markdown(text, extensions=["attr_list", "tables", "fenced_code"])
    for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL):
        yield re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)


@pytest.mark.parametrize("path", PAGES)
def test_cells_show_no_marks(path: str) -> None:
    """What a cell says is not cut at a bar, and shows neither an escape nor an attribute."""
    text = made(path)
    rows = list(cells_of(text))
    assert len(rows) > 8
    assert not [cell for row in rows for cell in row if re.search(r"\\|\{ [#.]", cell)]
    lines = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    assert len(rows) == len(lines) - sum(set(line) <= set("| -") for line in lines)


def test_a_bar_in_a_cell_is_shown() -> None:
    text = made("reference/commands.md")
    shown = [cell for row in cells_of(text) for cell in row]
    assert any("auto|N</code>" in cell for cell in shown)
    assert any("SCENARIO|POLICY</code>" in cell for cell in shown)
    assert any("|the baseline's|" in cell for cell in shown)


# ---------------------------------------------------------------------------------------------------------- it can fail
@pytest.mark.parametrize(
    ("path", "test", "gone"),
    [
        ("reference/scenario.md", test_every_key_is_on_its_page, "radio.bandwidth_hz"),
        ("reference/traces.md", test_every_column_is_on_its_page, "tasks.size_bytes"),
        ("reference/traces.md", test_every_key_of_manifest_and_summary_is_on_its_page, "summary.penalty_mean"),
        ("reference/commands.md", test_every_command_and_option_is_on_its_page, "compare--seeds"),
        ("reference/policies.md", test_every_policy_and_option_is_on_its_page, "p2-exact.margin"),
    ],
)
def test_what_is_missing_is_found(
    path: str, test: Callable[[], None], gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = made(path)
    kept = "\n".join(line for line in text.splitlines() if f"#{gone} }}" not in line)
    assert kept != text.rstrip("\n")
    found = anchors_of(kept)
    monkeypatch.setitem(globals(), "anchors", lambda _: found)
    with pytest.raises(AssertionError, match=re.escape(gone)):
        test()


def test_a_new_column_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = anchors("reference/traces.md")
    tasks = TABLES["tasks"]
    more = types.SimpleNamespace(schema=lambda: tasks.schema().append(pa.field("colour", pa.string())))
    monkeypatch.setitem(TABLES, "tasks", more)
    with pytest.raises(AssertionError, match=r"tasks\.colour"):
        test_every_column_is_on_its_page()
    assert "tasks.colour" not in found
