"""Lets any text model in a GGUF file write action matrices: token by token under a grammar, or all rows at once."""

from __future__ import annotations

import ctypes
import hashlib
import time
from pathlib import Path

import llama_cpp
import numpy as np

from physical.errors import InputError
from policies.llm.errors import ContextOverflowError, MalformedAnswerError
from policies.llm.llama import Ints
from policies.llm.session import LlamaSession, Logits
from policies.llm.text import matrix
from policies.llm.text.completion import Completion, Method, Question
from policies.llm.text.grammar import Grammar
from policies.llm.text.numbers import Numbers
from policies.llm.text.prompt import Template, instruct

_CHUNK = 128
"""Tokens of a prompt that are read in one call."""
_FIRST_CONTEXT = 512
_MAX_ROWS = 64
"""Rows that are answered at once."""


class TextModel:
    """A text model with the cache of its last prompt.

    The common part of a prompt and the last one is not read again. Still, an answer does not depend on earlier
    questions, because prompts are cut at the same places, and only whole pieces are reused.

    Parameters
    ----------
    path : GGUF file
    method : how answers are made
    num_thread : threads
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : llama.cpp cannot read the model (see `LlamaSession`), or "batch" cannot be used with its tokens
    """

    def __init__(self, path: Path, method: Method = "text", *, num_thread: int = 1, num_gpu_layer: int = 0) -> None:
        self._session = LlamaSession(
            path,
            num_context=_FIRST_CONTEXT,
            num_batch=_CHUNK,
            num_thread=num_thread,
            num_gpu_layer=num_gpu_layer,
        )
        try:
            self._template = _template(self._session)
            self._first = _first_token(self._session)
            self._numbers = _numbers(self._session, path) if method == "batch" else None
            self._forget()
            self._probe()
        except BaseException:
            self._session.close()
            raise

    def complete(self, question: Question, deadline_s: float | None = None) -> Completion:
        """Return an action matrix, [num_vehicle, num_column], as text.

        deadline_s : s, time for it; None: no limit

        Raises
        ------
        ContextOverflowError : prompt and answer are longer than what the model was trained on
        DeadlineExceededError : the answer takes longer than the deadline
        MalformedAnswerError : the text did not end
        """
        begin = time.perf_counter()
        num_vehicle, num_column = question.num_vehicle, question.num_column
        first, tokens, parts = self._prepared(question)
        if deadline_s is not None:
            deadline_s = max(deadline_s - (time.perf_counter() - begin), 0.0)
        self._session.until(deadline_s)
        try:
            logits, num_reused = self._read(tokens, first.size)
            read = time.perf_counter()
            if self._numbers is None:
                text, num_answer = self._write(tokens.size, logits, num_vehicle, num_column)
            else:
                text, num_answer = self._write_rows(tokens.size, parts, num_column, self._numbers)
        finally:
            self._session.until(None)
        return Completion(
            text=text,
            num_prompt_token=tokens.size + sum(part.size for part in parts),
            num_reused_token=num_reused,
            num_answer_token=num_answer,
            prefill_s=read - begin,
            decode_s=time.perf_counter() - read,
            prompt_digest=_digest(tokens, *parts),
        )

    def reserve(self, question: Question) -> None:
        """Make room for prompts of this length.

        Raises
        ------
        ContextOverflowError : they are longer than what the model was trained on
        """
        self._prepared(question)

    def read(self, question: Question) -> None:
        """Read a prompt, so that a later prompt with the same begin is read faster.

        Raises
        ------
        ContextOverflowError : it is longer than what the model was trained on
        """
        first, tokens, _ = self._prepared(question)
        self._session.until(None)
        self._read(tokens, first.size)

    def close(self) -> None:
        """Free the model."""
        self._session.close()

    def _probe(self) -> None:
        """Decode one token, so that a model that crashes llama.cpp does it here, before it is used."""
        one = np.zeros(1, dtype=np.int32)
        self._session.decode(one, one, one, np.ones(1, dtype=np.bool_))
        self._forget()

    def _forget(self) -> None:
        self._session.clear()
        self._tokens = np.zeros(0, dtype=np.int32)
        self._pieces: list[tuple[int, int]] = []

    def _prepared(self, question: Question) -> tuple[Ints, Ints, list[Ints]]:
        """Return the tokens of the prefix, of the whole prompt, and of the begins of rows; make room for them."""
        head, tail = instruct(question.prefix, question.query, self._template)
        first = np.concatenate([self._first, self._session.model.tokenize(head)])
        tokens = np.concatenate([first, _after_line(self._session, tail)])
        parts = [_after_line(self._session, row) for row in question.rows]
        self._make_room(tokens.size, parts, question.num_vehicle, question.num_column)
        return first, tokens, parts

    def _make_room(self, num_prompt: int, parts: list[Ints], num_vehicle: int, num_column: int) -> None:
        """Make sure that the context can hold prompt and answer."""
        numbers = self._numbers
        if numbers is None:
            need, num_sequence = num_prompt + matrix.num_character(num_vehicle, num_column), 1
        else:
            longest = sorted((part.size for part in parts), reverse=True)[:_MAX_ROWS]
            need = num_prompt + sum(longest) + len(longest) * num_column * numbers.length
            num_sequence = len(longest)
        session = self._session
        most = session.model.num_context_trained
        if need > most:
            raise ContextOverflowError(f"prompt and answer need {need} tokens, the model's context has {most}")
        if session.has_context and need <= session.num_context and num_sequence <= session.num_sequence:
            return
        # The context is larger than needed, because a new one loses the cache and the next prompt may be a bit longer.
        size = min(need + need // 4, most) if need > session.num_context else session.num_context
        try:
            session.open(size, max(num_sequence, session.num_sequence))
        except InputError as error:
            raise ContextOverflowError(f"{need} tokens needed: {error.problem}") from None
        self._forget()

    def _read(self, tokens: Ints, num_first: int) -> tuple[Logits, int]:
        """Put a prompt into sequence 0; return the logits after it, and the number of tokens that were there already.

        num_first : tokens of the prefix, which is cut separately
        """
        session = self._session
        pieces = _cut(0, num_first) + _cut(num_first, tokens.size)
        same = 0
        # The last piece is always read, because the logits after it are needed.
        while same < min(len(pieces) - 1, len(self._pieces)) and pieces[same] == self._pieces[same]:
            begin, end = pieces[same]
            if not np.array_equal(tokens[begin:end], self._tokens[begin:end]):
                break
            same += 1
        num_reused = pieces[same][0]
        session.remove(-1, num_reused)
        self._tokens, self._pieces = tokens, pieces[:same]
        logits: Logits = np.empty((0, session.model.num_token), dtype=np.float32)
        for begin, end in pieces[same:]:
            positions = np.arange(begin, end, dtype=np.int32)
            logits = session.decode(
                tokens[begin:end], positions, np.zeros_like(positions), positions == tokens.size - 1
            )
            # A deadline may end the next call. The pieces that were read before can be used by the next prompt.
            self._pieces.append((begin, end))
        return logits[0], num_reused

    def _write(self, position: int, logits: Logits, num_vehicle: int, num_column: int) -> tuple[str, int]:
        """Write the matrix token by token; return it and the number of its tokens."""
        budget = matrix.num_character(num_vehicle, num_column)
        session, text = self._session, ""
        grammar = Grammar(session, matrix.grammar(num_vehicle, num_column))
        try:
            for count in range(1, budget + 1):
                token = grammar.choose(logits)
                if llama_cpp.llama_vocab_is_eog(session.model.vocab, token):
                    return text, count
                text += session.model.text([token])
                if text.endswith("]]"):
                    return text, count
                one = np.array([token], dtype=np.int32)
                at = np.array([position + count - 1], dtype=np.int32)
                logits = session.decode(one, at, np.zeros_like(one), np.ones(1, dtype=np.bool_))[0]
        finally:
            grammar.close()
        raise MalformedAnswerError(f"the answer has no end after {budget} tokens: {text[:20]!r}...")

    def _write_rows(self, position: int, parts: list[Ints], num_column: int, numbers: Numbers) -> tuple[str, int]:
        """Write all rows at once, each after its own begin; return the matrix and the number of tokens."""
        rows: list[str] = []
        for begin in range(0, len(parts), _MAX_ROWS):
            group = parts[begin : begin + _MAX_ROWS]
            self._session.remove(-1, position)
            self._session.share(0, range(len(group)), 0, position)
            values = RowWriter(self._session, position, numbers).write(group, num_column)
            rows += [matrix.row_text(row / matrix.STEPS) for row in values]
        return matrix.join(rows), len(parts) * num_column * numbers.length


class RowWriter:
    """Rows of numbers, with one sequence each; every call appends to all rows.

    Parameters
    ----------
    session : session that has the prompt in sequences 0 .. R - 1
    position : end of the prompt
    numbers : the tokens of numbers
    """

    def __init__(self, session: LlamaSession, position: int, numbers: Numbers) -> None:
        self._session = session
        self._position = position
        self._numbers = numbers

    def write(self, parts: list[Ints], num_column: int) -> Ints:
        """Return the numbers that follow the rows' beginnings, in steps of 1/1000, [R, num_column].

        At first, each number is assumed to begin with "0.". Where "1" was likelier, these tokens are removed and 1.000
        is written, while the other rows continue.
        """
        numbers = self._numbers
        self._ends = [self._position] * len(parts)
        values = np.zeros((len(parts), num_column), dtype=np.int32)
        appended: list[Ints] = parts
        for column in range(num_column):
            feed = [np.concatenate([row, numbers.zero]) for row in appended]
            lead = [row.size - 1 for row in appended]
            logits = self._append(feed, [[at, row.size - 1] for at, row in zip(lead, feed, strict=True)])
            is_one = logits[:, 0, numbers.zero[0]] < logits[:, 0, numbers.one[0]]
            for row in np.flatnonzero(is_one):
                self._ends[row] -= numbers.zero.size
                self._session.remove(int(row), self._ends[row])
            digits = np.zeros((len(parts), numbers.num_step), dtype=np.int32)
            begin = [numbers.one if one else numbers.zero[:0] for one in is_one]
            for step in range(numbers.num_step):
                chosen = logits[:, -1, numbers.tokens].argmax(axis=-1)
                digits[:, step] = np.where(is_one, 0, chosen)
                if step < numbers.num_step - 1:
                    feed = [np.append(begin[row], numbers.tokens[digit]) for row, digit in enumerate(digits[:, step])]
                    logits = self._append(feed, [[row.size - 1] for row in feed])
                    begin = [numbers.zero[:0]] * len(parts)
            values[:, column] = np.where(is_one, matrix.STEPS, numbers.value(digits))
            appended = [
                np.concatenate([begin[row], numbers.tokens[[digit]], numbers.between])
                for row, digit in enumerate(digits[:, -1])
            ]
        return values

    def _append(self, feed: list[Ints], wanted: list[list[int]]) -> Logits:
        """Append tokens to each row; return the logits at the wanted places of each, [R, wanted, num_token]."""
        tokens = np.concatenate(feed)
        sequences = np.repeat(np.arange(len(feed), dtype=np.int32), [row.size for row in feed])
        positions = np.concatenate(
            [np.arange(end, end + row.size, dtype=np.int32) for end, row in zip(self._ends, feed, strict=True)]
        )
        outputs = np.zeros(tokens.size, dtype=np.bool_)
        begin = 0
        for row, places in zip(feed, wanted, strict=True):
            outputs[[begin + place for place in places]] = True
            begin += row.size
        logits = [
            self._session.decode(tokens[a:b], positions[a:b], sequences[a:b], outputs[a:b])
            for a, b in _cut(0, tokens.size)
        ]
        self._ends = [end + row.size for end, row in zip(self._ends, feed, strict=True)]
        return np.concatenate(logits).reshape(len(feed), len(wanted[0]), -1)


def _cut(begin: int, end: int) -> list[tuple[int, int]]:
    """Return the pieces of [begin, end) that are read in one call each."""
    return [(at, min(at + _CHUNK, end)) for at in range(begin, end, _CHUNK)]


def _after_line(session: LlamaSession, text: str) -> Ints:
    """Return the tokens of a text after the end of a line, because some tokenizers put a space before a text."""
    line = session.model.tokenize("\n")
    tokens = session.model.tokenize(f"\n{text}")
    return tokens[line.size :] if np.array_equal(tokens[: line.size], line) else session.model.tokenize(text)


def _numbers(session: LlamaSession, path: Path) -> Numbers:
    """Return the tokens of a model's numbers."""
    numbers = Numbers.of(lambda text: _after_line(session, text))
    if numbers is None:
        accepted = "engine=text, which works with any tokenizer"
        raise InputError(
            "engine=batch: its tokens do not spell 0.123 digit by digit", where=str(path), accepted=accepted
        )
    return numbers


def _first_token(session: LlamaSession) -> Ints:
    """Return the token with which texts of this model begin, if there is one, [0 or 1]."""
    first = (
        [llama_cpp.llama_vocab_bos(session.model.vocab)]
        if llama_cpp.llama_vocab_get_add_bos(session.model.vocab)
        else []
    )
    return np.array(first, dtype=np.int32)


def _template(session: LlamaSession) -> Template:
    """Return the chat format of the model's file; it is plain text if llama.cpp does not know the template."""
    template = llama_cpp.llama_model_chat_template(session.model.pointer, None)
    if not template:
        return Template()
    mark = "The message goes here."
    chat = (llama_cpp.llama_chat_message * 1)(llama_cpp.llama_chat_message(b"user", mark.encode()))
    buffer = ctypes.create_string_buffer(4096)
    size = llama_cpp.llama_chat_apply_template(template, chat, 1, True, buffer, len(buffer))
    text = buffer.raw[: max(size, 0)].decode("utf-8", "replace")
    before, found, after = text.partition(mark)
    return Template(before, after) if found else Template()


def _digest(*tokens: Ints) -> str:
    """Return the SHA-256 of all tokens as little-endian 32-bit integers."""
    return hashlib.sha256(np.concatenate(tokens).astype("<i4").tobytes()).hexdigest()
