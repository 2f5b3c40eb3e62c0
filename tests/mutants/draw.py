"""What can be mutated in a source text, one token each, and which of these places a seed draws."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

FILES = ("physical/columns/*.py", "physical/entities/*.py", "sim/engine/*.py")
"""The files of both engines."""

OPERATORS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/", "+")),
    ast.Div: ("/", ("*",)),
    ast.FloorDiv: ("//", ("*", "%")),
    ast.Mod: ("%", ("//", "*")),
    ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.And: ("and", ("or",)),
    ast.Or: ("or", ("and",)),
    ast.Not: ("not", ("",)),
    ast.USub: ("-", ("",)),
    ast.Invert: ("~", ("",)),
}
"""Node -> its token, and what may stand there instead."""


@dataclass(frozen=True)
class Mutant:
    """A source text with another token.

    file : path below the root
    function : the function or class that holds the place, "" in a module; with dots
    line : of the token, from 1
    begin, end : of the token in the text
    token, instead : what stood there, and what does now
    before, after : the line without its indentation
    key : tells the place from all others; edits elsewhere leave it as it is
    """

    file: str
    function: str
    line: int
    begin: int
    end: int
    token: str
    instead: str
    before: str
    after: str
    key: str

    def applied(self, text: str) -> str:
        """Return the text with the other token."""
        return text[: self.begin] + self.instead + text[self.end :]

    def told(self) -> str:
        """Return the mutant in one line."""
        return f"{self.file}:{self.line}: {self.before}  ->  {self.after}"


@dataclass(frozen=True)
class _Place:
    """A token that may be another one: its bounds in the text, what may stand there, and where it is."""

    begin: int
    end: int
    instead: tuple[str, ...]
    function: str


class _Places(ast.NodeVisitor):
    """Finds the places of a text; annotations, f-strings and what only type checkers read have none."""

    def __init__(self, text: str) -> None:
        self.found: list[_Place] = []
        self._lines = text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        self._tokens = [
            (self._starts[token.start[0] - 1] + token.start[1], token.string)
            for token in tokens
            if token.type in {tokenize.OP, tokenize.NAME, tokenize.NUMBER}
        ]
        self._within: list[str] = []
        self.visit(ast.parse(text))

    def _offset(self, line: int, octet: int) -> int:
        """Convert what `ast` tells, a line and its UTF-8 octet, to an index of the text."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:octet].decode())

    def _begin(self, node: ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def _add(self, begin: int, token: str, instead: tuple[str, ...]) -> None:
        """Add the first such token from `begin` on."""
        at = bisect_left(self._tokens, (begin, ""))
        while self._tokens[at][1] != token:
            at += 1
        start = self._tokens[at][0]
        # A word goes with the space behind it.
        end = start + len(token) + (token == "not")
        self.found.append(_Place(start, end, instead, ".".join(self._within)))

    def _between(self, left: ast.expr, operator: ast.AST, suffix: str = "") -> None:
        if type(operator) in OPERATORS:
            token, instead = OPERATORS[type(operator)]
            self._add(self._end(left), token + suffix, tuple(other + suffix for other in instead))

    # What holds places.

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(isinstance(side, ast.JoinedStr) or _is_text(side) for side in (node.left, node.right))
        is_type = isinstance(node.op, ast.BitOr) and not self._within
        if not (texts or is_type):
            self._between(node.left, node.op)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._between(node.target, node.op, "=")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, operator in zip([node.left, *node.comparators], node.ops, strict=False):
            self._between(left, operator)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left in node.values[:-1]:
            self._between(left, node.op)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if type(node.op) in OPERATORS:
            self._add(self._begin(node), *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool | int | float):
            begin, end = self._begin(node), self._end(node)
            self.found.append(_Place(begin, end, others(node.value), ".".join(self._within)))

    # What holds none.

    def visit_JoinedStr(self, _: ast.JoinedStr) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        is_type_test = isinstance(node.func, ast.Name) and node.func.id in {"isinstance", "issubclass", "cast"}
        for part in node.args[:1] if is_type_test else [node.func, *node.args, *node.keywords]:
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._hold(node.name, [*node.decorator_list, *node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        defaults = [default for default in [*node.args.defaults, *node.args.kw_defaults] if default is not None]
        self._hold(node.name, [*node.decorator_list, *defaults, *node.body])

    def _hold(self, name: str, parts: list[ast.AST]) -> None:
        self._within.append(name)
        for part in parts:
            self.visit(part)
        self._within.pop()


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def others(value: float) -> tuple[str, ...]:
    """Return the constants that may stand in the place of one.

    >>> others(3), others(1), others(0.5), others(True)
    (('4', '0', '6'), ('2', '0'), ('1.5', '0.0', '1.0'), ('False',))
    """
    if isinstance(value, bool):
        return (str(not value),)
    found = dict.fromkeys((value + 1, type(value)(0), value * 2))
    return tuple(repr(other) for other in found if other != value)


def _dice(*words: object) -> str:
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()


def places(file: str, text: str) -> Iterator[list[Mutant]]:
    """Yield the mutants of each place of a text, from its beginning to its end."""
    lines = text.splitlines()
    starts = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    seen: Counter[tuple[str, ...]] = Counter()
    for place in sorted(_Places(text).found, key=lambda place: place.begin):
        at = bisect_right(starts, place.begin) - 1
        column = place.begin - starts[at]
        whole, token = lines[at], text[place.begin : place.end]
        name = (file, place.function, whole.strip(), token)
        key = _dice(*name, seen[name])[:12]
        seen[name] += 1
        yield [
            Mutant(
                *(file, place.function, at + 1, place.begin, place.end, token, instead, whole.strip()),
                after=(whole[:column] + instead + whole[column + len(token) :]).strip(),
                key=key,
            )
            for instead in place.instead
        ]


def sources(root: Path, patterns: Iterable[str] = FILES) -> dict[str, str]:
    """Read the files of both engines: path below the root -> text."""
    paths = sorted(path for pattern in patterns for path in root.glob(pattern))
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in paths}


def draw(texts: Mapping[str, str], number: int, seed: int) -> list[Mutant]:
    """Draw mutants of some texts; a smaller number gives the first of a larger one.

    Every place has a number that comes from the seed and from its line, and the smallest numbers are drawn: an edit
    changes few of them.
    """
    found = [mutants for file, text in texts.items() for mutants in places(file, text)]
    found.sort(key=lambda mutants: _dice(seed, mutants[0].key))
    return [mutants[int(_dice(seed, mutants[0].key, "instead"), 16) % len(mutants)] for mutants in found[:number]]
