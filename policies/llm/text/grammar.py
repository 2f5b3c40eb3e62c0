"""Chooses the likeliest token that a grammar allows, by llama.cpp's grammar sampler."""

from __future__ import annotations

import ctypes

import llama_cpp
import numpy as np

from policies.llm.errors import ModelError
from policies.llm.session import LlamaSession, Logits

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """Tells which tokens may come next in one text.

    Parameters
    ----------
    session : session of the model whose tokens are meant
    rules : in llama.cpp's notation (GBNF), starting at `root`

    Raises
    ------
    ModelError : llama.cpp does not understand the rules
    """

    def __init__(self, session: LlamaSession, rules: str) -> None:
        self._sampler = llama_cpp.llama_sampler_init_grammar(session.model.vocab, rules.encode(), b"root")
        # llama.cpp ends the process if a sampler that does not exist is used.
        if not self._sampler:
            raise ModelError("llama.cpp does not understand the grammar of the answer")

    def choose(self, logits: Logits) -> int:
        """Return the likeliest token that is allowed, and continue after it.

        logits : [num_token]

        Raises
        ------
        ModelError : no token is allowed
        """
        best = int(logits.argmax())
        # Models mostly follow the grammar. Checking one token is much less work than checking all of them.
        if not np.isfinite(self._allowed(np.array([best]), logits[[best]]))[0]:
            allowed = self._allowed(np.arange(logits.size), logits)
            best = int(allowed.argmax())
            if not np.isfinite(allowed[best]):
                raise ModelError("the grammar of the answer allows none of the model's tokens")
        llama_cpp.llama_sampler_accept(self._sampler, best)
        return best

    def _allowed(self, tokens: np.ndarray[tuple[int], np.dtype[np.int64]], logits: Logits) -> Logits:
        """Return the logits of tokens, minus infinity where they are not allowed, [n]."""
        candidates = np.zeros(tokens.size, dtype=_CANDIDATE)
        candidates["id"], candidates["logit"] = tokens, logits
        pointer = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data))
        array = llama_cpp.llama_token_data_array(pointer, tokens.size, -1, False)
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        kept: Logits = candidates["logit"]
        return kept

    def close(self) -> None:
        """Free the sampler."""
        llama_cpp.llama_sampler_free(self._sampler)
