"""torch that leaves the caller's process as it was: its random numbers and its number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from physical.seed import whole_seed

_SEED_MAX = 10**13
"""Each round of a training has a million seeds, which torch takes as 64 bits."""


def training_seed(seed: object) -> int:
    """Return the seed of a training as an integer.

    Raises
    ------
    InputError : no integer, or out of range
    """
    return whole_seed(seed, where="train", most=_SEED_MAX)


@contextmanager
def own_random(seed: int = 0) -> Iterator[None]:
    """Let torch draw from the stream of `seed` inside, as constructors of its modules do; then go on as before.

    Raises
    ------
    InputError : a seed that is no integer, or out of range
    """
    seed = training_seed(seed)
    with torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, which seeds every device besides.
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch compute in `count` threads inside; also a decorator."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
