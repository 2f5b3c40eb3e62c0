"""The bundled model at work: cases as columns of a shared cache, all rows of the query in one call per class."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from physical.system import System
from policies.llm.engine import Answer
from policies.llm.reading import Reading
from policies.llm.session import Logits, Session
from policies.llm.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_HEADER,
    LENGTH_ROW,
    MAX_VEHICLE,
    NUM_ANSWER,
    NUM_CLASS,
    NUM_TOKEN,
    SIZE_AT,
    decode_answer,
    encode_answer,
    encode_state,
    with_answers,
)
from twin.snapshot import TwinSnapshot

if TYPE_CHECKING:
    from policies.cases import Case

Ints = NDArray[np.integer[Any]]

LENGTH_CASE = LENGTH_HEADER + LENGTH_ROW
"""Positions that a case takes, whatever the number of vehicles."""


class BundledEngine:
    """Decides with a model that `policies.llm.training` has made.

    A case is read in one call: its header belongs to all sequences, each row to one of its own. Then everything but the
    answers leaves the cache, and the answers are shared by all sequences. A query is read and answered class by class,
    all rows at a time.

    Parameters
    ----------
    path : GGUF file
    system : whose slots will be decided
    num_case : most cases of a prompt
    num_thread, num_gpu_layer : see `Session`
    reading : how probabilities become numbers

    Raises
    ------
    InputError : more vehicles than the language has names for, another number of classes, a file that is no such model
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
        self._count = system.num_vehicle
        per_case = LENGTH_HEADER + self._count * LENGTH_ROW
        num_context = num_case * self._count * NUM_CLASS + 2 * per_case
        self._session = Session(
            path,
            num_context=num_context,
            num_sequence=self._count,
            num_batch=max(per_case, 32),
            num_thread=num_thread,
            num_gpu_layer=num_gpu_layer,
        )
        if self._session.num_token != NUM_TOKEN:
            self._session.close()
            raise InputError("is no model of this language", where=str(path), accepted="model=bundled")
        self._read: list[bytes] = []
        self._written: dict[int, tuple[Case, Ints]] = {}
        self._plan_query()

    def _plan_query(self) -> None:
        """Lay out the calls of a query: the rows up to the first size, then an answer and the next size, .."""
        count = self._count
        self._header_at = np.arange(LENGTH_HEADER)
        self._everyone = np.full(LENGTH_HEADER, -1)
        edges = [0, *(place + 1 for place in SIZE_AT)]
        self._calls = []
        for begin, end in pairwise(edges):
            # By place, then by row: the positions of a call never decrease.
            places = np.repeat(np.arange(begin, end), count)
            rows = np.tile(np.arange(count), end - begin)
            self._calls.append((places, rows, places == end - 1))

    def decide(self, cases: Sequence[Case], snapshot: TwinSnapshot, deadline_s: float | None) -> Answer:
        """Return what the model says; see `policies.llm.engine.Engine`."""
        begin_s = time.perf_counter()
        session = self._session
        session.until(deadline_s)
        written = self._write_all(cases)
        header, rows = encode_state(snapshot)
        num_reused = self._read_all(written)
        prefill_s = time.perf_counter() - begin_s
        logits, _ = self._ask(header, rows)
        used = [float(case.decision.compute_allocation_hz.sum()) / self._server_hz for case in cases]
        offloaded, places = self._reading.settle(logits, used)
        per_case = LENGTH_HEADER + self._count * LENGTH_ROW
        num_query = LENGTH_HEADER + self._count * (SIZE_AT[-1] + 1)
        digest = hashlib.blake2b(digest_size=16)
        for tokens in written:
            digest.update(tokens.tobytes())
        digest.update(header.tobytes() + rows.tobytes())
        return Answer(
            decision=decode_answer(places, offloaded, self._server_hz),
            prompt_digest=digest.hexdigest(),
            num_prompt_token=len(written) * per_case + num_query - self._count * (NUM_CLASS - 1),
            num_reused_token=num_reused * per_case,
            num_answer_token=self._count * NUM_CLASS,
            prefill_s=prefill_s,
            decode_s=time.perf_counter() - begin_s - prefill_s,
        )

    def ask(self, cases: Sequence[Case], snapshot: TwinSnapshot) -> tuple[Ints, Logits]:
        """Return the answers, [N, K], and the logits that they were read off, [N, K, NUM_ANSWER]."""
        self._session.until(None)
        self._read_all(self._write_all(cases))
        logits, answers = self._ask(*encode_state(snapshot))
        return answers, logits

    @property
    def _server_hz(self) -> float:
        return self._system.server.frequency_hz

    def _write_all(self, cases: Sequence[Case]) -> list[Ints]:
        """Return cases as tokens; those of the last prompt are not written again."""
        known = self._written
        self._written = {id(case): known.get(id(case)) or (case, self._write(case)) for case in cases}
        return [self._written[id(case)][1] for case in cases]

    def _write(self, case: Case) -> Ints:
        """Return a case as tokens: the header, then the rows place by place."""
        header, rows = encode_state(case.snapshot)
        answers = encode_answer(case.decision, self._server_hz)
        return np.concatenate([header, with_answers(rows, answers).T.reshape(-1)])

    def _read_all(self, written: list[Ints]) -> int:
        """Read the cases of a prompt; return how many were in the cache already, because it begins with the same."""
        texts = [tokens.tobytes() for tokens in written]
        same = 0
        for old, new in zip(self._read, texts, strict=False):
            if old != new:
                break
            same += 1
        self._session.remove(-1, same * LENGTH_CASE, -1)
        del self._read[same:]
        for tokens in written[same:]:
            self._read_case(tokens)
        return same

    def _read_case(self, tokens: Ints) -> None:
        """Read one case into the cache; keep of it what later ones may see."""
        session, count = self._session, self._count
        first = len(self._read) * LENGTH_CASE
        places = np.repeat(np.arange(LENGTH_ROW), count) + LENGTH_HEADER
        positions = first + np.concatenate([self._header_at, places])
        sequences = np.concatenate([self._everyone, np.tile(np.arange(count), LENGTH_ROW)])
        # If this fails, what it has left in the cache goes when the next prompt is read.
        session.decode(tokens, positions, sequences, np.zeros(len(tokens), dtype=np.bool_), count)
        begin = first
        for place in ANSWER_AT:
            session.remove(-1, begin, first + LENGTH_HEADER + place)
            begin = first + LENGTH_HEADER + place + 1
        everyone = range(count)
        for row in everyone:
            session.share(row, everyone, first, first + LENGTH_CASE)
        self._read.append(tokens.tobytes())

    def _ask(self, header: Ints, rows: Ints) -> tuple[Logits, Ints]:
        """Return the logits of the answers, [N, K, NUM_ANSWER], and the answers that went on to the next class."""
        session, count = self._session, self._count
        first = len(self._read) * LENGTH_CASE
        found = np.empty((count, NUM_CLASS, NUM_ANSWER), dtype=np.float32)
        answers = np.zeros((count, NUM_CLASS), dtype=np.int64)
        try:
            for index, (places, own, last) in enumerate(self._calls):
                filled = with_answers(rows, answers)
                tokens, positions, sequences, outputs = filled[own, places], first + LENGTH_HEADER + places, own, last
                if index == 0:
                    tokens = np.concatenate([header, tokens])
                    positions = np.concatenate([first + self._header_at, positions])
                    sequences = np.concatenate([self._everyone, own])
                    outputs = np.concatenate([np.zeros(LENGTH_HEADER, dtype=np.bool_), last])
                logits = session.decode(tokens, positions, sequences, outputs, count)
                begin = ANSWER_FIRST[index]
                found[:, index] = logits[:, begin : begin + NUM_ANSWER]
                offloaded, share = self._reading.read(found[:, index])
                answers[:, index] = np.where(offloaded, 1 + np.round(share), 0)
        finally:
            session.remove(-1, first, -1)
        return found, answers

    def close(self) -> None:
        """Free the model."""
        self._session.close()


def check_size(system: System) -> None:
    """Refuse a system that the language has no words for.

    Raises
    ------
    InputError : names what is too many
    """
    accepted = f"{NUM_CLASS} task classes and up to {MAX_VEHICLE} vehicles, or model=smollm2 or a GGUF file"
    if system.num_class != NUM_CLASS:
        problem = f"the bundled model was trained for {NUM_CLASS} task classes, not {system.num_class}"
        raise InputError(problem, where="--policy", key="llm", accepted=accepted)
    if system.num_vehicle > MAX_VEHICLE:
        problem = f"the bundled model has no names for {system.num_vehicle} vehicles"
        raise InputError(problem, where="--policy", key="llm", accepted=accepted)
