"""Every equation that the code names is explained: it has an anchor on the page of its paper.

The code names an equation in comments and texts ("eq. 9", "eqs. 12-13", "(10c, 10e)", "Theorem 1"), and it is of paper

- 'llm6g' or 'dtecn', if its sentence says so;
- the only one that numbers constraints so, if it has a letter: 10c is of 'llm6g', 24c of 'dtecn';
- 'llm6g' in the files `OF_LLM6G`, and 'dtecn' in all others.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("physical", "policies", "sim", "twin")
PAGES = {paper: ROOT / "docs" / "explanation" / f"{paper}.md" for paper in ("dtecn", "llm6g")}
OF_LLM6G = (
    "physical/closed_form/split.py",
    "physical/model/transformer.py",
    "policies/optimal/layers/",
    "sim/show/figures/llm6g.py",
    "sim/scenario/builtin/llm6g.toml",
)

_NUMBER = r"[1-9]\d?[a-e]?(?![.\w]\d|\w)"
_LIST = rf"{_NUMBER}(?:(?:, | and | to | or |-|, and ){_NUMBER})*"
NAMED = re.compile(rf"\b[Ee]q(?:uation)?s?\.?\s\(?({_LIST})")
PROBLEM = re.compile(r"\b[Pp]roblem (\d\d)\b")
LETTERED = re.compile(r"(?<![\w.:{-])([1-4]\d[a-e])(?![\w-])")
IN_PARENTHESES = re.compile(r"[(](3[45]|4[0-6]|15)[)]")
STATEMENT = re.compile(r"\b(Theorem|Lemma) (\d)\b")
PAPER = re.compile(r"'(dtecn|llm6g)'|\b(dtecn|llm6g) paper\b")
SENTENCE_ENDS = re.compile(r"(?<![Ee]q)(?<![Ee]qs)(?<!Figs)[.;]\s")
LETTERS = {**dict.fromkeys(("10", "11", "35", "42"), "llm6g"), **dict.fromkeys(("17", "24"), "dtecn")}
ANCHOR = re.compile(r"\{\s*#([\w.-]+)[^}]*\}")


class Mention(NamedTuple):
    """An equation, or a theorem, of a paper, by the name of its anchor."""

    paper: str
    anchor: str


def spelt_out(text: str) -> Iterator[str]:
    """Yield the numbers of a list such as "5, 9 and 10", "12-13" or "10a to 10e"."""
    numbers = re.findall(_NUMBER, text)
    for place, number in enumerate(numbers):
        yield number
        between = text.split(number, 1)[1][:4] if place + 1 < len(numbers) else ""
        if not re.match(r"-| to ", between):
            continue
        last = numbers[place + 1]
        if number.isdecimal():
            yield from map(str, range(int(number) + 1, int(last)))
        else:
            yield from (number[:-1] + chr(letter) for letter in range(ord(number[-1]) + 1, ord(last[-1])))


def paper_of(sentence: str, at: int, number: str, name: str) -> str:
    """Return the paper of an equation that is named at a place of a sentence."""
    if number[-1].isalpha() and number[:-1] in LETTERS:
        return LETTERS[number[:-1]]
    told = [(abs(found.start() - at), found[1] or found[2]) for found in PAPER.finditer(sentence)]
    after = re.match(r"[^.;,]{0,40}? of (?:paper |the )?'?(dtecn|llm6g)", sentence[at:])
    if after:
        return after[1]
    if told:
        return min(told)[1]
    return "llm6g" if name.startswith(OF_LLM6G) else "dtecn"


def mentions_in_text(text: str, name: str) -> Iterator[Mention]:
    """Yield what a comment or a text of a file names."""
    for sentence in SENTENCE_ENDS.split(re.sub(r"\s*\n\s*(?:#\s*)?", " ", text)):
        found = [(match.start(), number) for match in NAMED.finditer(sentence) for number in spelt_out(match[1])]
        for pattern in (PROBLEM, LETTERED, IN_PARENTHESES):
            found += [(match.start(), match[1]) for match in pattern.finditer(sentence)]
        for at, number in found:
            yield Mention(paper_of(sentence, at, number, name), f"eq-{number}")
        for match in STATEMENT.finditer(sentence):
            yield Mention("llm6g", f"{match[1].lower()}-{match[2]}")  # 'dtecn' has neither


def texts_of(source: str, name: str) -> Iterator[str]:
    """Yield the texts of a file that may name equations: comments, and in Python literals, too."""
    if not name.endswith(".py"):
        yield from (line.partition("#")[2] for line in source.splitlines() if "#" in line)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    block: list[str] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield " ".join(block)
            block = []
        block.append(token.string.lstrip("# "))
        last = token.start[0]
    yield " ".join(block)


def mentions_of(source: str, name: str) -> set[Mention]:
    """Return all that a file names."""
    return {mention for text in texts_of(source, name) for mention in mentions_in_text(text, name)}


@cache
def named_by_the_code() -> dict[Mention, set[str]]:
    """Return who names each equation."""
    found: dict[Mention, set[str]] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*")):
            if file.suffix in {".py", ".toml"}:
                name = file.relative_to(ROOT).as_posix()
                for mention in mentions_of(file.read_text("utf-8"), name):
                    found.setdefault(mention, set()).add(name)
    return found


def anchors_of(page: Path) -> list[str]:
    """Return the anchors that a page gives itself."""
    return ANCHOR.findall(page.read_text("utf-8"))


@pytest.mark.parametrize("paper", PAGES)
def test_every_equation_that_the_code_names_is_explained(paper: str) -> None:
    anchors = set(anchors_of(PAGES[paper]))
    missing = {
        f"{mention.anchor}: {', '.join(sorted(files))}"
        for mention, files in named_by_the_code().items()
        if mention.paper == paper and mention.anchor not in anchors
    }
    assert not missing


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_anchors_are_unique(page: Path) -> None:
    assert [anchor for anchor, times in Counter(anchors_of(page)).items() if times > 1] == []


def test_the_code_names_equations_of_both_papers() -> None:
    found = named_by_the_code()
    assert {Mention("dtecn", "eq-5"), Mention("dtecn", "eq-24c"), Mention("dtecn", "eq-27")} <= set(found)
    assert {Mention("llm6g", "eq-10c"), Mention("llm6g", "eq-46"), Mention("llm6g", "lemma-1")} <= set(found)
    assert len(found) > 40


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("as eq. 9 has it", "physical/columns/cpu.py", {("dtecn", "eq-9")}),
        ("eqs. 12-14 and 24", "twin/a.py", {("dtecn", f"eq-{number}") for number in (12, 13, 14, 24)}),
        ("eqs. 5, 9 and 10", "policies/optimal/layers/a.py", {("llm6g", f"eq-{number}") for number in (5, 9, 10)}),
        ("eq. 4 of 'llm6g', or eq. 4 of 'dtecn'", "physical/a.py", {("llm6g", "eq-4"), ("dtecn", "eq-4")}),
        ("**Source** paper 'llm6g', eq. 3; ours", "physical/model/rate.py", {("llm6g", "eq-3")}),
        ("paper 'dtecn', eq. 7; paper 'llm6g', first term of eq. 5.", "a.py", {("dtecn", "eq-7"), ("llm6g", "eq-5")}),
        ("eqs. 10a to 10c", "policies/feasible.py", {("llm6g", f"eq-10{letter}") for letter in "abc"}),
        ("full (10c, 10e) by Theorem 1", "a.py", {("llm6g", "eq-10c"), ("llm6g", "eq-10e"), ("llm6g", "theorem-1")}),
        ("at most f_E (24c) and billed (15)", "sim/a.py", {("dtecn", "eq-24c"), ("dtecn", "eq-15")}),
        ("Law (2015), eq. 4.12; a frequency f(15 GHz), 31e-6 m, the 24 classes", "sim/a.py", set()),
    ],
)
def test_the_collector_reads_what_people_write(text: str, name: str, expected: set[tuple[str, str]]) -> None:
    assert set(mentions_in_text(text, name)) == expected


def test_the_collector_reads_comments_docstrings_and_other_texts() -> None:
    source = '"""Eq. 1."""\n# of two lines: eq.\n# 2\nx = 3  # eq. 4\ny = f"{x:03d} eq. 5", 24\n'
    assert {mention.anchor for mention in mentions_of(source, "sim/a.py")} == {f"eq-{n}" for n in (1, 2, 4, 5)}
    assert mentions_of('uplink = "each"  # eq. 9\n', "sim/scenario/builtin/a.toml") == {Mention("dtecn", "eq-9")}


def test_an_equation_without_an_anchor_is_missed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("### Eq. 9: upload { #eq-9 }\n\n### Eq. 9 again { #eq-9 .wide }\n\nSet $\\{1, 2\\}$.\n", "utf-8")
    assert anchors_of(page) == ["eq-9", "eq-9"]
    assert Mention("dtecn", "eq-8").anchor not in anchors_of(page)
