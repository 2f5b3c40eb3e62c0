"""Parts of learning from experience: a buffer of transitions, rewards, soft target updates, and exploration."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import nn

from physical.closed_form.slot import SlotOutcome
from physical.model import energy, qos
from physical.system import System
from policies.marl.actions import Output
from policies.marl.environment import Observation
from policies.marl.features import NUM_LOCAL_FEATURE, SQUARE_ROOT_RULE

Tensor = torch.Tensor
Reward = Literal["team", "own", "eq27"]

_CLAIM_RANGE = 6.0
"""A claim grows by the factor exp(this) if the action grows from 0 to 1; action 1/2 is the square-root rule."""

_LOGIT_FREE = 3.0


class Transitions(NamedTuple):
    """Transitions; B of them.

    state, next_state : [B, N, S], local features of all tasks of a vehicle
    action : [B, N, 2 K], ratios, then claims, in [0, 1]
    reward : [B, N], compressed
    """

    state: Tensor
    action: Tensor
    reward: Tensor
    next_state: Tensor


class ReplayBuffer:
    """The last transitions, from which random ones are drawn.

    tensors : the whole contents, for checkpoints
    """

    def __init__(self, capacity: int, num_vehicle: int, num_class: int) -> None:
        size = num_class * NUM_LOCAL_FEATURE
        self._capacity = capacity
        self._rows = Transitions(
            torch.zeros(capacity, num_vehicle, size),
            torch.zeros(capacity, num_vehicle, 2 * num_class),
            torch.zeros(capacity, num_vehicle),
            torch.zeros(capacity, num_vehicle, size),
        )
        self._count = torch.zeros((), dtype=torch.int64)
        self.tensors = {**self._rows._asdict(), "count": self._count}

    def __len__(self) -> int:
        """Return the number of transitions in the buffer."""
        return min(int(self._count), self._capacity)

    def add(self, batch: Transitions) -> None:
        """Copy transitions into the buffer, over the oldest ones."""
        index = (int(self._count) + torch.arange(len(batch.reward))) % self._capacity
        for rows, values in zip(self._rows, batch, strict=True):
            rows[index] = values.detach().to(rows.dtype)
        self._count += len(batch.reward)

    def draw(self, count: int, generator: torch.Generator) -> Transitions:
        """Return `count` transitions, with replacement."""
        index = torch.randint(len(self), (count,), generator=generator)
        return Transitions(*(rows[index] for rows in self._rows))


def compress(reward: Tensor) -> Tensor:
    """Return ``sign(r) ln(1 + |r|)``, because a task without a share of the server costs 100 times as much as usual."""
    return torch.sign(reward) * torch.log1p(reward.abs())


def local_state(seen: Tensor) -> Tensor:
    """Return the part of features [..., N, K, F] that each vehicle sees, [..., N, K NUM_LOCAL_FEATURE]."""
    return seen[..., :NUM_LOCAL_FEATURE].flatten(-2)


def output_of(seen: Tensor, action: Tensor) -> Output:
    """Return the output for actions [..., N, 2 K] in [0, 1]."""
    ratio, claim = action.chunk(2, dim=-1)
    num_task = seen.shape[-3] * seen.shape[-2]
    weight = torch.exp(seen[..., SQUARE_ROOT_RULE] + _CLAIM_RANGE * (claim - 0.5)) / num_task
    return Output(ratio, weight, None)


def explore(action: Tensor, deviation: float | None, generator: torch.Generator) -> Tensor:
    """Return actions with normal noise, clipped to [0, 1]; without a deviation, return uniform actions."""
    if deviation is None:
        return torch.rand(action.shape, generator=generator)
    return torch.clamp(action + deviation * torch.randn(action.shape, generator=generator), 0.0, 1.0)


def saturation(action: Tensor) -> Tensor:
    """Return the price of actions near 0 or 1, where the gradient of a sigmoid is too small to return."""
    logit = torch.logit(action, eps=1e-6)
    return torch.relu(logit.abs() - _LOGIT_FREE).square().mean()


def soft_update(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target network towards its source: ``target += rate (source - target)``."""
    with torch.no_grad():
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, rate)


def rewards(
    system: System, observation: Observation, decision: tuple[Tensor, Tensor], outcome: SlotOutcome, kind: Reward
) -> Tensor:
    """Return the vehicles' rewards, [B, N].

    team : - (P2 + w_U), the same for all
    own : a vehicle's part of that, times N; edge energy and drift, which belong to no vehicle, are divided equally
    eq27 : eq. 27 with eta = 1 / f_E: mean QoS of its tasks, less the unused part of the server
    """
    num_vehicle, weights = system.num_vehicle, system.objective
    if kind == "team":
        team: Tensor = -(outcome.objective + weights.qos_weight)
        return team[:, None].expand(-1, num_vehicle)
    own_qos: Tensor = qos.qos(outcome.delay_s, system.deadline_s).mean(-1)
    if kind == "eq27":
        taken_hz = (decision[1] + observation.estimation_bias_hz).sum((-2, -1))
        unused: Tensor = 1.0 - taken_hz / system.server.frequency_hz
        return own_qos - unused[:, None]
    local_work = (1.0 - decision[0]) * system.work_cycles(observation.size_bytes, None)[0]
    own_j: Tensor = energy.local_energy_j(local_work, system.cpu_hz[:, None], system.kappa_vehicle[:, None]).sum(-1)
    common: Tensor = weights.beta * outcome.drift + weights.energy_weight * outcome.energy_edge_j
    missed: Tensor = outcome.missed.mean(-1)
    cost = weights.qos_weight * (1.0 - own_qos) + weights.deadline_price * missed
    return -(cost + num_vehicle * weights.energy_weight * own_j + common[:, None])
