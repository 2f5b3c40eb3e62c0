"""Learning from experience: the part that `maddpg` and `ddpg` share, which is all but their networks and updates."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from policies.marl.acting import decide, network_input
from policies.marl.isolation import num_threads
from policies.marl.replay import (
    ReplayBuffer,
    Reward,
    Transitions,
    compress,
    explore,
    local_state,
    output_of,
    rewards,
    soft_update,
)
from policies.marl.training import Factory, Learner, Progress, Trained, TrainingSession

Tensor = torch.Tensor


@dataclass(frozen=True, kw_only=True)
class ExperienceArguments:
    """Arguments of a training from experience.

    Parameters
    ----------
    steps : number of steps; each decides a slot of all environments and updates all networks once
    seed : of initial weights, exploration and draws
    reward : see `policies.marl.replay.rewards`
    width : of the actors' hidden layers
    actor_rate, critic_rate : learning rates of Adam
    discount : gamma
    target_rate : part of the way that targets move in one update
    batch, capacity : number of transitions in an update, and in the buffer
    warm_up : number of steps with random actions, in which only critics learn; an untrained critic would send actors to
        the ends of their ranges, where the gradient of a sigmoid is too small to return
    noise, noise_end : standard deviation of the exploration, falling linearly
    gradient_norm : largest norm of a gradient
    logit_cost : price of saturated actions
    round_steps : number of steps between checkpoints
    """

    steps: int = 3_000
    seed: int = 0
    reward: Reward = "team"
    width: int = 32
    actor_rate: float = 3e-4
    critic_rate: float = 2e-3
    discount: float = 0.0
    target_rate: float = 0.01
    batch: int = 256
    capacity: int = 40_000
    warm_up: int = 250
    noise: float = 0.2
    noise_end: float = 0.05
    gradient_norm: float = 1.0
    logit_cost: float = 0.05
    round_steps: int = 1_000


class Acts(Protocol):
    """An actor on local states."""

    def act(self, state: Tensor) -> Tensor:
        """Return actions in (0, 1), [..., 2 K], of states [..., S]."""


class ActorCritic(Learner, ABC):
    """Actor, critic, their targets and optimisers, and the buffer.

    Parameters
    ----------
    actor, critic : networks; the actor acts on local states, see `Acts`
    num_vehicle, num_class : of a transition in the buffer
    arguments : of the trainer
    """

    def __init__(
        self, actor: nn.Module, critic: nn.Module, num_vehicle: int, num_class: int, arguments: ExperienceArguments
    ) -> None:
        modules = {"actor": actor, "critic": critic}
        modules |= {f"target_{name}": copy.deepcopy(module) for name, module in modules.items()}
        self.target_actor: Any = modules["target_actor"]
        self.target_critic: Any = modules["target_critic"]
        self.buffer = ReplayBuffer(arguments.capacity, num_vehicle, num_class)
        self._rates = arguments
        optimizers: dict[str, torch.optim.Optimizer] = {
            "actor": torch.optim.Adam(actor.parameters(), lr=arguments.actor_rate),
            "critic": torch.optim.Adam(critic.parameters(), lr=arguments.critic_rate),
        }
        super().__init__(modules, optimizers, self.buffer.tensors)

    def update(self, batch: Transitions, move_actor: bool) -> None:
        """Update the critic towards the value of the targets, the actor uphill on the critic, and then the targets."""
        self._step("critic", self.critic_loss(batch))
        if move_actor:
            self._step("actor", self.actor_loss(batch))
        for name in ("actor", "critic"):
            soft_update(self.modules[f"target_{name}"], self.modules[name], self._rates.target_rate)

    @abstractmethod
    def critic_loss(self, batch: Transitions) -> Tensor:
        """Return the distance of the critic's values from those of the targets."""

    @abstractmethod
    def actor_loss(self, batch: Transitions) -> Tensor:
        """Return the loss of the actor: minus its value, plus the price of saturated actions."""

    def rows(self, batch: Transitions) -> Transitions:
        """Return the transitions of a step in the form of the buffer."""
        return batch

    def _step(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.modules[name].parameters(), self._rates.gradient_norm)
        optimizer.step()


@num_threads(1)  # sums round differently with another number of threads; the networks are small anyway
def learn(
    algorithm: str,
    learner: ActorCritic,
    actor: Acts,
    environments: Factory,
    arguments: ExperienceArguments,
    *,
    progress: Progress,
    checkpoint: Path | None,
    resume: bool,
) -> Trained:
    """Explore with an actor, fill the buffer and update from it; see `TrainingSession` for the other arguments."""
    plain: dict[str, Any] = {"algorithm": algorithm, **dataclasses.asdict(arguments)}
    session = TrainingSession(
        learner, plain, arguments.steps, arguments.round_steps, environments, progress, checkpoint, resume
    )
    for step, environment, generator in session.run():
        system, observation = environment.system, environment.observe()
        seen = network_input(system, observation)
        state = local_state(seen)  # [B, N, S]
        noise = arguments.noise + (arguments.noise_end - arguments.noise) * step / arguments.steps
        with torch.no_grad():
            action = explore(actor.act(state), noise if step >= arguments.warm_up else None, generator)
            decision = decide(system, output_of(seen, action), observation, rounded=False)
            outcome = environment.step(*decision)
        session.add(system, outcome)
        reward = compress(rewards(system, observation, decision, outcome, arguments.reward))
        next_state = local_state(network_input(system, environment.observe()))
        learner.buffer.add(learner.rows(Transitions(state, action, reward, next_state)))
        learner.update(learner.buffer.draw(arguments.batch, generator), step >= arguments.warm_up)
    return Trained(learner.modules["actor"].state_dict(), tuple(session.returns))
