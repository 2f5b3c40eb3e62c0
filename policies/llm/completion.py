"""What a text model answers to a prompt, and at what expense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["text", "batch"]
"""How an answer is made: token after token under a grammar, or all rows at once."""


@dataclass(frozen=True)
class Completion:
    """The text of an action matrix, and how it came about.

    Parameters
    ----------
    text : what the model wrote
    num_prompt_token : tokens of the prompt
    num_reused_token : those of them whose numbers were in the cache from the last call
    num_answer_token : tokens that the model chose or that were fed as punctuation
    prefill_s : s, time to read the prompt
    decode_s : s, time to answer
    prompt_digest : SHA-256 of all tokens of the prompt, hexadecimal
    """

    text: str
    num_prompt_token: int
    num_reused_token: int
    num_answer_token: int
    prefill_s: float
    decode_s: float
    prompt_digest: str
