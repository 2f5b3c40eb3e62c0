"""Random streams by name: one per purpose and entity, independent of the order in which they are asked for."""

from __future__ import annotations

import hashlib

from numpy.random import Generator, Philox


class Streams:
    """Makes the random generators of one run.

    A stream's key is a hash of (seed, purpose, entity), so that adding a vehicle or swapping the policy never changes
    another stream. Philox is counter-based: streams with different keys do not overlap.

    >>> a = Streams(1).generator("tasks", "vehicle-3").random()
    >>> b = Streams(1)
    >>> _ = b.generator("channel", "vehicle-3").random()
    >>> a == b.generator("tasks", "vehicle-3").random()
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, purpose: str, entity: str) -> Generator:
        """Return a generator at the start of the stream."""
        name = f"{self.seed}/{purpose}/{entity}".encode()
        return Generator(Philox(key=int.from_bytes(hashlib.blake2b(name, digest_size=16).digest())))

    def of_vehicles(self, purpose: str, num_vehicle: int) -> list[Generator]:
        """Return the stream of every vehicle."""
        return [self.generator(purpose, f"vehicle-{index}") for index in range(num_vehicle)]

    def policy_seed(self) -> int:
        """Return the seed that the policy gets."""
        return int(self.generator("policy", "policy").integers(2**63))
