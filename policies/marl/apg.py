"""`apg`: one actor for any number of vehicles, trained by the analytic policy gradient.

The objective of a slot is a differentiable function of the decision. So the actor can follow its exact gradient, and no
critic has to learn a known function. P2 already contains the drift of the queues, so the horizon is one slot. The actor
maps the set of all tasks to the set of their decisions: if vehicles are exchanged, the decisions are exchanged too.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from policies.marl.acting import LearnedPolicy, decide, network_input
from policies.marl.actions import Output
from policies.marl.features import NUM_FEATURE, NUM_LOCAL_FEATURE, SQUARE_ROOT_RULE
from policies.marl.isolation import num_threads, own_random
from policies.marl.training import Factory, Learner, Progress, Trained, TrainingSession, smooth_cost
from policies.marl.weights import Tensors, WeightsManifest

Tensor = torch.Tensor

_LOGIT_GAIN, _CLAIM_GAIN, _USED_BIAS = 4.0, 2.0, 2.0
_LOGIT_FREE = 4.0
"""Logits of ratios beyond this are pulled back, because there the gradient of a sigmoid is too small to return."""


@dataclass(frozen=True)
class ApgArguments:
    """How `apg` is trained.

    Parameters
    ----------
    steps : updates; each uses one slot of one environment batch
    seed : of the initial weights and of the order of environments
    variant : "set" sees all tasks; "local" sees those of its own vehicle and what the server announces
    width, num_block : of the network
    learning_rate, learning_rate_end : of AdamW, falling as a cosine over the steps
    warm_up : steps in which the learning rate rises
    weight_decay, gradient_norm : of AdamW, and the greatest norm of a gradient
    temperature, temperature_end : of the smooth deadline misses, falling exponentially over the steps
    logit_cost : price of logits beyond +-4
    bang_cost : price of ratios far from 1/2, fading over the first quarter; without it, an early collapse to 0 may be
        final
    round_steps : steps between checkpoints
    """

    steps: int = 8_000
    seed: int = 0
    variant: str = "set"
    width: int = 64
    num_block: int = 3
    learning_rate: float = 2e-3
    learning_rate_end: float = 2e-5
    warm_up: int = 50
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0
    temperature: float = 0.05
    temperature_end: float = 0.015
    logit_cost: float = 0.01
    bang_cost: float = 0.1
    round_steps: int = 1_000


class _ResidualBlock(nn.Module):
    """Residual block: each task sees itself, its vehicle's tasks and, if pooled, all tasks."""

    def __init__(self, width: int, *, pooled: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own = nn.Linear(width, width)
        self.vehicle = nn.Linear(width, width, bias=False)
        self.all_mean = nn.Linear(width, width, bias=False) if pooled else None
        self.all_max = nn.Linear(width, width, bias=False) if pooled else None
        self.out = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:  # [..., N, K, width]
        """Return the next hidden state."""
        scaled = self.norm(hidden)
        heard = self.own(scaled) + self.vehicle(scaled.mean(-2, keepdim=True))  # [..., N, K, width]
        if self.all_mean is not None and self.all_max is not None:
            heard = heard + self.all_mean(scaled.mean((-3, -2), keepdim=True))  # [..., 1, 1, width]
            heard = heard + self.all_max(scaled.amax((-3, -2), keepdim=True))
        new: Tensor = hidden + self.out(nn.functional.silu(heard))
        return new


class SetActor(nn.Module):
    """Permutation-equivariant actor: its input is all tasks, and its output a ratio and a claim for each.

    It starts with zero output weights, so that half of everything is offloaded and the square-root rule shares the
    server.

    pooled : whether it sees all tasks and decides which part of the server is used; otherwise every vehicle decides
        alone
    """

    def __init__(self, width: int, num_block: int, *, pooled: bool) -> None:
        super().__init__()
        self._num_feature = NUM_FEATURE if pooled else NUM_LOCAL_FEATURE
        self.embed = nn.Linear(self._num_feature, width)
        self.blocks = nn.ModuleList(_ResidualBlock(width, pooled=pooled) for _ in range(num_block))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)
        self.used = nn.Linear(width, 1) if pooled else None
        for head in (self.head, self.used):
            if head is not None:
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def forward(self, seen: Tensor) -> Output:  # [..., N, K, F]
        """Return the actor's output."""
        hidden = self.embed(seen[..., : self._num_feature])
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)  # [..., N, K, width]
        ratio, claim = self.head(hidden).unbind(-1)  # [..., N, K] each
        used = None
        if self.used is not None:
            used = torch.sigmoid(_USED_BIAS + _LOGIT_GAIN * self.used(hidden.mean((-3, -2))))[..., None]  # [..., 1, 1]
        return output_of(seen, _LOGIT_GAIN * ratio, _CLAIM_GAIN * claim, used)


