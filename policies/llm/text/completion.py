"""A question to a text model, and its answer with numbers about the effort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Method = Literal["text", "batch"]
"""How an answer is made: token by token under a grammar ("text"), or all rows at once ("batch")."""


class Question(NamedTuple):
    """A prompt and the size of the action matrix that it asks for.

    Parameters
    ----------
    prefix, query : the prompt; see `policies.llm.text.prompt`
    num_vehicle, num_column : size of the matrix
    rows : [num_vehicle], for "batch": the begin of the line of each row
    """

    prefix: str
    query: str
    num_vehicle: int
    num_column: int
    rows: Sequence[str] = ()


@dataclass(frozen=True)
class Completion:
    """The text of an action matrix, with numbers about how it was made.

    Parameters
    ----------
    text : text that the model wrote
    num_prompt_token : tokens of the prompt
    num_reused_token : tokens of the prompt that were in the cache from the last call
    num_answer_token : tokens that the model chose, and tokens of punctuation that were fed to it
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
