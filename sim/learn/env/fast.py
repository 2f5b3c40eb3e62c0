"""The closed form as a PettingZoo environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from physical.arrays import Floats
from policies.feasible import project
from sim.learn.batch import BatchEnvironment
from sim.learn.env.base import Infos, Numbers, Step, VehicleEnvironment
from sim.learn.env.reward import Present, own_parts
from sim.scenario.scenario import Scenario


class FastEnvironment(VehicleEnvironment):
    """One environment of the batch engine; made by `sim.env.fast_parallel_env`."""

    def __init__(
        self,
        scenario: Scenario,
        reward: str,
        num_slot: int | None,
        seed: int,
        num_vehicle: int | None,
        bias_spread_hz: float,
        *,
        show_waiting: bool,
    ) -> None:
        self._batch = BatchEnvironment(scenario, 1, seed, num_vehicle=num_vehicle, bias_spread_hz=bias_spread_hz)
        super().__init__(self._batch.system, seed, show_waiting=show_waiting)
        self._reward = reward
        self._num_slot = scenario.time.num_slot if num_slot is None else num_slot
        self._slot = 0
        self._node = np.zeros(self.system.num_vehicle, dtype=np.int64)

    def reset(
        self,
        seed: int | None = None,
        options: dict[str, Any] | None = None,  # noqa: ARG002 - PettingZoo's interface
    ) -> tuple[dict[str, Numbers], Infos]:
        """Begin an episode."""
        self._batch.reset(self._begin_episode(seed))
        self._slot = 0
        return self._observations(self._present()), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Numbers]) -> Step:
        """Decide the present slot.

        Raises
        ------
        InputError : no episode, or actions that are not those of the living agents
        """
        wanted = self._decision(self._asked(actions), self._node)
        present = self._present()
        decision, _ = project(self.system, wanted, present.estimation_bias_hz)
        # What happens follows from the bias that is in force, whether or not the twin knows it.
        true = present._replace(estimation_bias_hz=self._batch.true_bias_hz[0])
        outcome = self._batch.step(decision.offloading_ratio[np.newaxis], decision.compute_allocation_hz[np.newaxis])
        if self._reward == "own":
            rewards: Floats = -own_parts(self.system, true, decision)
        else:
            rewards = np.full(self.system.num_vehicle, -float(outcome.objective[0]))
        self._slot += 1
        return self._step(self._present(), rewards, ended=self._slot == self._num_slot)

    def _present(self) -> Present:
        seen = self._batch.observe()
        size_bytes, rate_bps, backlog_bytes, bias_hz = (values[0] for values in seen)
        return Present(size_bytes, rate_bps, backlog_bytes, bias_hz, np.zeros(len(rate_bps)), self._node)
