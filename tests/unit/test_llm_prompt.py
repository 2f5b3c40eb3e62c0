"""The paper's prompt: its sentences, its sizes, and a front that stays the same while the cases do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from policies.llm.text import matrix, prompt
from policies.llm.text.prompt import Template
from tests.support.prompts import make_case, make_snapshot
from twin.decision import Decision

PAPER = (
    "You are a mathematical tool to predict some models.",
    "You need to predict actions for a given state.",
    "ou need to output the action based on the dataset and in the given state, and only the action and no other",
    "Here is a dataset you can use for prediction",
    "an offloading decision and resource allocation task",
    "You need to predict the action matrix for the last given state matrix based on the dataset.",
    "Please output the action matrix directly without any other information.",
)


CASES = [make_case(seed) for seed in range(4)]


def test_it_says_what_the_paper_says() -> None:
    text = prompt.prefix(CASES, 3, 2) + prompt.query(make_snapshot(9))
    for sentence in PAPER:
        assert sentence in text
    assert "has 3 rows and 4 columns: the first 2 columns are the offloading ratios" in text


def test_cases_are_pairs_of_matrices_that_can_be_read_back() -> None:
    text = prompt.prefix(CASES, 3, 2)
    states = re.findall(r"State matrix:\n(.*)\n", text)
    actions = re.findall(r"Action matrix:\n(.*)\n", text)
    assert len(states) == len(actions) == len(CASES)
    for case, action in zip(CASES, actions, strict=True):
        server_hz = case.snapshot.system.server.frequency_hz
        decision = matrix.to_decision(matrix.parse(action, 3, 4), server_hz)
        np.testing.assert_allclose(decision.offloading_ratio, case.decision.offloading_ratio, atol=0.0005001)
        share = decision.compute_allocation_hz - case.decision.compute_allocation_hz
        assert ((share > -1e-6 * server_hz) & (share <= 0.001 * server_hz)).all()
        assert prompt.action_text(decision, case.snapshot) == action


@pytest.mark.parametrize("num_vehicle", [1, 2, 12])
def test_a_state_has_a_row_per_vehicle(num_vehicle: int) -> None:
    snapshot = make_snapshot(5, num_vehicle)
    query = prompt.query(snapshot)
    found = re.search(r"State matrix:\n\[(.*)\]\nAction matrix:$", query)
    assert found is not None
    rows = re.findall(r"\[([^\]]*)\]", found[1])
    numbers = np.array([[float(number) for number in row.split(", ")] for row in rows])
    assert numbers.shape == (num_vehicle, 2 + 4)
    np.testing.assert_allclose(numbers[:, :2], snapshot.size_bytes / snapshot.system.size_bytes_mean, atol=0.005001)
    np.testing.assert_allclose(numbers[:, 2], snapshot.x_m / 1e3, atol=0.005001)
    assert len(re.findall(r"Backlog: ", query)) == 1


@pytest.mark.parametrize("by_row", [False, True])
def test_the_front_stays_the_same(by_row: bool) -> None:
    shorter = prompt.prefix(CASES[:3], 3, 2, by_row=by_row)
    longer = prompt.prefix(CASES, 3, 2, by_row=by_row)
    assert longer.startswith(shorter)
    template = Template("<user>", "<assistant>")
    first = prompt.instruct(longer, prompt.query(make_snapshot(8), by_row=by_row), template)
    second = prompt.instruct(longer, prompt.query(make_snapshot(9), by_row=by_row), template)
    assert first[0] == second[0] == f"<user>{longer}"
    assert first[1] != second[1]
    assert first[1].endswith("<assistant>")


def test_rows_go_on_as_those_of_the_cases_do() -> None:
    """What a row of the answer begins with is what the same state would have before its action in a case."""
    case = CASES[0]
    lines = prompt.prefix([case], 3, 2, by_row=True).splitlines()
    beginnings = prompt.row_beginnings(case.snapshot)
    rows = [line for line in lines if line.startswith("[")]
    assert len(rows) == len(beginnings) == 3
    action = prompt.action_text(case.decision, case.snapshot)
    for row, beginning, numbers in zip(rows, beginnings, action[2:-2].split("], ["), strict=True):
        assert row == f"{beginning}{numbers}]"


def test_vehicles_without_a_link_and_negative_zeros_have_plain_numbers() -> None:
    snapshot = make_snapshot(1, x_m=np.array([-0.001, 0.0, 3.0]), channel_gain=np.zeros(3))
    text = prompt.query(snapshot)
    assert "-0.00" not in text
    assert not re.search(r"\b(nan|inf)\b", text)


def test_a_decision_to_the_last_digit_has_numbers_from_0_to_1() -> None:
    snapshot = make_snapshot(1)
    server_hz = snapshot.system.server.frequency_hz
    shape = snapshot.size_bytes.shape
    text = prompt.action_text(Decision(np.full(shape, -0.0), np.full(shape, 1.0000001 * server_hz)), snapshot)
    assert text == "[[0.000, 0.000, 1.000, 1.000], [0.000, 0.000, 1.000, 1.000], [0.000, 0.000, 1.000, 1.000]]"
