"""Episodes of a batch: each begins with new random numbers, or again with those of a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from physical.seed import whole_seed

EPISODE = 1 << 32
"""What an episode adds to the seeds of all environments."""


class Episodes(ABC):
    """B environments that are started anew together; `num_environment` is B."""

    num_environment: int

    def reset(self, seed: int | None = None) -> None:
        """Start all environments anew: with other numbers, or with those of the first episode of `seed`."""
        if seed is None:
            self._begin(self._seed, self._episode + 1)
        else:
            self._begin(seed, 0)

    def _begin(self, seed: int, episode: int) -> None:
        self._seed, self._episode = whole_seed(seed, where="batch"), episode
        first = self._seed + EPISODE * episode
        self._start(range(first, first + self.num_environment))

    @abstractmethod
    def _start(self, seeds: range) -> None:
        """Put every environment at its first slot; each has a seed of its own."""
