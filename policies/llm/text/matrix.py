"""The action matrix as text: the grammar that models have to follow, and the reading of their texts.

``[[0.091, 0.196, 1.000, 0.038, 0.000, 0.038], [...]]`` has one row per vehicle. For each class, a row has an offloading
ratio and then the allocated part of the server's capacity. Every number has exactly three decimals, so that a matrix of
a given size has a given length, which limits the model's text.
"""

from __future__ import annotations

import re

import numpy as np

from physical.arrays import Floats
from physical.nodes import at_node
from policies.llm.errors import MalformedAnswerError
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

STEPS = 1000
"""Steps of a number from 0 to 1."""
_NUMBER = re.compile(r"0\.[0-9]{3}|1\.000")
_BETWEEN_NUMBERS = ", "
_BETWEEN_ROWS = "], ["
_SHOWN = 20
_CEIL_SLACK = 1e-6


def grammar(num_vehicle: int, num_column: int) -> str:
    """Return the grammar of a matrix of this size in llama.cpp's notation (GBNF).

    >>> print(grammar(1, 2))
    root ::= "[" row "]"
    row ::= "[" number ", " number "]"
    number ::= "0." [0-9] [0-9] [0-9] | "1.000"
    """
    rows = ' ", " '.join(["row"] * num_vehicle)
    numbers = f' "{_BETWEEN_NUMBERS}" '.join(["number"] * num_column)
    return f'root ::= "[" {rows} "]"\nrow ::= "[" {numbers} "]"\nnumber ::= "0." [0-9] [0-9] [0-9] | "1.000"'


def num_character(num_vehicle: int, num_column: int) -> int:
    """Return the length of the text of a matrix; no model needs more tokens than this.

    >>> num_character(1, 2) == len("[[0.091, 1.000]]")
    True
    """
    row = len("0.000") * num_column + len(_BETWEEN_NUMBERS) * (num_column - 1)
    return row * num_vehicle + len(_BETWEEN_ROWS) * (num_vehicle - 1) + len("[[]]")


def row_text(numbers: Floats) -> str:
    """Return numbers from 0 to 1 as a row without brackets, [n].

    >>> row_text(np.array([0.0914, 1.0]))
    '0.091, 1.000'
    """
    return _BETWEEN_NUMBERS.join(f"{number:.3f}" for number in numbers.tolist())


def join(rows: list[str]) -> str:
    """Return the matrix of these rows, each without brackets."""
    return f"[[{_BETWEEN_ROWS.join(rows)}]]"


def parse(text: str, num_vehicle: int, num_column: int) -> Floats:
    """Return the matrix of a text, [N, 2K]; space around it is ignored.

    Raises
    ------
    MalformedAnswerError : the text does not follow `grammar`
    """
    answer = text.strip()
    if not answer.startswith("[["):
        raise MalformedAnswerError(f"the answer begins with {answer[:_SHOWN]!r}, not with '[['")
    if not answer.endswith("]]"):
        raise MalformedAnswerError(f"the answer ends with {answer[-_SHOWN:]!r}, not with ']]'")
    rows = answer[2:-2].split(_BETWEEN_ROWS)
    if len(rows) != num_vehicle:
        raise MalformedAnswerError(f"the answer has {len(rows)} rows, not {num_vehicle}")
    matrix = np.empty((num_vehicle, num_column))
    for index, row in enumerate(rows):
        numbers = row.split(_BETWEEN_NUMBERS)
        if len(numbers) != num_column:
            raise MalformedAnswerError(f"row {index + 1} of the answer has {len(numbers)} numbers, not {num_column}")
        for number in numbers:
            if not _NUMBER.fullmatch(number):
                shown = f"{number[:_SHOWN]!r} in row {index + 1} of the answer"
                raise MalformedAnswerError(f"{shown} is not a number from 0.000 to 1.000")
        matrix[index] = [float(number) for number in numbers]
    return matrix


def server_hz(snapshot: TwinSnapshot) -> Floats:
    """Return the capacity whose parts the shares are: that of the server at each vehicle's node, Hz, [N, 1]."""
    capacity: Floats = at_node(snapshot.system.node_hz, snapshot.serving_node)
    return capacity


def to_decision(matrix: Floats, capacity_hz: Floats | float) -> Decision:
    """Return the decision of a matrix [N, 2K]; its shares are parts of `capacity_hz`, [N, 1] or one for all."""
    num_class = matrix.shape[1] // 2
    return Decision(matrix[:, :num_class].copy(), matrix[:, num_class:] * capacity_hz)


def from_decision(decision: Decision, capacity_hz: Floats | float) -> Floats:
    """Return the matrix [N, 2K] of a decision, in whole steps from 0 to 1.

    Shares are rounded up, because a share that just meets a deadline would miss it if it were smaller.
    """
    ratio = np.round(decision.offloading_ratio * STEPS)
    # A share that was a whole number of steps before it became a frequency is rounded to the same number.
    share = np.ceil(decision.compute_allocation_hz / capacity_hz * STEPS - _CEIL_SLACK)
    # Adding 0 turns -0, whose text differs, into 0.
    matrix: Floats = np.clip(np.concatenate([ratio, share], axis=1), 0.0, STEPS) / STEPS + 0.0
    return matrix
