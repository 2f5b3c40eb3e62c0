"""What a policy gets is its own: whatever it writes wherever it can reach, truth and record stay as they are."""

from __future__ import annotations

import gc
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import pytest

from physical.system import System
from policies import register
from policies.api import Policy
from sim import Scenario, run
from twin.decision import Decision, Diagnostics
from twin.snapshot import Copies, TwinSnapshot

# What belongs to modules and to Python itself is nobody's copy.
_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, property)
_SCENARIOS = {
    "dtecn": [],
    "dtecn-congested": ["time.num_slot=24"],
    "rush-hour": ["vehicles.num_vehicle=6"],
    "llm6g": [],
    "blackout": [],
}


def reached(*roots: object) -> Iterator[object]:
    """Yield all that can be reached from some objects by attributes, containers, caches and arrays' bases."""
    seen: dict[int, object] = {}
    waiting = deque(roots)
    while waiting:
        found = waiting.popleft()
        if id(found) in seen or isinstance(found, _CODE):
            continue
        seen[id(found)] = found
        yield found
        waiting.extend(gc.get_referents(found))
        waiting.extend(vars(found).values() if hasattr(found, "__dict__") else ())
        if isinstance(found, np.ndarray) and found.base is not None:
            waiting.append(found.base)


def spoil(*roots: object) -> int:
    """Write garbage wherever that can be done; return in how many places it was."""
    found = list(reached(*roots))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of this is deprecated, and is done all the same
        num_spoilt = sum(_spoil_array(each) for each in found if isinstance(each, np.ndarray))
    return num_spoilt + sum(map(_spoil_object, found))


def _spoil_array(array: np.ndarray[Any, Any]) -> int:
    done = 0
    changes: tuple[Callable[[], None], ...] = (
        lambda: array.setflags(write=True),
        lambda: array.fill(7),
        lambda: array.__setattr__("shape", (-1,)),
        lambda: array.__setattr__("dtype", np.uint8),
        lambda: array.__setattr__("strides", (0,) * array.ndim),
    )
    for change in changes:
        try:
            change()
            done += 1
        except (ValueError, TypeError, AttributeError):
            continue
    return done


def _spoil_object(found: object) -> int:
    if isinstance(found, dict):
        for key in list(found):
            found[key] = 666.0
        return len(found)
    if isinstance(found, list):
        found[:] = [666.0]
        return 1
    if hasattr(found, "__dict__") and not isinstance(found, np.generic):
        for name in list(vars(found)):
            object.__setattr__(found, name, 666.0)
        return len(vars(found))
    return 0


class Polite:
    """Decides by the number of the slot alone."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def reset(self, system: System, seed: int) -> None:
        shape = (system.num_vehicle, system.num_class)
        self.pattern = np.arange(shape[0] * shape[1]).reshape(shape)
        self.share_hz = float(system.node_hz.min()) / self.pattern.size
        count = shape[0]
        self.joint: dict[str, Any] = {}
        if system.joint:
            self.joint = {
                "local_frequency_hz": 0.5 * system.cpu_hz,
                "transmit_power_w": 0.5 * (system.transmit_power_w + system.transmit_power_w_min),
                "bandwidth_hz": np.full(count, float(system.node_bandwidth_hz.min()) / (2 * count)),
            }

    def _fail_if_asked(self) -> None:
        if self.fails:
            raise RuntimeError("in the same line for all")

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        self._fail_if_asked()
        ratio = ((self.pattern + snapshot.slot) % 3) / 2.0
        return Decision(ratio, np.full(ratio.shape, self.share_hz), **self.joint)

    def diagnostics(self) -> Diagnostics:
        return Diagnostics(objective=1.5)

    def learn(self, outcomes: list[tuple[int, float]]) -> None:
        pass


class Vandal(Polite):
    """Decides the same, and spoils all that it was ever given and has ever returned."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__(fails)
        self.given: list[object] = []
        self.num_spoilt = 0

    def _spoil(self, *more: object) -> None:
        self.given += more
        self.num_spoilt += spoil(*self.given)

    def reset(self, system: System, seed: int) -> None:
        super().reset(system, seed)
        self.joint = {name: values.copy() for name, values in self.joint.items()}
        self._spoil(system)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        slot = snapshot.slot
        self._spoil(snapshot)
        self._fail_if_asked()
        ratio = ((self.pattern + slot) % 3) / 2.0
        decision = Decision(ratio, np.full(ratio.shape, self.share_hz), **{k: v.copy() for k, v in self.joint.items()})
        self.given.append(decision)  # to be spoilt in the next slot
        return decision

    def diagnostics(self) -> Diagnostics:
        told = Diagnostics(objective=1.5)
        self.given.append(told)
        return told

    def learn(self, outcomes: list[tuple[int, float]]) -> None:
        self._spoil(outcomes)


