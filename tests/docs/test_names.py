"""What pages name in their prose is there: keys, Python names, options, equations behind links, options of policies."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from docs.tools.source import NoSuchCodeError, code_of, named_code
from policies.meanings import options
from policies.registry import specs
from sim.cli.app import app
from sim.scenario.keys import keys
from sim.scenario.kinds import GROUPS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
FOREIGN_OPTIONS = {
    *("--fcd-output", "--fcd-output.geo", "--step-length", "--device.fcd.probability"),
    *("--lifetime", "--memory-limit", "--cpus-per-task", "--all"),
}
"""Options of SUMO, of Dask's workers and SLURM, and of `python -m docs.figures`."""
FILES = (".py", ".toml", ".json", ".parquet")
_FENCE = re.compile(r"^ *(`{3,}).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
_DOTTED = re.compile(r"(?<![\w./-])[a-z_]+(?:\.\w+)+(?![\w/])")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w.-]*")
_TO_EQUATION = re.compile(r"\[([^\]]*)\]\([^)]*#eq-(\w+)\)")


def inline(text: str) -> str:
    """Return what a page shows as code in its prose."""
    return "\n".join(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", _FENCE.sub("", text)))


@cache
def key_names() -> frozenset[str]:
    """Return all keys and tables of a scenario; a list has no index, or one."""
    names = [key.name.split(".") for key in keys()]
    parts = {".".join(name[:end]) for name in names for end in range(1, len(name) + 1)}
    return frozenset(parts | {name.replace(".0", "") for name in parts})


@cache
def found_in_python(name: str) -> Any:
    """Return what a dotted name is, also one of a module of the formulas; None if there is no such thing."""
    for prefix in ("", "physical.model."):
        parts = f"{prefix}{name}".split(".")
        for end in range(len(parts), 0, -1):
            try:
                found: Any = importlib.import_module(".".join(parts[:end]))
            except ImportError:
                continue
            for part in parts[end:]:
                found = getattr(found, part, None)
            if found is not None:
                return found
            break
    return None


def unknown_names(text: str) -> list[str]:
    """Return the names of prose that begin as a table of keys or a package does, and that nothing has."""
    tables = {name for name in key_names() if "." not in name}
    return [
        name
        for name in _DOTTED.findall(inline(text))
        if name.split(".")[0] in {*tables, *PACKAGES}
        and not name.endswith(FILES)
        and re.sub(r"\.\d+(?=\.|$)", ".0", name) not in key_names()
        and found_in_python(name) is None
        and name not in {group.registry.entry_point_group for group in GROUPS.values()}
    ]


@cache
def option_names() -> frozenset[str]:
    """Return the options of all commands."""
    top: Any = typer.main.get_command(app)
    return frozenset(_options_of(top, top.context_class(top, info_name="twin")))


def _options_of(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        yield from (*parameter.opts, *parameter.secondary_opts)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _options_of(command.get_command(context, name), context)


def unknown_options(text: str) -> list[str]:
    return [name for name in _OPTION.findall(inline(text)) if name not in option_names() | FOREIGN_OPTIONS]


def wrong_equations(text: str) -> list[str]:
    """Return links to an equation whose text names another one."""
    found = []
    for told, anchor in _TO_EQUATION.findall(text):
        named = re.search(r"(?:eqs?\. |^)(\d+[a-e]?)\b", told)
        if named and not re.fullmatch(rf"{named[1]}[a-e]?", anchor):
            found.append(f"[{told}] leads to eq. {anchor}")
    return found


def unknown_code(text: str) -> list[str]:
    """Return the code that a page shows and that there is not."""
    found = []
    for name in named_code(text):
        try:
            code_of(name)
        except NoSuchCodeError:
            found.append(name)
    return found


@cache
def documented() -> frozenset[str]:
    """Return what the reference of Python shows."""
    texts = [path.read_text("utf-8") for path in (ROOT / "docs" / "reference" / "api").glob("*.md")]
    return frozenset(name for text in texts for name in re.findall(r"(?:^::: |\{ #)([\w.]+)", text, re.MULTILINE))


def undocumented(text: str) -> list[str]:
    """Return functions and classes that a page tells its readers to use, and that the reference does not show."""
    return [
        name
        for name in _DOTTED.findall(inline(text))
        if name.split(".")[0] in PACKAGES
        and (inspect.isfunction(found_in_python(name)) or inspect.isclass(found_in_python(name)))
        and not {name, name.rpartition(".")[0]} & documented()
    ]


CHECKS = {
    "names": unknown_names,
    "options": unknown_options,
    "equations": wrong_equations,
    "code": unknown_code,
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str, check: str) -> None:
    assert not CHECKS[check]((ROOT / page).read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith(("docs/how-to", "docs/tutorials"))])
def test_what_readers_are_told_to_call_is_in_the_reference(page: str) -> None:
    assert not undocumented((ROOT / page).read_text("utf-8"))


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        (unknown_names, "`radio.bandwith_hz`, `radio.bandwidth_hz`, `tasks.1.name`", ["radio.bandwith_hz"]),
        (
            unknown_names,
            "`sim.runs.replay.verifi`, `sim.runs.replay.verify`, `objective.p2`, `sim/record/slots.py`",
            ["sim.runs.replay.verifi"],
        ),
        (unknown_names, "```toml\nradio.bandwith_hz = 1\n```\n\nradio.nothing, `twin run a.toml`", []),
        (unknown_options, "`twin compare … --precise 1%`, `--seeds-max`, `--no-geo`", ["--precise"]),
        (wrong_equations, "[eq. 9](dtecn.md#eq-8), [eq. 24](#eq-24a)", ["[eq. 9] leads to eq. 8"]),
        (wrong_equations, "[eqs. 7](#eq-7) and [9](#eq-10)", ["[9] leads to eq. 10"]),
        (
            unknown_code,
            "::: code physical.entities.vehicle.Vehicle.lives\n::: code physical.entities.vehicle.Vehicle.live\n"
            "::: code physical.entity.Vehicle\n",
            ["physical.entities.vehicle.Vehicle.lives", "physical.entity.Vehicle"],
        ),
        (
            undocumented,
            "`vectwin.run`, `sim.runs.replay.verify`, `sim.runs.replay.recorded_scenario`",
            ["sim.runs.replay.recorded_scenario"],
        ),
    ],
)
def test_a_wrong_name_is_found(check: Any, text: str, expected: list[str]) -> None:
    assert check(text) == expected


