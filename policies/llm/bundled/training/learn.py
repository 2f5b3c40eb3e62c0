"""The training loop: batches of environments, labels with the costs of errors, and the optimiser Muon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from physical.arrays import Floats, Mask
from policies.llm.bundled.training.dataset import Solved
from policies.llm.bundled.training.labels import Terms, best_shares, elsewhere
from policies.llm.bundled.training.network import AttentionPlan, Network, Shape
from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_HEADER,
    LENGTH_ROW,
    LENGTH_STATE,
    MAX_VEHICLE,
    NUM_ANSWER,
    NUM_CLASS,
    PRICE,
    SHARE,
    SIZE_AT,
    WORDS,
    encode_price,
    encode_worth,
    with_answers,
)

Progress = Callable[[int, float], None]
"""Called with the number of steps done, and the mean cost above the best answers since the last report."""

_CLIP = 6.0
_FLOOR = 1e-6
_JITTER = 1.5
_HESITATION = 0.06
_NOISY = 0.3
_ELSEWHERE = 0.5
_PRICE_JITTER = 0.4
_OTHER_WORTH = 0.4
_NEAR = 2.0
_SECRET = 0.08
_SMOOTH = 3.0
_WEIGHT_OF_PRICE = 0.1


@dataclass(frozen=True)
class LearnArguments:
    """Arguments of the training.

    Parameters
    ----------
    steps : updates
    tokens : approximate number per update
    learning_rate : of the matrices (Muon), falling to 0; that of the embeddings (AdamW) is half of it
    warm_up : number of steps
    num_case : cases of a prompt, the query not included
    short : first part of the steps, which have half as many cases
    polish : last part of the steps, in which only answers after at least `late` cases count
    late : number of cases
    softness : first and last temperature of the labels, in parts of the QoS that one task can earn
    regret : final weight of the expected cost besides the labels' cross-entropy; it grows with the square of the steps
    seed : of weights and batches
    threads : of torch; sums round differently with another number of threads
    """

    steps: int = 16_000
    tokens: int = 4000
    learning_rate: float = 6e-3
    warm_up: int = 50
    num_case: int = 8
    short: float = 0.15
    polish: float = 0.3
    late: int = 4
    softness: tuple[float, float] = (0.1, 0.01)
    regret: float = 20.0
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of one shape.

    Parameters
    ----------
    tokens : [B, T]
    terms : costs of the answers at the shown price, fields [B, C, N, K]
    price : [B, C], place on the scale of the slot's best price above the best worth; NaN if another price is shown
    """

    tokens: Tensor
    terms: tuple[Tensor, ...]
    price: Tensor
    num_case: int
    num_vehicle: int


