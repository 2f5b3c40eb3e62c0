"""Measures `llama_cpp.Llama` with the prompts of the bundled model, for comparison in ``twin bench llm``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from policies.cases.case import CaseSet
from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_ROW,
    LENGTH_STATE,
    NUM_ANSWER,
    encode_case,
    encode_state,
)
from twin.snapshot import TwinSnapshot


class PlainTimes(NamedTuple):
    """Median times of a completion, s: with an empty cache, and with the cases in the cache."""

    cold_s: float
    warm_s: float


def completion_times(path: Path, cases: CaseSet, queries: Sequence[TwinSnapshot]) -> PlainTimes:
    """Return the times of completions that read cases and a state, and write an answer for every task.

    Parameters
    ----------
    path : the bundled model's file
    cases : of the prompt, at least one
    queries : states, all of the same system
    """
    written = [encode_case(case) for case in cases]
    prefix = [token for case in written for part in case for token in part.reshape(-1).tolist()]
    price = written[-1][0][LENGTH_STATE:].tolist()
    model = _load(path, len(prefix) + 2 * queries[0].system.num_vehicle * (LENGTH_ROW + 2))
    allowed = np.full(model.n_vocab(), -np.inf, dtype=np.float32)
    for first in ANSWER_FIRST:
        allowed[first : first + NUM_ANSWER] = 0.0

    def only_answers(_: NDArray[np.intc], scores: NDArray[np.single]) -> NDArray[np.single]:
        return scores + allowed

    processors = llama_cpp.LogitsProcessorList([only_answers])
    times: dict[bool, list[float]] = {False: [], True: []}
    for query in queries:
        header, rows = encode_state(query)
        prompt = prefix + header.tolist() + price + rows[:, : ANSWER_AT[0]].reshape(-1).tolist()
        for is_warm in (False, True):
            if not is_warm:
                model.reset()
            else:  # after a completion that ends with the cases, the cache holds only the cases
                model.create_completion(prefix, max_tokens=1, temperature=0.0)
            begin_s = time.perf_counter()
            found = model.create_completion(
                prompt, max_tokens=query.size_bytes.size, temperature=0.0, logits_processor=processors
            )
            times[is_warm].append(time.perf_counter() - begin_s)
            assert found["usage"]["completion_tokens"] == query.size_bytes.size, "it has not written every answer"
    model.close()
    return PlainTimes(float(np.median(times[False])), float(np.median(times[True])))


def _load(path: Path, num_context: int) -> Any:
    """Load a model as users of llama-cpp-python do, but without the extra buffer types, which may crash (on AMX)."""
    default = llama_cpp.llama_cpp.llama_model_default_params

    def safe() -> Any:
        params = default()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = safe
    try:
        return llama_cpp.Llama(str(path), n_ctx=num_context, n_threads=1, n_threads_batch=1, verbose=False)
    finally:
        llama_cpp.llama_cpp.llama_model_default_params = default
