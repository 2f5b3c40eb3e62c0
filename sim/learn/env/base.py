"""What both environments have in common: agents, spaces, what actions mean and what agents see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from physical.arrays import Floats, Ints
from physical.errors import InputError
from physical.model import computing, rate
from physical.nodes import at_node
from physical.seed import whole_seed
from physical.system import System
from policies.feasible import JOINT_FIELDS
from sim.learn.batch.episodes import EPISODE
from sim.learn.env.reward import Present
from twin.decision import Decision

Numbers = NDArray[np.float32]
Infos = dict[str, dict[str, Any]]
Step = tuple[dict[str, Numbers], dict[str, float], dict[str, bool], dict[str, bool], Infos]

_BOUND = 10.0
_RATE_SCALE = 10.0  # bit/s per Hz


class VehicleEnvironment(ParallelEnv[str, Numbers, Numbers]):
    """Agents, spaces, and the state of episodes; `sim.env.parallel_env` says what actions and observations mean."""

    metadata: ClassVar[dict[str, Any]] = {"name": "vectwin_v0", "render_modes": [], "is_parallelizable": True}
    render_mode = None

    def __init__(self, system: System, seed: int, *, show_waiting: bool = False) -> None:
        self.system = system
        self._show_waiting = show_waiting
        self.possible_agents = [f"vehicle-{index}" for index in range(system.num_vehicle)]
        self.agents: list[str] = []
        num_class = system.num_class
        num_action = 2 * num_class + (0 if system.spectrum is None else len(JOINT_FIELDS))
        self.action_spaces = {agent: Box(0.0, 1.0, (num_action,), np.float32) for agent in self.possible_agents}
        num_seen = 2 * num_class + 4 + (num_class + 2 if show_waiting else 0)
        self.observation_spaces = {
            agent: Box(-_BOUND, _BOUND, (num_seen,), np.float32) for agent in self.possible_agents
        }
        self._next_seed = whole_seed(seed, where="env")
        self._has_begun = False

    def observation_space(self, agent: str) -> Box:
        """Return the space of what an agent sees."""
        return self.observation_spaces[self._known(agent)]

    def action_space(self, agent: str) -> Box:
        """Return the space of what an agent decides."""
        return self.action_spaces[self._known(agent)]

    def _known(self, agent: str) -> str:
        if agent not in self.action_spaces:
            raise InputError(f"there is no agent {agent!r}", where="env", accepted=self._everybody)
        return agent

    @property
    def _everybody(self) -> str:
        """The names of all agents, for errors."""
        return f"{self.possible_agents[0]} to {self.possible_agents[-1]}"

    def render(self) -> None:
        """Show nothing."""

    def _begin_episode(self, seed: int | None) -> int:
        """Revive all agents; return the seed of the episode."""
        chosen = self._next_seed if seed is None else whole_seed(seed, where="reset")
        self.agents = list(self.possible_agents)
        self._next_seed = chosen + EPISODE
        self._has_begun = True
        return chosen

    def _asked(self, actions: Mapping[str, Numbers]) -> Floats:
        """Return the actions of all agents, [N, numbers].

        Raises
        ------
        InputError : no episode, actions of others than the living agents, or actions that are none
        """
        if not self.agents:
            when = "the episode has ended" if self._has_begun else "no episode has begun"
            raise InputError(when, where="step", accepted="a step after reset()")
        if not isinstance(actions, Mapping):
            problem = f"{type(actions).__name__} is not a mapping from agents to actions"
            raise InputError(problem, where="step", accepted="{agent: action for every agent in env.agents}")
        given, living = set(actions), set(self.agents)
        if others := sorted(map(str, given - living)):
            raise InputError(f"an action of {', '.join(others[:3])}", where="step", accepted=self._everybody)
        if missing := [agent for agent in self.agents if agent not in given]:
            accepted = "an action of every agent in env.agents"
            raise InputError(f"no action of {', '.join(missing[:3])}", where="step", accepted=accepted)
        return np.stack([self._numbers(agent, actions[agent]) for agent in self.possible_agents])

    def _numbers(self, agent: str, action: Any) -> Floats:
        """Return the action of an agent in double precision."""
        (size,) = self.action_spaces[agent].shape
        accepted = f"{size} numbers from 0 to 1, see env.action_space(agent)"
        try:
            numbers = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{type(action).__name__} is no action", where=agent, accepted=accepted) from None
        if numbers.shape != (size,):
            shape = list(numbers.shape)
            raise InputError(f"an action of shape {shape}", where=agent, accepted=accepted)
        if not np.isfinite(numbers).all():
            raise InputError("an action that is not finite", where=agent, accepted=accepted)
        return numbers

    def _decision(self, asked: Floats, serving_node: Ints) -> Decision:
        """Return the decision that actions [N, numbers] ask for; together they may ask for more than there is."""
        system, num_class = self.system, self.system.num_class
        node = np.maximum(serving_node, 0)
        ratio, share = asked[:, :num_class], asked[:, num_class : 2 * num_class]
        allocation_hz = np.where(ratio > 0, share, 0.0) * system.node_hz[node][:, np.newaxis]
        spectrum = system.spectrum
        if spectrum is None:
            return Decision(ratio, allocation_hz)
        frequency, power, bandwidth = asked[:, 2 * num_class :].T
        least_w = spectrum.power_w_min
        return Decision(
            ratio,
            allocation_hz,
            local_frequency_hz=frequency * system.cpu_hz,
            transmit_power_w=least_w + power * (spectrum.power_w_max - least_w),
            bandwidth_hz=bandwidth * spectrum.pool_hz[node],
        )

    def _observations(self, present: Present) -> dict[str, Numbers]:
        """Return what the agents see."""
        system, count = self.system, self.system.num_vehicle
        share_hz = at_node(system.node_hz, present.serving_node) / (count * system.num_class)
        columns = [
            present.size_bytes / system.size_bytes_mean,
            np.broadcast_to(present.backlog_bytes / system.backlog_unit_bytes, (count, system.num_class)),
            (present.rate_bps / system.bandwidth_hz / _RATE_SCALE)[:, np.newaxis],
            (system.cpu_hz / system.cpu_hz.max())[:, np.newaxis],
            present.estimation_bias_hz[:, :1] / share_hz,
            (present.age_s / system.slot_duration_s)[:, np.newaxis],
        ]
        if self._show_waiting:
            columns += self._waiting(present)
        seen = np.clip(np.concatenate(columns, axis=1), -_BOUND, _BOUND).astype(np.float32)
        return dict(zip(self.possible_agents, seen, strict=True))

    def _waiting(self, present: Present) -> list[Floats]:
        """Return how many slots of work wait: at the vehicle's CPU and uplink, [N, 1], and in its flows, [N, K]."""
        system, count = self.system, self.system.num_vehicle
        slot_s = system.slot_duration_s
        cpu_slots = uplink_slots = np.zeros(count)
        flow_slots = np.zeros((count, system.num_class))
        if present.cpu_backlog_cycles is not None:
            cpu_slots = computing.execution_delay_s(present.cpu_backlog_cycles, system.cpu_hz) / slot_s
        if present.uplink_backlog_bytes is not None:
            # Who has no node cannot send: that takes longer than can be shown.
            rate_bps = np.maximum(present.rate_bps, 1.0)
            uplink_slots = rate.upload_delay_s(present.uplink_backlog_bytes, rate_bps) / slot_s
        if present.flow_backlog_cycles is not None:
            node_hz = at_node(system.node_hz, present.serving_node)
            flow_slots = computing.execution_delay_s(present.flow_backlog_cycles, node_hz) / slot_s
        return [cpu_slots[:, np.newaxis], uplink_slots[:, np.newaxis], flow_slots]

    def _step(self, present: Present, rewards: Floats, *, ended: bool) -> Step:
        """Return what a step gives to those who were alive before it."""
        agents = self.agents
        if ended:
            self.agents = []
        return (
            self._observations(present),
            {agent: float(value) for agent, value in zip(agents, rewards, strict=True)},
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, ended),
            {agent: {} for agent in agents},
        )