def output_of(seen: Tensor, logit: Tensor, claim: Tensor, used: Tensor | None) -> Output:
    """Return an output whose claims are relative to the square-root rule; the equal shares of all tasks sum to 1.

    seen : [..., N, K, F], features
    logit, claim : [..., N, K], logit of the ratio; logarithm of the claim relative to the rule
    """
    num_task = seen.shape[-3] * seen.shape[-2]
    weight = torch.exp(torch.clamp(seen[..., SQUARE_ROOT_RULE] + claim, -20.0, 20.0)) / num_task
    return Output(torch.sigmoid(logit), weight, used)


def train(
    environments: Factory,
    arguments: ApgArguments,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train an actor on the environments of each round; see `TrainingSession` for the other arguments."""
    with own_random(arguments.seed):
        actor = SetActor(arguments.width, arguments.num_block, pooled=arguments.variant == "set")
    return train_actor(actor, environments, arguments, progress=progress, checkpoint=checkpoint, resume=resume)


@num_threads(1)  # sums round differently with another number of threads; the networks are small anyway
def train_actor(
    actor: nn.Module,
    environments: Factory,
    arguments: ApgArguments,
    *,
    progress: Progress,
    checkpoint: Path | None,
    resume: bool,
) -> Trained:
    """Let any actor follow the gradient of the slot's objective."""
    optimizer = torch.optim.AdamW(actor.parameters(), lr=arguments.learning_rate, weight_decay=arguments.weight_decay)
    learner = Learner({"actor": actor}, {"actor": optimizer})
    plain = {"algorithm": "apg", **dataclasses.asdict(arguments)}
    session = TrainingSession(
        learner, plain, arguments.steps, arguments.round_steps, environments, progress, checkpoint, resume
    )
    for step, environment, _ in session.run():
        done = step / arguments.steps
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(arguments, step)
        temperature = arguments.temperature * (arguments.temperature_end / arguments.temperature) ** done
        system, observation = environment.system, environment.observe()
        output = actor(network_input(system, observation))
        ratio, allocation_hz = decide(system, output, observation, rounded=False)
        outcome = environment.step(ratio, allocation_hz)
        session.add(system, outcome)
        cost = smooth_cost(system, outcome, temperature)  # [B]
        logit = torch.logit(output.ratio, eps=1e-6)
        loss = cost.mean() / cost.detach().abs().mean()  # so that every number of vehicles has the same weight
        loss = loss + arguments.logit_cost * torch.relu(logit.abs() - _LOGIT_FREE).square().mean()
        loss = loss + arguments.bang_cost * max(1.0 - 4.0 * done, 0.0) * (2.0 * output.ratio - 1.0).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(actor.parameters(), arguments.gradient_norm)
        optimizer.step()
    return Trained(actor.state_dict(), tuple(session.returns))


def _learning_rate(arguments: ApgArguments, step: int) -> float:
    begin, end = arguments.learning_rate, arguments.learning_rate_end
    cosine = 0.5 * (1.0 + math.cos(math.pi * step / arguments.steps))
    return min((step + 1) / arguments.warm_up, 1.0) * (end + (begin - end) * cosine)


@dataclass
class Apg(LearnedPolicy):
    """A permutation-equivariant actor that was trained by the analytic policy gradient.

    Parameters
    ----------
    weights : trained weights: "auto", "dtecn", "dtecn-congested", or a .safetensors file
    variant : "set" decides for all vehicles together; "local" on what a vehicle knows itself
    threads : threads of torch
    """

    algorithm: ClassVar[str] = "apg"
    variants: ClassVar[tuple[str, ...]] = ("set", "local")

    weights: str = "auto"
    variant: str = "set"
    threads: int = 1

    def load(self, tensors: Tensors, manifest: WeightsManifest) -> SetActor:
        """Return the actor with these weights."""
        width, num_block = manifest.size("width"), manifest.size("num_block")
        actor = SetActor(width, num_block, pooled=self.variant == "set")
        actor.load_state_dict(tensors)
        return actor
