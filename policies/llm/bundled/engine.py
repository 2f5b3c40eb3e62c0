"""Decides with the bundled model: cases stay in a shared cache, and one call answers all rows at a price."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats, Mask
from physical.errors import InputError
from physical.system import System
from policies.feasible import reserved_hz
from policies.llm.bundled.market import Offers, Supply, clearing_price
from policies.llm.bundled.prompt_cache import PromptCache
from policies.llm.bundled.reading import Reading, probabilities, quantiles
from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_CASE,
    LENGTH_HEADER,
    LENGTH_ROW,
    LENGTH_STATE,
    MAX_VEHICLE,
    NUM_ANSWER,
    NUM_CLASS,
    NUM_TOKEN,
    PRICE,
    PRICE_FIRST,
    UPLOAD,
    encode_price,
    encode_state,
    upload_slots,
    worth_of_draining,
)
from policies.llm.engine import Answer
from policies.llm.session import LlamaSession, Logits
from twin.snapshot import TwinSnapshot

if TYPE_CHECKING:
    from policies.cases.case import Case

Ints = NDArray[np.integer[Any]]


class BundledEngine:
    """Decides with a model that `policies.llm.bundled.training` has made.

    The cases come first, see `PromptCache`. Of a query, the header is read first: from it, the model predicts the price
    of capacity. Then all rows are answered at that price in one call, and again at other prices until the tasks ask for
    about as much of the server as the cases show to be there (see `policies.llm.bundled.market`). Several prices of a
    call have sequences of their own.

    Parameters
    ----------
    path : GGUF file
    system : system whose slots will be decided
    num_case : largest number of cases of a prompt
    num_thread, num_gpu_layer : see `LlamaSession`
    reading : how probabilities become numbers

    Raises
    ------
    InputError : the language has too few names for the vehicles, or another number of classes, or the file is no such
        model
    """

    def __init__(
        self,
        path: Path,
        system: System,
        *,
        num_case: int,
        num_thread: int = 1,
        num_gpu_layer: int = 0,
        reading: Reading | None = None,
    ) -> None:
        check_size(system)
        self._system, self._reading = system, reading or Reading()
        self._count = count = system.num_vehicle
        self._num_task = count * NUM_CLASS
        self._num_price = len(self._reading.prices)
        self._num_sequence = count * self._num_price
        self._per_case = per_case = LENGTH_HEADER + count * LENGTH_ROW
        per_price = LENGTH_HEADER - LENGTH_STATE + count * ANSWER_AT[0]
        self._session = LlamaSession(
            path,
            num_context=num_case * count * NUM_CLASS + per_case + self._num_price * per_price,
            num_sequence=self._num_sequence,
            num_batch=max(per_case, self._num_price * per_price, 32),
            num_thread=num_thread,
            num_gpu_layer=num_gpu_layer,
        )
        if self._session.model.num_token != NUM_TOKEN:
            self._session.close()
            raise InputError("is no model of this language", where=str(path), accepted="model=bundled")
        self._cache = PromptCache(self._session, count, self._num_sequence)

    def decide(self, cases: Sequence[Case], snapshot: TwinSnapshot, deadline_s: float | None) -> Answer:
        """Return the model's answer; see `policies.llm.engine.Engine`."""
        begin_s = time.perf_counter()
        self._session.until(deadline_s)
        written = self._cache.write_all(cases)
        state, rows = encode_state(snapshot)
        worth = worth_of_draining(snapshot)
        num_reused = self._cache.read_all(written)
        prefill_s = time.perf_counter() - begin_s
        supply = Supply.of(cases, self._server_hz, self._num_task, float(reserved_hz(snapshot).sum()))
        first = len(written) * LENGTH_CASE
        try:
            expected = quantiles(probabilities(self._begin(state, first)), self._reading.prices)
            ask = partial(self._ask, rows, worth, upload_slots(snapshot) <= UPLOAD.high, first)
            tried = ask(worth.max() + PRICE.centre(expected))
            for _ in range(self._reading.num_correction):
                if min(abs(supply.excess(offers)) for offers in tried) < self._reading.tolerance:
                    break
                self._session.remove(-1, first + LENGTH_STATE, -1)
                tried += ask(np.array([clearing_price(tried, supply, float(worth.max()))]))
        finally:
            self._session.remove(-1, first, -1)
        offers = min(tried, key=lambda offers: abs(supply.excess(offers)))
        decision = offers.settle(supply.at(offers.price), worth, self._reading, self._server_hz)
        digest = hashlib.blake2b(digest_size=16)
        for tokens in [*written, state, rows]:
            digest.update(tokens.tobytes())
        per_price = LENGTH_HEADER - LENGTH_STATE + self._count * ANSWER_AT[0]
        return Answer(
            decision=decision,
            prompt_digest=digest.hexdigest(),
            num_prompt_token=len(written) * self._per_case + LENGTH_STATE + len(tried) * per_price,
            num_reused_token=num_reused * self._per_case,
            num_answer_token=self._count * NUM_CLASS,
            prefill_s=prefill_s,
            decode_s=time.perf_counter() - begin_s - prefill_s,
            capacity_price=offers.price / self._num_task,
        )

    def read(self, cases: Sequence[Case]) -> None:
        """Read the cases of the next prompt; see `policies.llm.engine.Engine`."""
        self._session.until(None)
        self._cache.read_all(self._cache.write_all(cases))

    def ask(
        self, cases: Sequence[Case], snapshot: TwinSnapshot, prices: Sequence[float] | Floats
    ) -> tuple[Logits, Logits]:
        """Return the logits of the price, [PRICE.count], and of the answers at some prices, [P, N, K, NUM_ANSWER].

        prices : of the whole server in the unit of the prompt, at most as many as are tried at a time
        """
        self._session.until(None)
        written = self._cache.write_all(cases)
        self._cache.read_all(written)
        first = len(written) * LENGTH_CASE
        state, rows = encode_state(snapshot)
        try:
            expected = self._begin(state, first)
            found = self._answers(rows, np.array(prices), worth_of_draining(snapshot), first)
        finally:
            self._session.remove(-1, first, -1)
        return expected, found

    @property
    def _server_hz(self) -> float:
        return self._system.server.frequency_hz

    def _begin(self, state: Ints, first: int) -> Logits:
        """Read the header of a query up to the price; return the logits of prices, [PRICE.count]."""
        everyone = (np.arange(LENGTH_STATE), *np.full((2, LENGTH_STATE), [[0], [self._num_sequence]]))
        logits = self._cache.decode(state, first, (everyone,), [LENGTH_STATE - 1])
        found: Logits = logits[0, PRICE_FIRST[0] + 1 : PRICE_FIRST[0] + 1 + PRICE.count]
        return found

    def _ask(self, rows: Ints, worth: Floats, reachable: Mask, first: int, prices: Floats) -> list[Offers]:
        """Return the demand of the tasks at some prices."""
        answers = self._answers(rows, prices, worth, first)
        return [
            Offers.of(logits, float(price), reachable, self._reading)
            for logits, price in zip(answers, prices, strict=True)
        ]

    def _answers(self, rows: Ints, prices: Floats, worth: Floats, first: int) -> Logits:
        """Return the logits of the answers at some prices, [P, N, K, NUM_ANSWER]."""
        count, num_price = self._count, len(prices)
        words = encode_price(prices, np.broadcast_to(worth, (num_price, NUM_CLASS)))
        asked = np.broadcast_to(rows[:, : ANSWER_AT[0]], (num_price, count, ANSWER_AT[0]))
        tokens = np.concatenate([words.T.reshape(-1), asked.transpose(2, 0, 1).reshape(-1)])
        parts = (self._cache.shared(LENGTH_STATE, LENGTH_HEADER, num_price), self._cache.rows(ANSWER_AT[0], num_price))
        wanted = np.arange(len(tokens) - NUM_CLASS * num_price * count, len(tokens))
        by_class = self._cache.decode(tokens, first, parts, wanted).reshape(NUM_CLASS, num_price, count, -1)
        found = np.empty((num_price, count, NUM_CLASS, NUM_ANSWER), dtype=np.float32)
        for index, begin in enumerate(ANSWER_FIRST):
            found[:, :, index] = by_class[index, ..., begin : begin + NUM_ANSWER]
        return found

    def close(self) -> None:
        """Free the model."""
        self._session.close()


def check_size(system: System) -> None:
    """Refuse a system for which the language has no words.

    Raises
    ------
    InputError : there are too many vehicles, or another number of classes
    """
    accepted = f"{NUM_CLASS} task classes and up to {MAX_VEHICLE} vehicles, or model=smollm2 or a GGUF file"
    if system.num_class != NUM_CLASS:
        problem = f"the bundled model was trained for {NUM_CLASS} task classes, not {system.num_class}"
        raise InputError(problem, where="--policy", key="llm", accepted=accepted)
    if system.num_vehicle > MAX_VEHICLE:
        problem = f"the bundled model has no names for {system.num_vehicle} vehicles"
        raise InputError(problem, where="--policy", key="llm", accepted=accepted)
