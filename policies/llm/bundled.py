"""The bundled model at work: cases as columns of a shared cache, all rows of the query in one call per class."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
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
    ASK_AT,
    LENGTH_HEADER,
    LENGTH_ROW,
    MAX_VEHICLE,
    NUM_ANSWER,
    NUM_CLASS,
    NUM_TOKEN,
    SUM_AT,
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

    A case is read in two calls. In the first one its header belongs to all sequences, each row to one of its own, as
    far as a word that all sequences see from then on; in the second one the rows go on to their answers. Then
    everything but the answers leaves the cache, and the answers are shared by all sequences. A query begins like a
    case and is answered class by class, all rows at a time.

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
        self._written: dict[int, tuple[Case, tuple[Ints, Ints]]] = {}
        self._plan_query()

    def _plan_query(self) -> None:
        """Lay out the calls: the header and the rows up to their sums, then ask, then an answer at a time."""
        self._header_at = np.arange(LENGTH_HEADER)
        self._everyone = np.full(LENGTH_HEADER, -1)
        self._states = self._span(0, ASK_AT)
        self._answers = self._span(ASK_AT, LENGTH_ROW)
        self._asked = [self._span(place, place + 1) for place in range(ASK_AT, LENGTH_ROW - 1)]

    def _span(self, begin: int, end: int) -> tuple[Ints, Ints]:
        """Return the places [begin, end) of all rows, and the rows; the positions of a call must never decrease."""
        return np.repeat(np.arange(begin, end), self._count), np.tile(np.arange(self._count), end - begin)

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
        digest = hashlib.blake2b(digest_size=16)
        for state in [*written, (header, rows)]:
            digest.update(_text(*state))
        return Answer(
            decision=decode_answer(places, offloaded, self._server_hz),
            prompt_digest=digest.hexdigest(),
            num_prompt_token=len(written) * per_case + LENGTH_HEADER + self._count * ANSWER_AT[0],
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

    def _write_all(self, cases: Sequence[Case]) -> list[tuple[Ints, Ints]]:
        """Return cases as tokens; those of the last prompt are not written again."""
        known = self._written
        self._written = {id(case): known.get(id(case)) or (case, self._write(case)) for case in cases}
        return [self._written[id(case)][1] for case in cases]

    def _write(self, case: Case) -> tuple[Ints, Ints]:
        """Return header and rows of a case, with its answers."""
        header, rows = encode_state(case.snapshot)
        return header, with_answers(rows, encode_answer(case.decision, self._server_hz))

    def _read_all(self, written: list[tuple[Ints, Ints]]) -> int:
        """Read the cases of a prompt; return how many were in the cache already, because it begins with the same."""
        texts = [_text(*state) for state in written]
        same = 0
        for old, new in zip(self._read, texts, strict=False):
            if old != new:
                break
            same += 1
        self._session.remove(-1, same * LENGTH_CASE, -1)
        del self._read[same:]
        for state in written[same:]:
            self._read_case(*state)
        return same

    def _read_case(self, header: Ints, rows: Ints) -> None:
        """Read one case into the cache; keep of it what later ones may see."""
        session = self._session
        first = len(self._read) * LENGTH_CASE
        # If this fails, what it has left in the cache goes when the next prompt is read.
        self._read_state(header, rows, first)
        places, own = self._answers
        positions = first + LENGTH_HEADER + places
        session.decode(rows[own, places], positions, own, np.zeros(len(own), dtype=np.bool_), self._count)
        session.remove(-1, first, first + LENGTH_HEADER + ANSWER_AT[0])
        self._share(first + LENGTH_HEADER + ANSWER_AT[0], first + LENGTH_CASE)
        self._read.append(_text(header, rows))

    def _read_state(self, header: Ints, rows: Ints, first: int) -> None:
        """Read a state at a position, and let all rows see all sums."""
        places, own = self._states
        tokens = np.concatenate([header, rows[own, places]])
        positions = first + np.concatenate([self._header_at, LENGTH_HEADER + places])
        sequences = np.concatenate([self._everyone, own])
        self._session.decode(tokens, positions, sequences, np.zeros(len(tokens), dtype=np.bool_), self._count)
        self._share(first + LENGTH_HEADER + SUM_AT, first + LENGTH_HEADER + SUM_AT + 1)

    def _share(self, begin: int, end: int) -> None:
        """Let all rows see what each has at positions [begin, end)."""
        everyone = range(self._count)
        for row in everyone:
            self._session.share(row, everyone, begin, end)

    def _ask(self, header: Ints, rows: Ints) -> tuple[Logits, Ints]:
        """Return the logits of the answers, [N, K, NUM_ANSWER], and the answers that went on to the next class."""
        session, count = self._session, self._count
        first = len(self._read) * LENGTH_CASE
        found = np.empty((count, NUM_CLASS, NUM_ANSWER), dtype=np.float32)
        answers = np.zeros((count, NUM_CLASS), dtype=np.int64)
        try:
            self._read_state(header, rows, first)
            for index, (places, own) in enumerate(self._asked):
                tokens = with_answers(rows, answers)[own, places]
                positions = first + LENGTH_HEADER + places
                logits = session.decode(tokens, positions, own, np.ones(count, dtype=np.bool_), count)
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


def _text(header: Ints, rows: Ints) -> bytes:
    """Return what tells one state from another."""
    return bytes(header.tobytes() + rows.tobytes())


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
