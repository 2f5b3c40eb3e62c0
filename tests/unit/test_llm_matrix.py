"""The action matrix as text: what the grammar says, what the parser takes, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.arrays import Floats
from policies.llm.errors import MalformedAnswerError
from policies.llm.text.matrix import (
    STEPS,
    from_decision,
    grammar,
    join,
    num_character,
    parse,
    row_text,
    to_decision,
)

pytestmark = pytest.mark.full  # loads a grammar; the quick loop has test_llm_prompt.py

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 4).map(lambda num_class: 2 * num_class))
MATRICES = SIZES.flatmap(
    lambda size: st.lists(st.integers(0, STEPS), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda steps: np.array(steps).reshape(size) / STEPS
    )
)
GOOD = "[[0.091, 1.000], [0.000, 0.999]]"


def text_of(matrix: Floats) -> str:
    return join([row_text(row) for row in matrix])


def expanded(rules: str) -> re.Pattern[str]:
    """Translate our use of GBNF into a regular expression: strings, digits, alternatives, names of other rules."""
    parts = dict(line.split(" ::= ") for line in rules.splitlines())

    def of(name: str) -> str:
        found = []
        for part in re.findall(r'"[^"]*"|\[0-9\]|\||\w+', parts[name]):
            found.append(re.escape(part[1:-1]) if part[0] == '"' else part if part in ("|", "[0-9]") else of(part))
        return f"(?:{''.join(found)})"

    return re.compile(of("root"))


@given(matrix=MATRICES)
def test_a_matrix_reads_as_it_was_written(matrix: Floats) -> None:
    text = text_of(matrix)
    np.testing.assert_array_equal(parse(text, *matrix.shape), matrix)
    assert len(text) == num_character(*matrix.shape)
    assert expanded(grammar(*matrix.shape)).fullmatch(text)


@given(matrix=MATRICES, capacity_hz=st.floats(1e6, 1e12))
def test_a_decision_survives_its_text(matrix: Floats, capacity_hz: float) -> None:
    text = text_of(matrix)
    decision = to_decision(parse(text, *matrix.shape), capacity_hz)
    assert text_of(from_decision(decision, capacity_hz)) == text


@given(matrix=MATRICES, factor=st.floats(0.5, 2.0))
def test_shares_are_never_rounded_down(matrix: Floats, factor: float) -> None:
    decision = to_decision(matrix, 1e9 * factor)
    rounded = from_decision(decision, 1e9)
    wanted = decision.compute_allocation_hz / 1e9
    num_class = matrix.shape[1] // 2
    assert (rounded[:, num_class:] >= np.minimum(wanted, 1.0) - 1e-8).all()
    assert (rounded[:, num_class:] <= wanted + 1.0 / STEPS).all()


def test_shares_are_parts_of_each_vehicles_own_server() -> None:
    capacity_hz = np.array([[10e9], [20e9]])
    decision = to_decision(np.array([[1.0, 0.5], [1.0, 0.5]]), capacity_hz)
    np.testing.assert_array_equal(decision.compute_allocation_hz, [[5e9], [10e9]])
    np.testing.assert_array_equal(from_decision(decision, capacity_hz), [[1.0, 0.5], [1.0, 0.5]])


# Texts near a matrix, not only noise: pieces of one in any order.
PIECES = ["[", "]", ", ", ",", " ", ".", "0", "1", "7", "0.123", "1.000", "], [", "[[", "]]", "-", "e", "\n", "٣", "x"]
TEXTS = st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(text=TEXTS | st.tuples(TEXTS, TEXTS).map(lambda ends: ends[0] + GOOD + ends[1]))
def test_any_text_is_a_matrix_or_refused(text: str) -> None:
    if not expanded(grammar(2, 2)).fullmatch(text.strip()):
        with pytest.raises(MalformedAnswerError) as caught:
            parse(text, 2, 2)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200
        return
    matrix = parse(text, 2, 2)
    assert matrix.shape == (2, 2)
    assert ((matrix >= 0) & (matrix <= 1)).all()


@given(at=st.integers(0, len(GOOD) - 1), other=st.characters())
def test_one_wrong_character_is_enough(at: int, other: str) -> None:
    text = GOOD[:at] + other + GOOD[at + 1 :]
    if expanded(grammar(2, 2)).fullmatch(text.strip()):
        parse(text, 2, 2)
        return
    with pytest.raises(MalformedAnswerError):
        parse(text, 2, 2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "begins with ''"),
        ("Sure! [[0.091, 1.000]]", "begins with 'Sure! "),
        ("[[0.091, 1.000]", "ends with"),
        ("[[0.091, 1.000]] I hope", "ends with"),
        ("[[0.091, 1.000]]", "has 1 rows, not 2"),
        ("[[0.091, 1.000], [0.091]]", "row 2 of the answer has 1 numbers, not 2"),
        ("[[0.091, 1.001], [0.091, 0.000]]", "'1.001' in row 1"),
        ("[[0.091, 1.0], [0.091, 0.000]]", "'1.0' in row 1"),
        ("[[0.091, nan], [0.091, 0.000]]", "'nan' in row 1"),
        ("[[0.091, 0.٣٣٣], [0.091, 0.000]]", "in row 1"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(MalformedAnswerError, match=re.escape(complaint)):
        parse(text, 2, 2)


def test_space_around_an_answer_does_not_count() -> None:
    np.testing.assert_array_equal(parse(f"\n {GOOD}\t\n", 2, 2), [[0.091, 1.0], [0.0, 0.999]])
