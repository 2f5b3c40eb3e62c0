"""Policies that misbehave now and then, each in its own way; in between they decide at random."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from physical.system import System
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot


class _Speechless(Exception):
    """An error that cannot be told: its text raises another one."""

    def __str__(self) -> str:
        raise KeyError(7)


class _Odd(Exception):
    """An error with more text than anybody wants to read, in two lines, one of them beyond ASCII."""

    def __str__(self) -> str:
        return "\n".join(["x" * 5000, "\u2028\u0000\ud800 <script>"])


def _raised(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def _recurse(*given: Any) -> Any:
    return _recurse(*given)


def _with(name: str, change: Callable[[Any], Any]) -> Callable[[TwinSnapshot, Decision], Any]:
    return lambda _, decision: replace(decision, **{name: change(getattr(decision, name))})


def _first_is(value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        changed = np.array(values, dtype=complex if isinstance(value, complex) else float)
        changed.flat[0] = value
        return changed

    return change


def _mutate_arrays(snapshot: TwinSnapshot, decision: Decision) -> Decision:
    for owner in (snapshot, snapshot.system):
        for values in list(vars(owner).values()):
            if isinstance(values, np.ndarray):
                base = values
                while isinstance(base.base, np.ndarray):
                    base = base.base
                try:
                    base.setflags(write=True)
                    values.setflags(write=True)
                    values[...] = -7.0
                except ValueError:
                    continue
    return decision


def _mutate_fields(snapshot: TwinSnapshot, decision: Decision) -> Decision:
    for owner in (snapshot.system, snapshot):
        for name, values in list(vars(owner).items()):
            if isinstance(values, np.ndarray):
                object.__setattr__(owner, name, np.full_like(values, -3))
            elif isinstance(values, float):
                object.__setattr__(owner, name, -5.0)
    return decision


def _write(snapshot: TwinSnapshot, decision: Decision) -> Decision:
    snapshot.size_bytes[0, 0] = 1.0
    return decision


_ODD_RATIOS: dict[str, Any] = {
    **{name: float(name) for name in ("nan", "inf", "-inf")},
    "huge": 1e308,
    "tiny": 5e-324,
    "negative": -3.0,
    "complex": 1 + 2j,
}
_ERRORS: dict[str, BaseException] = {
    "key": KeyError(3),
    "overflow": OverflowError(34, "too large"),
    "assertion": AssertionError(),
    "stop": StopIteration(),
    "memory": MemoryError(),
    "os": OSError(5, "Input/output error"),
    "odd": _Odd(),
    "speechless": _Speechless(),
    "unicode": UnicodeDecodeError("ascii", b"\xff", 0, 1, "bad"),
    "zero": ZeroDivisionError(),
    "float": FloatingPointError(),
    "group": ExceptionGroup("two", [KeyError(1)]),
}
DECISIONS: dict[str, Callable[[TwinSnapshot, Decision], Any]] = {
    **{f"raise-{name}": _raised(error) for name, error in _ERRORS.items()},
    "recurse": _recurse,
    **{f"ratio-{name}": _with("offloading_ratio", _first_is(value)) for name, value in _ODD_RATIOS.items()},
    **{f"share-{name}": _with("compute_allocation_hz", _first_is(value)) for name, value in _ODD_RATIOS.items()},
    "ratio-none": _with("offloading_ratio", lambda _: None),
    "ratio-text": _with("offloading_ratio", lambda _: "all"),
    "ratio-list": _with("offloading_ratio", lambda values: values.tolist()),
    "ratio-ragged": _with("offloading_ratio", lambda values: [[1.0], [1.0, 2.0]]),
    "ratio-object": _with("offloading_ratio", lambda values: np.full(values.shape, "x", dtype=object)),
    "ratio-scalar": _with("offloading_ratio", lambda _: 0.5),
    "ratio-flat": _with("offloading_ratio", np.ravel),
    "ratio-transposed": _with("offloading_ratio", np.asfortranarray),
    "ratio-more": _with("offloading_ratio", lambda values: np.vstack([values, values])),
    "ratio-bool": _with("offloading_ratio", lambda values: values > 0.5),
    "ratio-single": _with("offloading_ratio", lambda values: values.astype(np.float32)),
    "radio-odd": _with("bandwidth_hz", lambda values: np.ones(3) if values is None else -values),
    "power-none": _with("transmit_power_w", lambda values: np.ones(1) if values is None else None),
    "none": lambda *_: None,
    "tuple": lambda _, decision: (decision.offloading_ratio, decision.compute_allocation_hz),
    "class": lambda *_: Decision,
    "generator": lambda _, decision: (row for row in decision.offloading_ratio),
    "write": _write,
    "mutate-arrays": _mutate_arrays,
    "mutate-fields": _mutate_fields,
}
_NOTHING = Diagnostics()
DIAGNOSTICS: dict[str, Any] = {
    "not-diagnostics": {"gap": 0.0},
    **{f"gap-{name}": replace(_NOTHING, gap=value) for name, value in _ODD_RATIOS.items()},
    **{f"bound-{name}": replace(_NOTHING, lower_bound=value) for name, value in _ODD_RATIOS.items()},
    "gap-none": Diagnostics(gap=None),  # type: ignore[arg-type]  # what a careless policy may do
    "gap-text": Diagnostics(gap="small"),  # type: ignore[arg-type]  # the same
    "gap-array": Diagnostics(gap=np.zeros(3)),  # type: ignore[arg-type]  # the same
    "token-huge": Diagnostics(num_token=2**70),
    "token-float": Diagnostics(num_token=1.5),  # type: ignore[arg-type]  # the same
    "binding-none": Diagnostics(num_binding=None),  # type: ignore[arg-type]  # the same
    "feasible-none": Diagnostics(feasible=None),  # type: ignore[arg-type]  # the same
    "feasible-text": Diagnostics(feasible="yes"),  # type: ignore[arg-type]  # the same
    "model-number": Diagnostics(model=3),  # type: ignore[arg-type]  # the same
    "model-odd": Diagnostics(model="<b>\ud800\n" + "m" * 3000),
    "prompt-text": Diagnostics(prompt="hello"),  # type: ignore[arg-type]  # the same
    "price-text": Diagnostics(capacity_price="dear"),  # type: ignore[arg-type]  # the same
}
_CYCLE: list[Any] = []
_CYCLE.append(_CYCLE)
METHODS: dict[str, tuple[str, Callable[..., Any]]] = {
    **{f"reset-{name}": ("reset", _raised(error)) for name, error in _ERRORS.items()},
    **{f"close-{name}": ("close", _raised(error)) for name, error in _ERRORS.items()},
    **{f"learn-{name}": ("learn", _raised(error)) for name, error in _ERRORS.items()},
    **{f"diagnostics-{name}": ("diagnostics", _raised(error)) for name, error in _ERRORS.items()},
    **{f"describe-{name}": ("describe", _raised(error)) for name, error in _ERRORS.items()},
    "describe-none": ("describe", lambda _: None),
    "describe-set": ("describe", lambda _: {"of": {1, 2}}),
    "describe-nan": ("describe", lambda _: {"of": float("nan")}),
    "describe-key": ("describe", lambda _: {(1, 2): 3}),
    "describe-cycle": ("describe", lambda _: {"of": _CYCLE}),
    "describe-text": ("describe", lambda _: {"of": "\ud800"}),
    "learn-nothing": ("learn", lambda *_: None),
}
KINDS = (*DECISIONS, *DIAGNOSTICS, *METHODS, "slow", "alias", "fine")


@dataclass
class Rogue:
    """Misbehaves as `kind` says in every `every`-th decision.

    offload : ratios are "some", "all" or "none"
    load : part of the server that is handed out
    """

    kind: str = "fine"
    every: int = 2
    offload: str = "some"
    load: float = 1.0

    def __post_init__(self) -> None:
        if self.kind in METHODS:
            name, method = METHODS[self.kind]
            vars(self)[name] = lambda *given: method(self, *given)

    def reset(self, system: System, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        # A copy: what a policy may do to the description of the system must not change what it decides later.
        self._shape = (system.num_vehicle, system.num_class)
        self._joint = bool(system.joint)
        self._most = [np.array(values) for values in (system.cpu_hz, system.transmit_power_w)]
        self._server_hz, self._pool_hz = float(system.node_hz[0]), float(system.node_bandwidth_hz[0])
        self._turn = 0
        self._last = np.zeros(self._shape)

    def decide(self, snapshot: TwinSnapshot) -> Any:
        self._turn += 1
        decision = self._fine()
        if self._turn % self.every:
            return decision
        if self.kind == "slow":
            time.sleep(0.002)
        if self.kind == "alias":  # what was commanded before must not follow
            self._last[...] = self._generator.random(self._shape)
            return replace(decision, offloading_ratio=self._last)
        act = DECISIONS.get(self.kind)
        return decision if act is None else act(snapshot, decision)

    def _fine(self) -> Decision:
        ratio = np.clip(1.6 * self._generator.random(self._shape) - 0.3, 0.0, 1.0)
        if self.offload != "some":
            ratio = np.full(self._shape, float(self.offload == "all"))
        part = self._generator.exponential(size=self._shape)
        share_hz = self.load * self._server_hz * part / max(float(part.sum()), 1e-9)
        if not self._joint:
            return Decision(ratio, share_hz)
        hz, power, width = self._generator.random((3, self._shape[0]))
        pool_hz = 2.0 * self.load * width * self._pool_hz / self._shape[0]
        return Decision(ratio, share_hz, (0.2 + hz) * self._most[0], 1.1 * power * self._most[1], pool_hz)


class Explaining(Rogue):
    """One that also tells what it thinks of its decisions."""

    def diagnostics(self) -> Any:
        return DIAGNOSTICS[self.kind] if self._turn % self.every == 0 else Diagnostics()


def make_rogue(text: str) -> Rogue:
    """Make the policy that ``rogue:kind=nan,every=2`` names."""
    options: dict[str, Any] = dict(part.split("=") for part in text.partition(":")[2].split(",") if part)
    typed: dict[str, Any] = {"every": int(options.pop("every", 2)), "load": float(options.pop("load", 1.0))}
    kind = options.get("kind", "fine")
    return (Explaining if kind in DIAGNOSTICS else Rogue)(**options, **typed)


def names() -> Sequence[str]:
    """Return the kinds."""
    return KINDS