def draw_batch(solved: dict[int, Solved], num_case: int, num_token: int, rng: np.random.Generator) -> PromptBatch:
    """Return environments of one size with some of their slots, in a random order and with random names of vehicles.

    In some prompts, shares are a few bins off and some tasks are not in their cheapest place, as when a model reads its
    own decisions. Some slots show another price than their best one, and other backlogs, with the best answers for
    these. So the words for prices and worths get a meaning that does not depend on the rest of the header. Some prompts
    have cases without a price.
    """
    counts = list(solved)
    weight = np.array([len(solved[count]) for count in counts], dtype=float)
    count = counts[int(rng.choice(len(counts), p=weight / weight.sum()))]
    part = solved[count]
    size = max(1, round(num_token / (num_case * (LENGTH_HEADER + count * LENGTH_ROW))))
    index = rng.integers(0, len(part), size)
    slots = np.argsort(rng.random((size, part.header.shape[1])), axis=1)[:, :num_case]
    pick = (index[:, None], slots)
    rows = part.rows[pick].astype(np.int64)
    names = WORDS["v"].first + np.argsort(rng.random((size, MAX_VEHICLE)), axis=1)[:, :count]
    rows[..., 0] = names[:, None, :]
    terms = Terms(*(values[pick] for values in part.terms))
    price, worth = (values[pick].astype(np.float64) for values in (part.price, part.worth))
    terms, price, worth, is_other = _elsewhere(terms, price, worth, rng)
    answers = rows[..., list(ANSWER_AT)] - np.array(ANSWER_FIRST)
    is_noisy = rng.random(size) < _NOISY
    hesitation = rng.normal(0.0, _HESITATION, answers.shape) * is_noisy[:, None, None, None]
    best = best_shares(terms._replace(idle=terms.idle + hesitation))
    answers = np.where(is_other[..., None, None], np.where(best > 0, 1 + SHARE.bin(np.maximum(best, 1e-9)), 0), answers)
    shift = np.round(rng.normal(0.0, _JITTER, answers.shape)).astype(np.int64)
    shift[~is_noisy] = 0
    jittered = np.where(answers > 0, np.clip(answers + shift, 1, NUM_ANSWER - 1), 0)
    is_secret = (rng.random((size, 1)) < _SECRET) & (rng.random((size, num_case)) < 0.7)
    is_secret[:, -1] = False
    state = part.header[pick].astype(np.int64)
    state[..., 1 : 1 + NUM_CLASS] = encode_worth(worth)
    words = encode_price(np.where(is_secret & ~is_other, np.nan, price), worth)
    read = with_answers(rows, jittered).reshape(size, num_case, -1)
    tokens = np.concatenate([state, words, read], axis=-1).reshape(size, -1)
    above = np.maximum(price - worth.max(axis=-1), PRICE.low)
    place = np.where(is_other, np.nan, np.log(above / PRICE.low) / PRICE.step).astype(np.float32)
    costs = tuple(torch.from_numpy(values.astype(np.float32)) for values in terms)
    return PromptBatch(torch.from_numpy(tokens), costs, torch.from_numpy(place), num_case, count)


def _elsewhere(
    terms: Terms, price: Floats, worth: Floats, rng: np.random.Generator
) -> tuple[Terms, Floats, Floats, Mask]:
    """Return costs, prices and worths to show, and whether they differ from those of the slots.

    A price is multiplied by a random factor. A worth is drawn anywhere below the price, often close to it, because
    queues keep the price close to their worth.

    price : [B, C]
    worth : [B, C, K]
    """
    is_other = rng.random(price.shape) < _ELSEWHERE
    moved = np.maximum(price * np.exp(rng.normal(0.0, _PRICE_JITTER, price.shape)), worth.max(axis=-1))
    near = np.where(
        rng.random(worth.shape) < 0.5, 10.0 ** -rng.uniform(0.0, _NEAR, worth.shape), rng.random(worth.shape)
    )
    drawn = moved[..., None] * (1.0 - near)
    other = np.where(rng.random(worth.shape) < _OTHER_WORTH, drawn, worth)
    shown = np.where(is_other, moved, price)
    counted = np.where(is_other[..., None], other, worth)
    change = elsewhere(terms, (shown - price)[..., None, None], (counted - worth)[..., None, :])
    return change, shown, counted, is_other


@cache
def places_of_answers(num_case: int, num_vehicle: int) -> Tensor:
    """Return the places at which answers are predicted, [C N K] of T."""
    row = torch.arange(num_vehicle)[:, None] * LENGTH_ROW + torch.tensor(SIZE_AT)
    case = torch.arange(num_case)[:, None] * (LENGTH_HEADER + num_vehicle * LENGTH_ROW)
    return (case + LENGTH_HEADER + row.reshape(-1)).reshape(-1)


@cache
def plan_of(num_case: int, num_vehicle: int, shape: Shape) -> AttentionPlan:
    """Return masks and positions, which are made once, in the half precision of the training."""
    return AttentionPlan(num_case, num_vehicle, shape, torch.bfloat16)


@cache
def places_of_prices(num_case: int, num_vehicle: int) -> Tensor:
    """Return the places at which prices are predicted, before their words in headers, [C] of T."""
    return torch.arange(num_case) * (LENGTH_HEADER + num_vehicle * LENGTH_ROW) + LENGTH_STATE - 1


