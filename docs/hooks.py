"""What MkDocs calls while it builds the site: pages made from the code, and mathematics as MathML."""

from __future__ import annotations

from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs.tools import commands, kinds, policies, scenario, traces
from docs.tools.mathematics import LatexError, with_mathml

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