def test_the_page_of_language_models_has_the_options_of_the_policy() -> None:
    told = specs()["llm"]
    if not told.installed:
        pytest.skip("needs the extra llm")
    page = (ROOT / "docs/how-to/language-model.md").read_text("utf-8")
    shown: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\| [^|]* \|$", page, re.MULTILINE):
        values = [value.strip(" `") for value in defaults.split(",")]
        shown |= dict(zip(re.findall(r"\w+", names), values, strict=True))
    assert shown == {one.name: written(one.default) for one in options(told)}


def written(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)


# ----------------------------------------------------------------------------------------------- pages outside the site
def anchors_of(text: str) -> set[str]:
    """Return where links can lead on a page: what it says in braces, and its headings as slugs."""
    text = _FENCE.sub("", text)
    headings = re.findall(r"^#+ (.+?)(?: \{ #.*)?$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"\{ #([\w.-]+)", text))


def dead_links(text: str) -> list[str]:
    """Return the links of a page of the repository's root that lead to no file, or to no place in it."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text)):
        name, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        path = ROOT / name
        if not path.exists() or (anchor and anchor not in anchors_of(path.read_text("utf-8") if name else text)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_from_outside_the_site_lead_somewhere(page: str) -> None:
    assert not dead_links((ROOT / page).read_text("utf-8"))


def test_a_dead_link_is_found() -> None:
    text = "# Here\n\n[a](docs/reference/glossary.md#penalty), [b](docs/reference/glossary.md#penaltyy), [c](no.md), "
    text += "[d](https://e.f), [e](#here), [f](#there)"
    assert dead_links(text) == ["docs/reference/glossary.md#penaltyy", "no.md", "#there"]
