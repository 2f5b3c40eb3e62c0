"""The documentation is built strictly, needs no network, finds what is searched for, and has every public name."""

from __future__ import annotations

import html
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from docs.tools.source import code_of
from tests.conformance.browser import CHROMIUM, Browser
from tests.docs.site import ROOT, Page, built

for library in ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml"):
    pytest.importorskip(library, reason="needs the extra docs")

from docs.hooks import on_page_content, on_page_markdown  # noqa: E402 - only where the extra is there

pytestmark = pytest.mark.full
PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
NOT_PYTHON = {
    "sim.cli": "the command line, on a page of its own",
    "sim.learn.batch": "its names are offered as those of sim.batch",
    "sim.learn.env": "its names are offered as those of sim.env",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.getbasetemp()
    return built(own.parent if own.name.startswith("popen-") else own)  # those of xdist stand side by side


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    found = {path.relative_to(site).as_posix(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert "reference/scenario.html" in found
    return found


def test_build_says_nothing(site: Path) -> None:
    assert not (site.parent / "site.log").read_text("utf-8")


def test_nothing_comes_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    loaded = {(name, url) for name, page in pages.items() for url in page.loads}
    assert not {(name, url) for name, url in loaded if re.match(r"(?:\w+:)?//", url)}
    styles = [
        path
        for path in site.rglob("*.css")
        if re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", path.read_text("utf-8"))
    ]
    assert not styles


def test_nothing_but_the_site_is_in_it(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.suffix == ".py" or path.name in {"tools", "__pycache__"}]


def test_search_finds_a_key(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = [one["location"] for one in index["docs"] if "noise_density_dbm_hz" in one["text"]]
    assert "reference/scenario.html#radio" in places
    assert (site / "search" / "search_index.js").is_file()  # what a page from a disk reads


def test_code_is_shown_as_it_stands(site: Path) -> None:
    text = (site / "explanation" / "how-the-simulator-works.html").read_text("utf-8")
    shown = html.unescape(re.sub(r"<[^>]+>", "", text))
    assert "physical/entities/vehicle.py: Vehicle.live" in shown
    assert code_of("physical.entities.vehicle.Vehicle.live") in shown
    assert "::: code" not in shown


def test_every_equation_is_mathml(pages: dict[str, Page], site: Path) -> None:
    left = [name for name in pages if re.search(r"arithmatex[^<]*<?[^<]*\\[(\[]", (site / name).read_text("utf-8"))]
    assert not left


# --------------------------------------------------------------------------------------------------------- public names
def packages() -> Iterator[ModuleType]:
    """Yield the packages that say what they offer."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if found.ispkg and found.name not in NOT_PYTHON:
                yield importlib.import_module(found.name)


def public_names() -> set[str]:
    """Return the public names: those of `__all__`, and all functions and classes of the formulas."""
    found = {
        f"{package.__name__}.{name}"
        for package in packages()
        for name in getattr(package, "__all__", ())
        if not inspect.ismodule(getattr(package, name))  # of sim.replay, the functions have places
    }
    formulas = importlib.import_module("physical.model")
    for info in pkgutil.iter_modules(formulas.__path__, "physical.model."):
        module = importlib.import_module(info.name)
        found |= {f"{info.name}.{name}" for name, member in vars(module).items() if is_own(name, member, module)}
    return found


def is_own(name: str, member: Any, module: ModuleType) -> bool:
    is_code = inspect.isfunction(member) or inspect.isclass(member) or hasattr(member, "__wrapped__")
    return is_code and not name.startswith("_") and member.__module__ == module.__name__


def test_every_public_name_has_its_place(pages: dict[str, Page]) -> None:
    wanted = public_names()
    assert {"vectwin.run", "policies.make", "sim.env.parallel_env", "physical.model.energy.edge_power_w"} <= wanted
    assert len(wanted) > 90
    found = {anchor for name, page in pages.items() if name.startswith("reference/api/") for anchor in page.anchors}
    assert not wanted - found, sorted(wanted - found)[:8]
    # It can fail.
    assert wanted - (found - {"vectwin.run"}) == {"vectwin.run"}


# ---------------------------------------------------------------------------------------------------------- it can fail
def test_mistake_in_latex_names_the_page() -> None:
    from mkdocs.exceptions import PluginError

    class File:
        src_uri = "explanation/dtecn.md"

    class Shown:
        file = File

    html = r'<span class="arithmatex">\(\frac{1}\)</span>'
    with pytest.raises(PluginError, match=r"explanation/dtecn\.md: \$\\frac\{1\}\$: an argument is missing"):
        on_page_content(html, Shown)


def test_code_that_there_is_not_names_the_page() -> None:
    from mkdocs.exceptions import PluginError

    class File:
        src_uri = "explanation/how-the-simulator-works.md"

    class Shown:
        file = File

    told = r"explanation/how-the-simulator-works\.md: physical\.phase\.Fase: physical/phase\.py has no Fase"
    with pytest.raises(PluginError, match=told):
        on_page_markdown("::: code physical.phase.Fase", Shown)


@pytest.mark.parametrize("link", ["no-page.md", "index.md#no-anchor", "#no-anchor", "/index.md"])
def test_dead_link_ends_the_build(link: str, tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n[there]({link})\n", "utf-8")
    places = {"docs_dir": str(tmp_path / "docs"), "site_dir": str(tmp_path / "site")}
    less: dict[str, Any] = {"plugins": [], "hooks": [], "nav": None, "theme": "mkdocs"}
    config = load_config(str(ROOT / "mkdocs.yml"), **places, **less)
    with pytest.raises(Abort, match="strict"):
        build(config)


# -------------------------------------------------------------------------------------------------------------- browser
@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH")
def test_pages_in_a_browser(site: Path, pages: dict[str, Page], tmp_path: Path) -> None:
    shown = sorted(name for name in pages if name != "404.html")  # which only a server can show
    with Browser(tmp_path, 390, 844) as browser:
        for name in shown:
            browser.call("Page.navigate", url=(site / name).as_uri())
            browser.wait_for("document.readyState === 'complete' && document.querySelector('.md-content') !== null")
            for width in (390, 1400):
                browser.resize(width, 900)
                # The theme moves its parts to their new places in a fraction of a second.
                browser.wait_for(f"document.documentElement.scrollWidth <= {width} /* {name} */")
        assert not browser.console
        assert not [url for url in browser.requests if url.partition(":")[0] not in {"file", "data", "blob", "about"}]


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH")
@pytest.mark.parametrize(("dark", "scheme"), [(False, "default"), (True, "slate")])
def test_colours_are_those_of_the_system(site: Path, tmp_path: Path, dark: bool, scheme: str) -> None:
    with Browser(tmp_path, 1400, 900, dark=dark) as browser:
        browser.call("Page.navigate", url=(site / "index.html").as_uri())
        browser.wait_for(f"document.body?.dataset.mdColorScheme === '{scheme}'")


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH")
def test_search_from_a_disk(site: Path, tmp_path: Path) -> None:
    with Browser(tmp_path, 1400, 900) as browser:
        browser.call("Page.navigate", url=(site / "reference" / "api" / "runs.html").as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.md-content') !== null")
        browser.evaluate("document.querySelector('[data-md-component=search-query]').focus()")
        browser.wait_for("document.querySelector('.md-search-result__meta').textContent.includes('Type to start')")
        browser.call("Input.insertText", text="bandwidth_hz")
        browser.key("End")  # the page reads the field when a key goes up
        browser.wait_for("document.querySelector('.md-search-result__link[href*=\"scenario.html\"]') !== null")
        assert not browser.console
