"""Random streams by name: one per purpose and entity. The order in which they are asked for changes nothing."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.random import Generator, Philox
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from physical.seed import whole_seed


class _PhiloxKey(ISeedSequence):
    """Hands a key to Philox.

    Its own `key` argument first asks the operating system for entropy, and takes three times as long.
    """

    def __init__(self, key: bytes) -> None:
        self._words = np.frombuffer(key, dtype="<u8").astype(np.uint64)

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> NDArray[np.uint64]:  # noqa: ARG002 - NumPy's interface
        """Return the two words of the key."""
        return self._words


class Streams:
    """Makes the random generators of one run.

    A stream's key is a hash of (seed, purpose, entity), so that adding a vehicle or swapping the policy never changes
    another stream. Philox is counter-based: streams with different keys do not overlap.

    Raises
    ------
    InputError : a seed that is no integer >= 0

    >>> a = Streams(1).generator("tasks", "vehicle-3").random()
    >>> b = Streams(1)
    >>> _ = b.generator("channel", "vehicle-3").random()
    >>> a == b.generator("tasks", "vehicle-3").random()
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = whole_seed(seed, where="run")

    def generator(self, purpose: str, entity: str) -> Generator:
        """Return a generator at the start of the stream."""
        name = f"{self.seed}/{purpose}/{entity}".encode()
        key = _PhiloxKey(hashlib.blake2b(name, digest_size=16).digest())
        return Generator(Philox(key))  # type: ignore[arg-type]  # NumPy documents ISeedSequence, its stub forgets it

    def of_vehicles(self, purpose: str, num_vehicle: int) -> list[Generator]:
        """Return the stream of every vehicle."""
        return [self.generator(purpose, f"vehicle-{index}") for index in range(num_vehicle)]

    def of_classes(self, purpose: str, num_class: int) -> list[Generator]:
        """Return the stream of every task class."""
        return [self.generator(purpose, f"class-{index}") for index in range(num_class)]

    def policy_seed(self) -> int:
        """Return the seed that the policy gets."""
        return int(self.generator("policy", "policy").integers(2**63))
