"""The files of the repository, and what stands in them, for rules about them."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
Checker = Callable[[str, str], Iterable[str]]
"""Takes a file's name and text and returns its problems."""


@cache
def repository_files() -> tuple[str, ...]:
    """List the files that git tracks or would track; without git, all files outside hidden and output folders."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        names = done.stdout.splitlines() if done.returncode == 0 else []
    except FileNotFoundError:
        names = []
    if not names:
        skipped = re.compile(r"(^|/)(\.(?!ci/)[^/]*/|runs/|build/|dist/|__pycache__/|[^/]*\.egg-info/)")
        paths = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*"))
        names = [name for name in paths if not skipped.search(name)]
    return tuple(sorted({name for name in names if (ROOT / name).is_file()}))


@cache
def read(name: str) -> str:
    """Return the text of a repository file, or nothing where it is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


parse = cache(ast.parse)  # several checks look at the same file


@cache
def nodes(text: str) -> tuple[ast.AST, ...]:
    """Return all nodes of a source text."""
    return tuple(ast.walk(parse(text)))


def python_files() -> list[str]:
    return [name for name in repository_files() if name.endswith(".py")]


def module_name(name: str) -> str:
    """Convert a file's path to its module: `sim/__init__.py` is `sim`."""
    return name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imported(name: str, text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield each import as (line, module, attribute or "", local name)."""
    package = module_name(name).split(".")
    if not name.endswith("__init__.py"):
        package = package[:-1]
    for node in nodes(text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, "", alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, module, alias.name, alias.asname or alias.name


def dotted(node: ast.AST, names: dict[str, str] | None = None) -> str:
    """Spell `a.b.c` as it stands, or in full by the imported names; anything else gives nothing."""
    if isinstance(node, ast.Name):
        return node.id if names is None else names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""
