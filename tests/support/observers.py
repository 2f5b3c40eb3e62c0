"""Policies that keep what they see, and policies that return what they are given."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from physical.system import System
from policies import Policy
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class Spy:
    """Offloads everything at equal shares and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[TwinSnapshot] = []

    def reset(self, system: System, seed: int) -> None:
        self.seen.clear()

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        self.seen.append(snapshot)
        shape = snapshot.size_bytes.shape
        share_hz = snapshot.system.server.frequency_hz / snapshot.size_bytes.size
        return Decision(np.ones(shape), np.full(shape, share_hz))


def assert_equal(one: Decision, other: Decision) -> None:
    """Compare two decisions bit for bit."""
    for field in dataclasses.fields(Decision):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


class Watched:
    """Keeps what a policy saw and answered."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.seen: list[TwinSnapshot] = []
        self.answers: list[Decision] = []

    def reset(self, system: Any, seed: int) -> None:
        self.policy.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        before = arrays(snapshot)
        answer = self.policy.decide(snapshot)
        after = arrays(snapshot)
        assert all(np.array_equal(before[name], after[name]) for name in before)
        self.seen.append(snapshot)
        given = ((field.name, getattr(answer, field.name)) for field in dataclasses.fields(Decision))
        copies: dict[str, Any] = {name: None if values is None else np.array(values) for name, values in given}
        self.answers.append(Decision(**copies))
        return answer


def arrays(snapshot: TwinSnapshot) -> dict[str, Any]:
    """Copy every array of a snapshot and of its system."""
    return {
        f"{type(part).__name__}.{field.name}": np.array(value)
        for part in (snapshot, snapshot.system)
        for field in dataclasses.fields(part)
        if isinstance(value := getattr(part, field.name), np.ndarray)
    }


class Returns:
    """Returns what it is given; an exception is raised."""

    def __init__(self, what: Any) -> None:
        self.what = what
        self.resets: list[tuple[System, int]] = []

    def reset(self, system: System, seed: int) -> None:
        self.resets.append((system, seed))

    def decide(self, snapshot: TwinSnapshot) -> Any:
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what
