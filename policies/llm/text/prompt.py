"""The paper's prompt (section IV-B) for any number of vehicles N and task classes K.

A prompt consists of a prefix, which is the same as long as the cases are the same, and a query about the last state. If
rows are answered one by one, the same numbers are in another order: the state of each vehicle and then its action, so
that each row continues after its own state. Then the rows of the last state do not see each other, so the query
contains a mean over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from physical.arrays import Floats
from policies.llm.text import matrix
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_DATASET = "Here is a dataset you can use for prediction."
_ARROW = " -> "
_RATE_BPS_MIN = 1e4
_MBPS = 1e6


class Example(Protocol):
    """A state with its action; `policies.cases.case.Case` is one."""

    @property
    def snapshot(self) -> TwinSnapshot:
        """The state."""

    @property
    def decision(self) -> Decision:
        """The action."""


@dataclass(frozen=True)
class Template:
    """The texts that a model needs around a user's message.

    Parameters
    ----------
    before, after : texts; the model's answer follows `after`
    """

    before: str = ""
    after: str = "\n"


def prefix(cases: Sequence[Example], num_vehicle: int, num_class: int, *, by_row: bool = False) -> str:
    """Return the task description and the cases.

    A case that is added at the end does not change the text before it.

    Parameters
    ----------
    cases : in the order of the prompt
    num_vehicle, num_class : N and K of the state in the query
    by_row : whether answers are given row by row
    """
    text = _description(num_vehicle, num_class, by_row)
    return text + "".join(f"\n{_case(case, by_row)}\n" for case in cases)


def query(snapshot: TwinSnapshot, *, by_row: bool = False) -> str:
    """Return the question about the last state, [N, K] in `snapshot`."""
    what = "action rows" if by_row else "action matrix"
    question = (
        f"\nYou need to predict the {what} for the last given state matrix based on the dataset. "
        f"Please output the {what} directly without any other information.\n"
    )
    return question + (_situation(snapshot) if by_row else f"{_state(snapshot)}\nAction matrix:")


def row_beginnings(snapshot: TwinSnapshot) -> list[str]:
    """Return the begin of each vehicle's line for `by_row`: its state, then the bracket of its action."""
    return [f"{row}{_ARROW}[" for row in _state_rows(snapshot)]


def instruct(prefix_text: str, query_text: str, template: Template) -> tuple[str, str]:
    """Return prefix and query in the model's chat format; the prefix does not depend on the query."""
    return template.before + prefix_text, query_text + template.after


def action_text(decision: Decision, snapshot: TwinSnapshot) -> str:
    """Return a decision as an action matrix; shares are those of each vehicle's serving node."""
    return matrix.join(_action_rows(decision, snapshot))


def _description(num_vehicle: int, num_class: int, by_row: bool) -> str:
    """Return task goal, task definition and additional rules, in sentences of the paper as far as it has them."""
    goal = (
        "You are a mathematical tool to predict some models. You need to predict actions for a given state. "
        "You need to output the action based on the dataset and in the given state, "
        "and only the action and no other information.\n"
    )
    definition = (
        f"The state matrix has {num_vehicle} rows, one for each vehicle: sizes of its {num_class} tasks, position x "
        f"and y, speed, channel. The action matrix has {num_vehicle} rows and {2 * num_class} columns: the first "
        f"{num_class} columns are the offloading ratios of the vehicle's tasks in [0, 1], the last {num_class} columns "
        "are the parts of the server's capacity that they get.\n"
    )
    rules = (
        "This is an offloading decision and resource allocation task. All actions are from 0 to 1, with three "
        "decimals. All parts of the server's capacity together are at most 1.\n"
    )
    order = (
        f"A row of the dataset is a vehicle's state, then{_ARROW}and its action. Before all rows stands their mean.\n"
    )
    return f"{goal}{definition}{rules}{order if by_row else ''}{_DATASET}\n"


def _case(case: Example, by_row: bool) -> str:
    if not by_row:
        return f"{_state(case.snapshot)}\nAction matrix:\n{action_text(case.decision, case.snapshot)}"
    pairs = zip(_state_rows(case.snapshot), _action_rows(case.decision, case.snapshot), strict=True)
    return "\n".join([_situation(case.snapshot), *(f"{state}{_ARROW}[{action}]" for state, action in pairs)])


def _state(snapshot: TwinSnapshot) -> str:
    """Return the state matrix, after the numbers that all vehicles share."""
    return f"{_backlog(snapshot)}\nState matrix:\n[{', '.join(_state_rows(snapshot))}]"


def _situation(snapshot: TwinSnapshot) -> str:
    """Return the numbers that all vehicles share, and the mean of their states."""
    return f"{_backlog(snapshot)}\nMean: {_numbers(_states(snapshot).mean(axis=0))}"


def _backlog(snapshot: TwinSnapshot) -> str:
    return f"Backlog: {_numbers(snapshot.backlog_bytes / snapshot.system.backlog_unit_bytes)}"


def _state_rows(snapshot: TwinSnapshot) -> list[str]:
    return [_numbers(row) for row in _states(snapshot)]


def _states(snapshot: TwinSnapshot) -> Floats:
    """Return eq. 25 per vehicle, its gain as a rate: task sizes, position, speed, channel, [N, K + 4].

    Numbers are near 1 and have two decimals in every scenario. A language model sees only the digits of a number, every
    digit costs a token, and cases help only if similar states look similar. So sizes are in mean tasks of their class,
    positions in km, and speeds in 10 m/s. The channel is the decimal logarithm of the uplink rate in Mbit/s, because
    gains span ten decades and matter only through the rate.
    """
    sizes = snapshot.size_bytes / snapshot.system.size_bytes_mean
    decades = np.log10(np.maximum(snapshot.uplink_rate_bps, _RATE_BPS_MIN) / _MBPS)
    others = np.stack([snapshot.x_m / 1e3, snapshot.y_m / 1e3, snapshot.speed_mps / 10.0, decades], axis=1)
    return np.concatenate([sizes, others], axis=1)


def _action_rows(decision: Decision, snapshot: TwinSnapshot) -> list[str]:
    return [matrix.row_text(row) for row in matrix.from_decision(decision, matrix.server_hz(snapshot))]


def _numbers(values: Floats) -> str:
    # Adding 0 turns -0 into 0.
    return f"[{', '.join(f'{value:.2f}' for value in (np.round(values, 2) + 0.0).tolist())}]"
