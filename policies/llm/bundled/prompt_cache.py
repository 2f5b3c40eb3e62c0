"""The prompt of the bundled model in the cache of llama.cpp: position and sequences of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from policies.llm.bundled.vocabulary import ANSWER_AT, LENGTH_CASE, LENGTH_HEADER, LENGTH_ROW, encode_case
from policies.llm.session import LlamaSession, Logits

if TYPE_CHECKING:
    from policies.cases.case import Case

Ints = NDArray[np.integer[Any]]


class PromptCache:
    """The cases of the last prompt, which stay in the cache until a prompt begins with other ones.

    A case is read in one call: its header belongs to all rows' sequences, and each row to one of its own. Then
    everything but the answers leaves the cache, and all sequences share the answers.

    Parameters
    ----------
    session : whose cache it is
    num_vehicle : rows of a case
    num_sequence : of the session; all of them see the cases
    """

    def __init__(self, session: LlamaSession, num_vehicle: int, num_sequence: int) -> None:
        self._session, self._count, self._num_sequence = session, num_vehicle, num_sequence
        self._read: list[bytes] = []
        self._written: dict[int, tuple[Case, Ints]] = {}

    def write_all(self, cases: Sequence[Case]) -> list[Ints]:
        """Return cases as tokens; those of the last prompt are not written again."""
        known = self._written
        self._written = {id(case): known.get(id(case)) or (case, self._write(case)) for case in cases}
        return [self._written[id(case)][1] for case in cases]

    def _write(self, case: Case) -> Ints:
        """Return a case as tokens: the header, then the rows place by place."""
        header, rows = encode_case(case)
        return np.concatenate([header, rows.T.reshape(-1)])

    def read_all(self, written: list[Ints]) -> int:
        """Read the cases of a prompt; return how many of its first cases were in the cache already."""
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
        """Read one case into the cache; keep the part that later cases may see."""
        first = len(self._read) * LENGTH_CASE
        # If this fails, the next prompt removes the rest of the case from the cache.
        self.decode(tokens, first, (self.shared(0, LENGTH_HEADER, 1), self.rows(LENGTH_ROW, 1)))
        session, begin = self._session, first + LENGTH_HEADER + ANSWER_AT[0]
        session.remove(-1, first, begin)
        everyone = range(self._num_sequence)
        for row in range(self._count):
            session.share(row, everyone, begin, first + LENGTH_CASE)
        self._read.append(tokens.tobytes())

    def shared(self, begin: int, end: int, num_price: int) -> tuple[Ints, Ints, Ints]:
        """Return positions, sequences and their counts of a header's places [begin, end): by place, then price."""
        places = np.repeat(np.arange(begin, end), num_price)
        return places, np.tile(np.arange(num_price) * self._count, end - begin), np.full_like(places, self._count)

    def rows(self, length: int, num_price: int) -> tuple[Ints, Ints, Ints]:
        """Return positions, sequences and their counts of what rows begin with: by place, then price, then row."""
        count = self._count * num_price
        places = LENGTH_HEADER + np.repeat(np.arange(length), count)
        return places, np.tile(np.arange(count), length), np.ones_like(places)

    def decode(
        self, tokens: Ints, first: int, parts: Sequence[tuple[Ints, Ints, Ints]], wanted: Sequence[int] | Ints = ()
    ) -> Logits:
        """Append tokens whose positions, from `first` on, never decrease; return logits at some of them."""
        positions, sequences, counts = (np.concatenate(values) for values in zip(*parts, strict=True))
        outputs = np.zeros(len(tokens), dtype=np.bool_)
        outputs[np.asarray(wanted, dtype=np.int64)] = True
        return self._session.decode(tokens, first + positions, sequences, outputs, counts)
