"""`ddpg`: one agent on local information, the paper's single-agent learning (SARL).

The same actor decides for every vehicle, and the critic sees no more than the actor: the state and action of one
vehicle. Hidden layers are ReLU, as in section V-B of 'dtecn'. A vehicle's reward does not contain the loss that it
causes to other vehicles, which is a tragedy of the commons. The comparison is meant to show this.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from policies.marl.acting import LearnedPolicy
from policies.marl.actions import Output
from policies.marl.experience import ActorCritic, ExperienceArguments, learn
from policies.marl.features import NUM_LOCAL_FEATURE
from policies.marl.isolation import own_random
from policies.marl.replay import Reward, Transitions, local_state, output_of, saturation
from policies.marl.training import Factory, Progress, Trained
from policies.marl.weights import Tensors, WeightsManifest

Tensor = torch.Tensor


@dataclass(frozen=True)
class DdpgArguments(ExperienceArguments):
    """Arguments of the training of `ddpg`; the others are those of `ExperienceArguments`.

    Parameters
    ----------
    num_class : of the system
    batch : vehicles' transitions in an update
    """

    num_class: int
    _: KW_ONLY
    reward: Reward = "own"
    width: int = 64
    batch: int = 1_024
    capacity: int = 200_000


def _layers(num_in: int, width: int, num_out: int) -> nn.Sequential:
    hidden = [nn.Linear(num_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*hidden, nn.ReLU(), nn.Linear(width, num_out))


class LocalActor(nn.Module):
    """The actor that all vehicles share."""

    def __init__(self, num_class: int, width: int) -> None:
        super().__init__()
        self._layers = _layers(num_class * NUM_LOCAL_FEATURE, width, 2 * num_class)
        with (
            torch.no_grad()
        ):  # starts near the middle: half of everything is offloaded, and shares follow the square-root rule
            for parameter in self._layers[-1].parameters():
                parameter.mul_(0.1)

    def forward(self, seen: Tensor) -> Output:  # [..., N, K, F]
        """Return the actor's output."""
        return output_of(seen, self.act(local_state(seen)))

    def act(self, state: Tensor) -> Tensor:  # [..., S]
        """Return actions in (0, 1), [..., 2 K]."""
        return torch.sigmoid(2.0 * self._layers(state))


class LocalCritic(nn.Module):
    """Value of one vehicle's state and action."""

    def __init__(self, num_class: int, width: int) -> None:
        super().__init__()
        self._layers = _layers(num_class * (NUM_LOCAL_FEATURE + 2), width, 1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:  # [B, S], [B, A]
        """Return the values, [B]."""
        values: Tensor = self._layers(torch.cat((state, action), dim=-1))[..., 0]
        return values


class DdpgLearner(ActorCritic):
    """Actor and critic, with a buffer in which each transition is that of a single vehicle."""

    def __init__(self, arguments: DdpgArguments) -> None:
        self.arguments = arguments
        self.actor = LocalActor(arguments.num_class, arguments.width)
        self.critic = LocalCritic(arguments.num_class, 2 * arguments.width)
        super().__init__(self.actor, self.critic, 1, arguments.num_class, arguments)

    def critic_loss(self, batch: Transitions) -> Tensor:
        """Return the mean squared distance from reward and discounted next value."""
        state, action, reward, next_state = (values[:, 0] for values in batch)
        with torch.no_grad():
            next_action = self.target_actor.act(next_state)
            wanted = reward + self.arguments.discount * self.target_critic(next_state, next_action)  # [B]
        loss: Tensor = (self.critic(state, action) - wanted).square().mean()
        return loss

    def actor_loss(self, batch: Transitions) -> Tensor:
        """Return minus the mean value of the actor's own actions, and their price."""
        state = batch.state[:, 0]
        new = self.actor.act(state)  # [B, A]
        loss: Tensor = self.arguments.logit_cost * saturation(new) - self.critic(state, new).mean()
        return loss

    def rows(self, batch: Transitions) -> Transitions:
        """Return the vehicles of all environments as rows of one array."""
        return Transitions(*(values.flatten(0, 1).unsqueeze(1) for values in batch))


def train(
    environments: Factory,
    arguments: DdpgArguments,
    *,
    progress: Progress = lambda _step, _return: None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Trained:
    """Train the actor by experience; see `policies.marl.experience.learn`."""
    with own_random(arguments.seed):
        learner = DdpgLearner(arguments)
    return learn(
        "ddpg",
        learner,
        learner.actor,
        environments,
        arguments,
        progress=progress,
        checkpoint=checkpoint,
        resume=resume,
    )


@dataclass
class Ddpg(LearnedPolicy):
    """One actor for every vehicle, on local information, that learned from the vehicles' own rewards.

    Parameters
    ----------
    weights : trained weights: "auto", "dtecn", "dtecn-congested", or a .safetensors file
    variant : how it was trained: "critic", there is no other
    threads : threads of torch
    """

    algorithm: ClassVar[str] = "ddpg"
    variants: ClassVar[tuple[str, ...]] = ("critic",)

    weights: str = "auto"
    variant: str = "critic"
    threads: int = 1

    def load(self, tensors: Tensors, manifest: WeightsManifest) -> LocalActor:
        """Return the actor with these weights."""
        actor = LocalActor(manifest.num_class, manifest.size("width"))
        actor.load_state_dict(tensors)
        return actor
