"""What MkDocs calls while it builds the site: pages made from the code, code on pages, and mathematics as MathML."""

from __future__ import annotations

from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs.tools import commands, kinds, policies, scenario, traces
from docs.tools.mathematics import LatexError, with_mathml
from docs.tools.source import NoSuchCodeError, with_code

PAGES = {
    "reference/scenario.md": scenario.page,
    "reference/traces.md": traces.page,
    "reference/commands.md": commands.page,
    "reference/policies.md": policies.page,
    "reference/kinds.md": kinds.page,
}
"""The pages that are made from the code."""
_FIRST_IN_SEARCH = "---\nsearch:\n  boost: 2\n---\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=f"{_FIRST_IN_SEARCH}{page()}"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the code into a page that it names; a name that there is not ends the build.

    Raises
    ------
    PluginError : the page, and the name
    """
    try:
        return with_code(markdown)
    except NoSuchCodeError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Turn the mathematics of a page into MathML; a mistake in it ends the build.

    Raises
    ------
    PluginError : the page, the expression, and what is wrong with it
    """
    try:
        return with_mathml(html)
    except LatexError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
