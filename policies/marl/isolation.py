"""Uses torch without changing the random numbers and the number of threads of the caller's process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from physical.seed import whole_seed

_SEED_MAX = 10**13
"""Largest seed; each round of a training has a million seeds, and torch takes seeds of 64 bits."""


def training_seed(seed: object) -> int:
    """Return the seed of a training as an integer.

    Raises
    ------
    InputError : it is no integer, or out of range
    """
    return whole_seed(seed, where="train", most=_SEED_MAX)


@contextmanager
def own_random(seed: int = 0) -> Iterator[None]:
    """Let torch, for example constructors of its modules, draw from the stream of `seed` inside this context.

    Raises
    ------
    InputError : the seed is no integer, or out of range
    """
    seed = training_seed(seed)
    with torch.random.fork_rng(devices=[]):
        # Not `torch.manual_seed`, because it also seeds every device.
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside this context, which is also a decorator."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
