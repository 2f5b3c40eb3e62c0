"""The bundled model's language: one token per number, and a case as a header and a row per vehicle.

A header is ``N s_1 .. s_K D_1 .. D_K r`` and then ``e p_1 .. p_K``: the number of vehicles, the worth of draining each
queue, the size of all tasks of each class, and the mean rate; then the price of capacity above the best of these
worths, and above the worth of each class.

A row is ``id r D_1 .. D_K a_1 .. a_K``: vehicle, rate, and per class the size of the task and the answer, which is
local or a share of the server. The answer is predicted at the place of the size. At a given price tasks are
independent, so no answer has to wait for another one.

Numbers are without unit and logarithmically binned. Sizes are in mean tasks of their class. A rate is the upload time
of a mean task, in slots. Worths and prices are those of the whole server for a slot, in parts of the QoS that one task
can earn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.model import rate
from policies.optimal.tasks import read_tasks
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

if TYPE_CHECKING:
    from policies.cases.case import Case

Ints = NDArray[np.integer[Any]]

NUM_CLASS = 3
"""Number of task classes for which the language has words."""
MAX_VEHICLE = 60
NUM_SPECIAL = 3
NUM_TEXT = NUM_SPECIAL + 256
"""Tokens of the tokenizer before the words: special ones and bytes."""


@dataclass(frozen=True)
class Scale:
    """Logarithmic bins; `low` is the centre of the first one, `high` that of the last.

    >>> scale = Scale(1.0, 100.0, 3)
    >>> scale.bin(np.array([0.1, 9.0, 11.0, 1e9])).tolist(), scale.centre(np.array([1])).tolist()
    ([0, 1, 1, 2], [10.0])
    """

    low: float
    high: float
    count: int

    @cached_property
    def step(self) -> float:
        """Distance of two neighbouring centres, as a logarithm."""
        return float(np.log(self.high / self.low)) / (self.count - 1)

    def bin(self, values: Floats) -> Ints:
        """Return the nearest bins; values beyond the ends belong to the first and last one."""
        with np.errstate(divide="ignore"):
            place = np.log(np.asarray(values, dtype=np.float64) / self.low) / self.step
        return np.clip(np.round(place), 0, self.count - 1).astype(np.int64)

    def centre(self, bins: Ints | Floats) -> Floats:
        """Return the centres of bins, which may lie between two."""
        centres: Floats = self.low * np.exp(self.step * np.asarray(bins, dtype=np.float64))
        return centres


SIZE = Scale(0.15, 6.0, 128)
TOTAL = Scale(0.25, 4.0, 64)
WORTH = Scale(0.05, 120.0, 127)
UPLOAD = Scale(1e-4, 60.0, 206)
SHARE = Scale(0.006, 0.9, 127)
PRICE = Scale(0.05, 120.0, 191)

NUM_ANSWER = 1 + SHARE.count
"""Answers: local, or a share."""


@dataclass(frozen=True)
class Words:
    """Consecutive tokens: `count` of them from `first` on; `name` begins their texts."""

    name: str
    first: int
    count: int


def _lay_out() -> dict[str, Words]:
    """Assign own tokens to every field of every class."""
    counts = {"n": MAX_VEHICLE + 1, "v": MAX_VEHICLE, "r": UPLOAD.count, "m": UPLOAD.count, "e": 1 + PRICE.count}
    for index in range(1, NUM_CLASS + 1):
        counts |= {f"s{index}": 1 + WORTH.count, f"p{index}": 1 + PRICE.count, f"t{index}": TOTAL.count}
        counts |= {f"d{index}": SIZE.count, f"a{index}": NUM_ANSWER}
    words, first = {}, NUM_TEXT
    for name, count in counts.items():
        words[name] = Words(name, first, count)
        first += count
    return words


WORDS = _lay_out()
NUM_TOKEN = -(-(NUM_TEXT + sum(words.count for words in WORDS.values())) // 32) * 32
"""Size of the vocabulary, rounded up to whole blocks of quantisation."""
LENGTH_STATE = 2 + 2 * NUM_CLASS
"""Number of words of a header before the price; the first word of the price is predicted at the last of them."""
LENGTH_HEADER = LENGTH_STATE + 1 + NUM_CLASS
LENGTH_ROW = 2 + 2 * NUM_CLASS
LENGTH_CASE = LENGTH_HEADER + LENGTH_ROW
"""Positions that a case takes, whatever the number of vehicles."""
SIZE_AT = tuple(range(2, 2 + NUM_CLASS))
"""Places of sizes in a row, at which answers are predicted."""
ANSWER_AT = tuple(range(2 + NUM_CLASS, LENGTH_ROW))
"""Places of answers in a row."""
ANSWER_FIRST = tuple(WORDS[f"a{index}"].first for index in range(1, NUM_CLASS + 1))
PRICE_FIRST = tuple(WORDS[name].first for name in ("e", *(f"p{index}" for index in range(1, NUM_CLASS + 1))))
"""The words for unknown prices; the words for prices follow."""


def token_texts() -> list[str]:
    """Return the texts of the words, from token `NUM_TEXT` on.

    >>> token_texts()[:2]
    ['<n0>', '<n1>']
    """
    texts = [
        f"<{words.name}{'.' if words.name[-1].isdigit() else ''}{i}>"
        for words in WORDS.values()
        for i in range(words.count)
    ]
    return texts + [f"<pad{i}>" for i in range(NUM_TOKEN - NUM_TEXT - len(texts))]


def worth_of_draining(snapshot: TwinSnapshot) -> Floats:
    """Return the gain in P2 if the whole server drained each queue for a slot, [K], in QoS of a task."""
    tasks = read_tasks(snapshot)
    drain_per_hz = tasks.drain_per_hz.reshape(snapshot.size_bytes.shape)
    worth: Floats = drain_per_hz.max(axis=0) * snapshot.system.server.frequency_hz * tasks.num_task
    return worth


def encode_worth(worth: Floats) -> Ints:
    """Return the words of worths [..., K]."""
    first = np.array([WORDS[f"s{k + 1}"].first for k in range(NUM_CLASS)])
    return first + np.where(worth > 0, 1 + WORTH.bin(worth), 0)


def upload_slots(snapshot: TwinSnapshot) -> Floats:
    """Return the upload time of a mean task from each vehicle, [N], slots."""
    system = snapshot.system
    rate_bps = np.maximum(snapshot.uplink_rate_bps, 1.0)
    upload: Floats = rate.upload_delay_s(float(system.size_bytes_mean.mean()), rate_bps) / system.slot_duration_s
    return upload


def encode_state(snapshot: TwinSnapshot) -> tuple[Ints, Ints]:
    """Return the header without a price, [LENGTH_STATE], and the rows, [N, LENGTH_ROW], with all answers local."""
    system = snapshot.system
    count = system.num_vehicle
    sizes = snapshot.size_bytes / system.size_bytes_mean
    upload = upload_slots(snapshot)
    totals = TOTAL.bin(np.maximum(sizes.mean(axis=0), 1e-9))
    mean_upload = np.exp(np.log(np.clip(upload, UPLOAD.low, UPLOAD.high)).mean())
    header = [
        WORDS["n"].first + count,
        *encode_worth(worth_of_draining(snapshot)).tolist(),
        *(WORDS[f"t{k + 1}"].first + int(totals[k]) for k in range(NUM_CLASS)),
        WORDS["m"].first + int(UPLOAD.bin(mean_upload)),
    ]
    rows = np.zeros((count, LENGTH_ROW), dtype=np.int64)
    rows[:, 0] = WORDS["v"].first + np.arange(count)
    rows[:, 1] = WORDS["r"].first + UPLOAD.bin(upload)
    size_bins = SIZE.bin(np.maximum(sizes, 1e-9))
    for k in range(NUM_CLASS):
        rows[:, SIZE_AT[k]] = WORDS[f"d{k + 1}"].first + size_bins[:, k]
        rows[:, ANSWER_AT[k]] = ANSWER_FIRST[k]
    return np.array(header, dtype=np.int64), rows


def encode_price(price: Floats | float, worth: Floats) -> Ints:
    """Return the words of a price, [..., 1 + K]; NaN is an unknown price.

    price : [...], of the whole server for a slot, in QoS of a task; at least the largest worth
    worth : [..., K], see `worth_of_draining`
    """
    price = np.asarray(price, dtype=np.float64)[..., np.newaxis]
    above = price - np.concatenate([worth.max(axis=-1, keepdims=True), worth], axis=-1)
    bins = np.where(np.isnan(above), 0, 1 + PRICE.bin(np.maximum(np.nan_to_num(above), PRICE.low)))
    return np.array(PRICE_FIRST) + bins


def encode_answer(decision: Decision, server_hz: float) -> Ints:
    """Return the answers of a decision, [N, K]: 0 is local, 1 + bin a share; a part offloaded counts as all.

    server_hz : Hz, capacity whose parts the shares are
    """
    share = decision.compute_allocation_hz / server_hz
    offloaded = (decision.offloading_ratio >= 0.5) & (share > 0)
    return np.where(offloaded, 1 + SHARE.bin(np.maximum(share, 1e-12)), 0)


def with_answers(rows: Ints, answers: Ints) -> Ints:
    """Return rows [..., N, LENGTH_ROW] with these answers [..., N, K]."""
    filled = rows.copy()
    filled[..., list(ANSWER_AT)] = np.array(ANSWER_FIRST) + answers
    return filled


def encode_case(case: Case) -> tuple[Ints, Ints]:
    """Return the whole header of a case, [LENGTH_HEADER], and its rows with their answers, [N, LENGTH_ROW]."""
    state, rows = encode_state(case.snapshot)
    answers = encode_answer(case.decision, case.snapshot.system.server.frequency_hz)
    price = encode_price(case.capacity_price * answers.size, worth_of_draining(case.snapshot))
    return np.concatenate([state, price]), with_answers(rows, answers)
