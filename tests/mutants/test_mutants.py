"""Mutants are drawn by seed, differ from their source in one token, and what tries them sees what they do."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.campaign import FOUND, LISTED, SURVIVED, Results, Tried, is_known, known, summary
from tests.mutants.draw import OPERATORS, Mutant, draw, others, places, sources
from tests.mutants.stages import ROOT, STAGES, Copy, Stage

TEXTS = sources(ROOT, ("physical/columns/resource.py", "physical/columns/cpu.py", "sim/engine/clock.py"))
ALL = draw(TEXTS, 10**6, 0)

SOURCE = '''"""What 1 + 1 is."""

from typing import TYPE_CHECKING

__all__ = ["a"] * 1

if TYPE_CHECKING:
    Alias = int | None

Other = int | str


def outer(width: "int" = 2) -> list[int]:
    """Return 2 * width, but for 0."""

    def inner(number: float) -> bool:
        assert number > 0, "not " + str(3 - 3)
        return isinstance(number, int | float) and not number == 4

    text: dict[int, str] = {}
    return [-width, f"{width + 1}", text]  # µ: 5 * 5
'''
EXPECTED = {
    ("outer", "2"),
    ("outer.inner", ">"),
    ("outer.inner", "0"),
    ("outer.inner", "and"),
    ("outer.inner", "not "),
    ("outer.inner", "=="),
    ("outer.inner", "4"),
    ("outer", "-"),
}


def words(text: str) -> Counter[str]:
    return Counter(token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.string)


def test_a_mutant_differs_in_one_token_and_in_what_it_means() -> None:
    for mutant in ALL[:25]:
        before, after = TEXTS[mutant.file], mutant.applied(TEXTS[mutant.file])
        assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after)), mutant.told()
        gone, new = words(before) - words(after), words(after) - words(before)
        assert (gone.total(), new.total()) == (1, int(bool(mutant.instead))), mutant.told()
        assert before.splitlines()[mutant.line - 1].strip() == mutant.before
        assert after.splitlines()[mutant.line - 1].strip() == mutant.after


def test_docstrings_stay_as_they_are() -> None:
    def docstrings(text: str) -> list[str | None]:
        held = ast.Module | ast.ClassDef | ast.FunctionDef
        return [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, held)]

    for mutant in ALL[:25]:
        assert docstrings(TEXTS[mutant.file]) == docstrings(mutant.applied(TEXTS[mutant.file]))


def test_places_are_where_code_computes() -> None:
    found = {(mutants[0].function, mutants[0].token) for mutants in places("a.py", SOURCE)}
    assert found == EXPECTED


def test_the_seed_draws_and_a_smaller_number_gives_the_first() -> None:
    first = draw(TEXTS, 50, 0)
    assert first == draw(TEXTS, 50, 0) == draw(TEXTS, 200, 0)[:50]
    assert first != draw(TEXTS, 50, 1)
    assert len({mutant.key for mutant in ALL}) == len(ALL)
    assert {mutant.file for mutant in first} == set(TEXTS)


def test_edits_elsewhere_change_no_mutant() -> None:
    file = "physical/columns/resource.py"
    text = TEXTS[file]
    edited = text.replace("\nclass ", "\n\nONE_MORE = 7\n\n\nclass ", 1)
    before = {(mutant.key, mutant.after) for mutant in draw({file: text}, 10**6, 0)}
    after = {(mutant.key, mutant.after) for mutant in draw({file: edited}, 10**6, 0)}
    assert before < after
    assert len(after) == len(before) + 1


@pytest.mark.parametrize("value", [0, 1, 2, 3, -1, 0.0, 0.5, 1e100, True, False])
def test_another_constant_has_another_value_and_the_same_type(value: float) -> None:
    for other in others(value):
        assert ast.literal_eval(other) != value
        assert type(ast.literal_eval(other)) is type(value)


def test_every_operator_is_replaced_by_another() -> None:
    assert all(token not in instead for token, instead in OPERATORS.values())


def test_what_is_equivalent_can_still_be_drawn() -> None:
    """An entry whose line is gone says nothing any more."""
    texts = sources(ROOT, sorted({one.file for one in known()}))
    possible = {
        is_known(mutant) for file, text in texts.items() for mutants in places(file, text) for mutant in mutants
    }
    stale = [" | ".join(one) for one in known() if one not in possible]
    assert not stale, f"remove from tests/mutants/equivalent.toml: {stale}"
    assert all(reason.endswith(".") for reason in known().values())


def test_stages_name_files_that_exist() -> None:
    named = [word for stage in STAGES for word in stage.words if word.startswith("tests/")]
    assert [name for name in named if not (ROOT / name).is_file()] == []


def tried(mutant: Mutant, verdict: str) -> Tried:
    return Tried(mutant.key, f"{mutant.file}:{mutant.line}", mutant.before, mutant.after, verdict, "", "", 1.0)


def test_results_are_kept_and_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.json"
    results = Results(path, resume=False)
    for mutant, verdict in zip(ALL, (FOUND, SURVIVED, LISTED), strict=False):
        results.add(tried(mutant, verdict))
    again = Results(path, resume=True)
    assert [again.of(mutant) for mutant in ALL[:4]] == [
        *(tried(mutant, verdict) for mutant, verdict in zip(ALL, (FOUND, SURVIVED, LISTED), strict=False)),
        None,
    ]
    assert Results(path, resume=False).of(ALL[0]) is None


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


SLIPS = Stage("slips", ("-c", "import sys, sim.engine.clock as clock; sys.exit(str(clock._SLIP_S))"))


@pytest.mark.full
def test_a_mutant_is_in_the_copy_and_gone_again(copy: Copy) -> None:
    file = "sim/engine/clock.py"
    (one,) = (mutants for mutants in places(file, TEXTS[file]) if mutants[0].before == "_SLIP_S = 1e-3")
    for mutant in one:
        with copy.holding(mutant):
            assert copy.run(SLIPS, file, 60.0).found == str(ast.literal_eval(mutant.instead))
        assert copy.run(SLIPS, file, 60.0).found == "0.001"
    assert (copy.folder / file).read_text("utf-8") == (ROOT / file).read_text("utf-8")


@pytest.mark.full
@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("pass", ""),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os; os.abort()", "exit code -6"),
        ("while True: pass", "no end after 2 s"),
        pytest.param(
            "bytearray(1 << 40)",
            "MemoryError",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="limits of memory from outside are Linux's"),
        ),
    ],
)
def test_whatever_a_mutant_does_is_found(copy: Copy, code: str, found: str) -> None:
    assert copy.run(Stage("code", ("-c", code)), "", 2.0).found == found


def test_the_summary_names_what_survived() -> None:
    told = summary([tried(ALL[0], FOUND), tried(ALL[1], SURVIVED)])
    assert "2 mutants" in told
    assert "1 survived" in told
    assert ALL[1].after in told
    assert ALL[0].after not in told