def digest(scenario: str, policy: Policy, *settings: str) -> Any:
    chosen = Scenario.load(scenario, ["time.num_slot=20", *_SCENARIOS[scenario], *settings])
    return run(chosen, policy=policy, seed=2).summary["digest"]


@pytest.mark.parametrize("scenario", _SCENARIOS)
def test_a_vandal_changes_nothing_but_its_own_copies(scenario: str) -> None:
    vandal = Vandal()
    assert digest(scenario, vandal) == digest(scenario, Polite())
    assert vandal.num_spoilt > 1000


def test_what_is_late_lost_and_predicted_is_kept_apart_too() -> None:
    """The belief then mixes reports of several slots in arrays of its own."""
    more = (
        "twin.estimator=predict",
        "network.access.loss=0.3",
        'network.access.jitter_s="300 ms"',
        'twin.decision.latency="250 ms"',
    )
    assert digest("dtecn-congested", Vandal(), *more) == digest("dtecn-congested", Polite(), *more)


def test_policy_and_fallback_are_kept_apart_from_each_other() -> None:
    """Of two that fail by turns, one spoils what it gets: the other decides as ever."""
    register("isolated-polite", Polite)
    register("isolated-vandal", Vandal)
    digests = {
        digest("dtecn-congested", policy, f"policy.fallback={fallback}")
        for policy in (Polite(fails=True), Vandal(fails=True))
        for fallback in ("isolated-polite", "isolated-vandal")
    }
    assert len(digests) == 1


def test_copies_share_nothing_with_what_they_are_of() -> None:
    """Nothing that can be changed is reached from both; the vandal above would not see what is read too late."""
    seen: list[TwinSnapshot] = []

    class Keeps(Polite):
        def decide(self, snapshot: TwinSnapshot) -> Decision:
            seen.append(snapshot)
            return super().decide(snapshot)

    run(Scenario.load("dtecn-congested", ["time.num_slot=6"]), policy=Keeps(), seed=1)
    original = seen[-1]  # a copy itself, which makes no difference
    made = Copies(original.system).of(original)

    def changeable(root: object) -> set[int]:
        kept.append(list(reached(root)))
        return {
            id(each) for each in kept[-1] if isinstance(each, np.ndarray | dict | list) or hasattr(each, "__dict__")
        }

    kept: list[list[object]] = []
    assert not changeable(made) & changeable(original)
    assert len(changeable(made)) > 30
    for name, values in vars(original).items():
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(getattr(made, name), values)


def test_the_vandal_can_be_seen() -> None:
    """The walk finds what it must: arrays behind views, cached values and tables of parameters."""
    system = Scenario.load("dtecn").system()
    hidden = np.arange(6.0)
    owner = {"deep": [hidden[2:4].view()]}
    spoil(owner)
    assert hidden.tobytes() != np.arange(6.0).tobytes()
    assert any(each is system.server for each in reached(system))
    assert spoil(system) > 30
    assert vars(system)["servers"] == 666.0