def costs_of_answers(terms: tuple[Tensor, ...]) -> Tensor:
    """Return the cost of every answer above the best one, [..., NUM_ANSWER], clipped."""
    named = Terms(*(values[..., None] for values in terms))
    share = torch.from_numpy(SHARE.centre(np.arange(SHARE.count))).to(torch.float32)
    speed = share + named.bias
    positive = speed.clamp(min=_FLOOR)
    shares = named.base + named.reciprocal / positive + named.slope * speed
    shares = shares + named.miss * (speed < named.enough) + 1e3 * (speed < _FLOOR)
    cost = torch.cat([named.idle, shares], -1)
    return (cost - cost.amin(-1, keepdim=True)).clamp(max=_CLIP)


def loss_of(logits: Tensor, cost: Tensor, softness: float, weight: float) -> tuple[Tensor, Tensor]:
    """Return the loss, and the expected cost above the best answers; both means.

    logits, cost : [..., NUM_ANSWER]
    softness : temperature of the labels ``softmax(-cost / softness)``
    weight : of the expected cost in the loss
    """
    log_p = F.log_softmax(logits.float(), -1)
    label = torch.softmax(-cost / softness, -1)
    divergence = (torch.special.xlogy(label, label) - label * log_p).sum(-1).mean()
    expected = (log_p.exp() * cost).sum(-1).mean()
    return divergence + weight * expected, expected


def loss_of_prices(logits: Tensor, place: Tensor) -> Tensor:
    """Return the mean cross-entropy with labels that are a few bins wide.

    logits : [B, C, PRICE.count]
    place : [B, C], NaN where there is nothing to learn
    """
    known = ~place.isnan()
    distance = (torch.arange(PRICE.count) - place[known][:, None]) / _SMOOTH
    label = torch.softmax(-0.5 * distance**2, -1)
    return -(label * F.log_softmax(logits[known].float(), -1)).sum(-1).sum() / max(int(known.sum()), 1)


class Learning:
    """The state of a training.

    Parameters
    ----------
    arguments : of the training
    shape : of the network
    """

    def __init__(self, arguments: LearnArguments, shape: Shape) -> None:
        self.arguments = arguments
        self.network = Network(shape, arguments.seed)
        matrices = [p for name, p in self.network.named_parameters() if p.ndim == 2 and "embd" not in name]
        others = [p for name, p in self.network.named_parameters() if p.ndim != 2 or "embd" in name]
        rate = arguments.learning_rate
        self.muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(others, lr=0.5 * rate, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, step: int, solved: dict[int, Solved]) -> float:
        """Make one update; return the expected cost above the best answers. Random numbers depend on the step only."""
        arguments, done = self.arguments, step / self.arguments.steps
        rng = np.random.default_rng((arguments.seed, step))
        num_case = arguments.num_case // 2 if done < arguments.short else arguments.num_case
        batch = draw_batch(solved, num_case + 1, arguments.tokens, rng)
        factor = min((step + 1) / arguments.warm_up, 1.0) * (1.0 - done)
        for optimizer, rate in ((self.muon, 1.0), (self.adam, 0.5)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor * arguments.learning_rate
        first, last = arguments.softness
        softness = first * (last / first) ** min(2.0 * done, 1.0)
        late = min(arguments.late, num_case) if done >= 1.0 - arguments.polish else 0
        logits, prices = self.logits(batch)
        costs = costs_of_answers(batch.terms)[:, late:]
        loss, expected = loss_of(logits[:, late:], costs, softness, arguments.regret * done**2)
        loss = loss + _WEIGHT_OF_PRICE * loss_of_prices(prices, batch.price)
        for optimizer in (self.muon, self.adam):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in (self.muon, self.adam):
            optimizer.step()  # type: ignore[no-untyped-call]  # torch's own
        return float(expected.detach())

    def logits(self, batch: PromptBatch) -> tuple[Tensor, Tensor]:
        """Return the logits of all answers, [B, C, N, K, NUM_ANSWER], and of the prices, [B, C, PRICE.count]."""
        shape = (batch.num_case, batch.num_vehicle)
        places = torch.cat([places_of_answers(*shape), places_of_prices(*shape)])
        with torch.autocast("cpu", torch.bfloat16):
            stream = self.network(batch.tokens, plan_of(*shape, self.network.shape), places)
            answers = stream[:, : -batch.num_case].unflatten(1, (*shape, NUM_CLASS))
            return self.network.answers(answers), self.network.prices(stream[:, -batch.num_case :])
