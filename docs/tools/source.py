"""Code on pages, taken from its file while the site is built: a line ``::: code NAME`` stands for it."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_INCLUDED = re.compile(r"^::: code (\S+) *$", re.MULTILINE)
_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class NoSuchCodeError(LookupError):
    """A page shows code that there is not."""


def named_code(markdown: str) -> list[str]:
    r"""Return the names of the code that a page shows.

    >>> named_code("See:\n\n::: code physical.phase.Phase\n\nand `::: code elsewhere`")
    ['physical.phase.Phase']
    """
    return _INCLUDED.findall(markdown)


def with_code(markdown: str) -> str:
    """Return a page with the code that it names, each under the name of its file.

    Raises
    ------
    NoSuchCodeError : a name that there is not
    """
    return _INCLUDED.sub(lambda found: _block(found[1]), markdown)


def _block(name: str) -> str:
    path, inside = _file_of(name)
    title = f"{path.relative_to(ROOT).as_posix()}: {inside}"
    return f'```python title="{title}"\n{code_of(name)}\n```'


def code_of(name: str) -> str:
    """Return the text of a class or a function, decorators included, as far left as it goes.

    Raises
    ------
    NoSuchCodeError : there is none of this name

    >>> print(code_of("physical.ticks.seconds"))
    def seconds(ticks: Any) -> Any:
        \"\"\"Convert a duration in ticks to seconds.\"\"\"
        return ticks / TICKS_PER_S
    """
    path, inside = _file_of(name)
    text = path.read_text("utf-8")
    body: list[ast.stmt] = ast.parse(text).body
    found: _Named | None = None
    for part in inside.split("."):
        found = next((one for one in body if isinstance(one, _Named) and one.name == part), None)
        if found is None:
            raise NoSuchCodeError(f"{name}: {path.relative_to(ROOT).as_posix()} has no {inside}")
        body = found.body
    assert found is not None  # a name has parts
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : found.end_lineno]))


def _file_of(name: str) -> tuple[Path, str]:
    """Return the file of a dotted name, and the name inside it."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        path = ROOT.joinpath(*parts[:end]).with_suffix(".py")
        if path.is_file():
            return path, ".".join(parts[end:])
    raise NoSuchCodeError(f"{name}: there is no such module")
