"""The interface of the engines, which turn cases and a state into a decision."""

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
    """A decision of a model, with numbers about how it was made.

    Parameters
    ----------
    decision : as the model gave it, not projected
    prompt_digest : of all tokens of the prompt, hexadecimal
    num_prompt_token : tokens of the prompt
    num_reused_token : tokens of the prompt that were in the cache from the last decision
    num_answer_token : tokens that the model chose, and tokens of punctuation that were fed to it
    prefill_s : s, time to read the prompt
    decode_s : s, time to answer
    capacity_price : no unit, price of the whole server at which the model decided; NaN if there is none
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
        """Return the model's answer to a state, given cases in the order of the prompt.

        Raises
        ------
        ModelError : there is no answer, or it cannot be read
        DeadlineExceededError : the answer takes longer than the deadline
        """

    def read(self, cases: Sequence[Case]) -> None:
        """Read the cases with which the next prompts begin, so that no answer has to wait for this.

        Raises
        ------
        ModelError : the cases cannot be read
        """

    def close(self) -> None:
        """Free the model."""
