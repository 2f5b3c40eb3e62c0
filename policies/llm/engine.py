"""What turns cases and a state into a decision: the interface of the engines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from twin.decision import Decision
from twin.snapshot import TwinSnapshot

if TYPE_CHECKING:
    from policies.cases.case import Case


@dataclass(frozen=True)
class Answer:
    """A decision, and how it came about.

    Parameters
    ----------
    decision : as the model said it; not projected
    prompt_digest : of all tokens of the prompt, hexadecimal
    num_prompt_token : tokens of the prompt
    num_reused_token : those of them whose numbers were in the cache from the last decision
    num_answer_token : tokens that the model chose or that were fed as punctuation
    prefill_s : s, time to read the prompt
    decode_s : s, time to answer
    capacity_price : no unit, price of the whole server at which the model decided; NaN if it says none
    """

    decision: Decision
    prompt_digest: str
    num_prompt_token: int
    num_reused_token: int
    num_answer_token: int
    prefill_s: float
    decode_s: float
    capacity_price: float = math.nan


class Engine(Protocol):
    """One loaded model."""

    def decide(self, cases: Sequence[Case], snapshot: TwinSnapshot, deadline_s: float | None) -> Answer:
        """Return what the model says to a state, given cases in the order of the prompt.

        Raises
        ------
        ModelError : no answer, or none that can be read
        DeadlineExceededError : not in so many seconds
        """

    def read(self, cases: Sequence[Case]) -> None:
        """Read the cases that the next prompts begin with, so that no answer waits for it.

        Raises
        ------
        ModelError : that failed
        """

    def close(self) -> None:
        """Free the model."""
