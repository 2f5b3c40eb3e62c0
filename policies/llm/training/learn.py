"""The training loop: batches of environments, labels that know what errors cost, Muon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from policies.llm.training.dataset import Solved
from policies.llm.training.labels import Terms
from policies.llm.training.network import Network, Plan, Shape
from policies.llm.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_HEADER,
    LENGTH_ROW,
    MAX_VEHICLE,
    NUM_ANSWER,
    NUM_CLASS,
    SHARE,
    SIZE_AT,
    WORDS,
    with_answers,
)

Progress = Callable[[int, float], None]
"""Is told the number of steps done, and the mean cost above the best answers since the last report."""

_CLIP = 4.0
_FLOOR = 1e-6
_JITTER = 1.5
_JITTERED = 0.3


@dataclass(frozen=True)
class LearnArguments:
    """Arguments of the training.

    Parameters
    ----------
    steps : updates
    tokens : per update, about
    learning_rate : of the matrices (Muon), falling to 0; the embeddings' (AdamW) is a tenth
    warm_up : steps
    num_case : cases of a prompt, the query not included
    short : first part of the steps, with half as many cases
    softness : first and last temperature of the labels, in parts of the QoS that one task can earn
    regret : final weight of the expected cost beside the labels' cross-entropy; it grows linearly
    seed : of weights and batches
    """

    steps: int = 4500
    tokens: int = 4000
    learning_rate: float = 6e-3
    warm_up: int = 50
    num_case: int = 8
    short: float = 0.15
    softness: tuple[float, float] = (0.1, 0.01)
    regret: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Prompts of one shape.

    Parameters
    ----------
    tokens : [B, T]
    terms : what answers cost, fields [B, C, N, K]
    """

    tokens: Tensor
    terms: tuple[Tensor, ...]
    num_case: int
    num_vehicle: int


def draw_batch(solved: dict[int, Solved], num_case: int, num_token: int, rng: np.random.Generator) -> Batch:
    """Return environments of one size with some of their slots, in a random order and with random names of vehicles.

    The shares of some prompts are a few bins off, as those of a model are that reads its own decisions.
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
    shift = np.round(rng.normal(0.0, _JITTER, (size, num_case, count, NUM_CLASS))).astype(np.int64)
    shift[rng.random(size) >= _JITTERED] = 0
    answers = rows[..., list(ANSWER_AT)] - np.array(ANSWER_FIRST)
    jittered = np.where(answers > 0, np.clip(answers + shift, 1, NUM_ANSWER - 1), 0)
    header = part.header[pick].astype(np.int64)
    read = with_answers(rows, jittered).reshape(size, num_case, -1)
    tokens = np.concatenate([header, read], axis=-1).reshape(size, -1)
    terms = tuple(torch.from_numpy(values[pick]) for values in part.terms)
    return Batch(torch.from_numpy(tokens), terms, num_case, count)


@cache
def places_of_answers(num_case: int, num_vehicle: int) -> Tensor:
    """Return where answers are predicted, [C N K] of T."""
    row = torch.arange(num_vehicle)[:, None] * LENGTH_ROW + torch.tensor(SIZE_AT)
    case = torch.arange(num_case)[:, None] * (LENGTH_HEADER + num_vehicle * LENGTH_ROW)
    return (case + LENGTH_HEADER + row.reshape(-1)).reshape(-1)


@cache
def plan_of(num_case: int, num_vehicle: int, shape: Shape) -> Plan:
    """Return masks and positions, made once, in half precision as the training runs."""
    return Plan(num_case, num_vehicle, shape, torch.bfloat16)


def costs_of_answers(terms: tuple[Tensor, ...]) -> Tensor:
    """Return what every answer costs above the best one, [..., NUM_ANSWER], clipped."""
    named = Terms(*(values[..., None] for values in terms))
    share = torch.from_numpy(SHARE.centre(np.arange(SHARE.count))).to(torch.float32)
    speed = share + named.bias
    positive = speed.clamp(min=_FLOOR)
    shares = named.base + named.reciprocal / positive + named.slope * share
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
        """Make one update; return the expected cost above the best answers. What is random follows from the step."""
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
        logits = self.logits(batch)
        loss, expected = loss_of(logits, costs_of_answers(batch.terms), softness, arguments.regret * done)
        for optimizer in (self.muon, self.adam):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in (self.muon, self.adam):
            optimizer.step()  # type: ignore[no-untyped-call]  # torch's own
        return float(expected.detach())

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits of all answers, [B, C, N, K, NUM_ANSWER]."""
        plan = plan_of(batch.num_case, batch.num_vehicle, self.network.shape)
        places = places_of_answers(batch.num_case, batch.num_vehicle)
        with torch.autocast("cpu", torch.bfloat16):
            stream = self.network(batch.tokens, plan, places)
            stream = stream.unflatten(1, (batch.num_case, batch.num_vehicle, NUM_CLASS))
            return self.network.answers(stream)
