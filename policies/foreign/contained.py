"""Calls a user's policy safely: it gets copies, and its results and errors become plain data before they are used.

The policies of this distribution change neither their input nor the process, which tests check. They are called
directly.
"""

from __future__ import annotations

import json
import math
import numbers
import sys
from collections.abc import Callable, Sequence
from typing import Any

from physical.errors import InputError
from physical.printable import one_line
from physical.system import System
from policies.api import Closes, Describes, Explains, Learns, Policy
from policies.foreign.closure import is_own_code
from policies.foreign.mistakes import is_plain, offers, said, told, wrong_signature
from policies.foreign.strangers import class_name, is_a
from policies.foreign.surroundings import Surroundings, comes_from_a_signal
from twin.decision import Diagnostics, Prompt
from twin.snapshot import Copies, TwinSnapshot

_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1
_MODEL_MAX = 200


class InvalidDiagnosticsError(ValueError):
    """A policy's `diagnostics` returned something that cannot be recorded."""


class Contained:
    """One policy, which gets copies of the twin's snapshots and of the system.

    Its methods raise the errors of the policy's methods.

    Parameters
    ----------
    policy : the policy
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._is_ours = _is_ours(policy)
        self._explains = offers(policy, Explains)
        self._surroundings = Surroundings()
        self._copies: Copies | None = None

    @property
    def learns(self) -> bool:
        """Whether the policy wants to know the results of slots."""
        return offers(self.policy, Learns)

    def reset(self, system: System, seed: int) -> None:
        """Get ready for a run.

        Raises
        ------
        InputError : the policy refuses the system; a user's policy may raise any other error
        """
        policy = self.policy
        if is_a(policy, type):
            name = class_name(policy)
            raise InputError("is a class", where="--policy", key=name, accepted=f"an object: {name}()")
        try:
            if self._is_ours:
                policy.reset(system, seed)
            else:
                self._copies = Copies(system)
                self._surroundings.call(policy.reset, self._copies.system, seed)
        except BaseException as error:
            if comes_from_a_signal(error) or is_plain(error):
                raise
            if (of_file := _of_file(error)) is not None:
                raise of_file from error
            if is_own_code(policy):
                raise
            problem = wrong_signature(error, policy, "reset", ("system", "seed")) or told(error, policy)
            raise InputError(problem, where="--policy", key=f"{class_name(policy)}.reset") from error

    def decide(self, snapshot: TwinSnapshot) -> Any:
        """Return the policy's decision on a copy of a snapshot; it may be any object."""
        if self._is_ours:
            return self.policy.decide(snapshot)
        if self._copies is None:  # for a caller that decides without a run
            self._copies = Copies(snapshot.system)
        return self._surroundings.call(self.policy.decide, self._copies.of(snapshot))

    def diagnostics(self) -> Diagnostics:
        """Return the policy's diagnostics of its last decision; empty if it has none.

        Raises
        ------
        InvalidDiagnosticsError : they cannot be recorded
        """
        if not self._explains:
            return Diagnostics()
        explain = self.policy.diagnostics  # type: ignore[attr-defined]  # seen at the beginning
        return plain_diagnostics(explain() if self._is_ours else self._surroundings.call(explain))

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Tell the policy the results of slots."""
        learn = self.policy.learn  # type: ignore[attr-defined]  # asked only of one that learns
        self._surroundings.call(learn, outcomes)

    def describe(self) -> Any:
        """Return the policy's description of itself as plain data; None if it has none.

        Raises
        ------
        InputError : the description fails, or is no plain data
        """
        if not offers(self.policy, Describes):
            return None
        try:
            found = self._surroundings.call(self.policy.describe)  # type: ignore[attr-defined]  # seen just now
            if found is None:
                return None
            if not isinstance(found, dict):
                raise TypeError(f"returned {class_name(found)}")
            return json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode("utf-8"))
        except BaseException as error:
            if comes_from_a_signal(error) or is_own_code(self.policy):
                raise
            key = f"{class_name(self.policy)}.describe"
            accepted = "a dict of texts, finite numbers, lists and dicts"
            raise InputError(told(error, self.policy), where="--policy", key=key, accepted=accepted) from error

    def close(self) -> str:
        """Let the policy release its resources; return the error, if there was one."""
        if not offers(self.policy, Closes):
            return ""
        try:
            self._surroundings.call(self.policy.close)  # type: ignore[attr-defined]  # seen just now
        except BaseException as error:
            if comes_from_a_signal(error):
                raise
            return f"{class_name(self.policy)}.close: {told(error, self.policy)}"
        return ""


def _is_ours(policy: object) -> bool:
    """Whether a policy is an unchanged object of one of our classes."""
    kind = type(policy)
    if not is_own_code(kind) or getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
        return False
    return not vars(policy).keys() & {"decide", "diagnostics", "reset"}


def _of_file(error: BaseException) -> InputError | None:
    """Return an error that names a file, if the given error is about a file and names it."""
    try:
        if not isinstance(error, OSError) or error.filename is None:
            return None
        problem = f"cannot be used: {error.strerror or said(error)}"
        return InputError(one_line(problem), where=one_line(str(error.filename)))
    except BaseException as failed:  # its fields may be properties of the user
        if comes_from_a_signal(failed):
            raise
        return None


def plain_diagnostics(found: Any) -> Diagnostics:
    """Return diagnostics that can be recorded; an infinite number has no meaning and becomes NaN.

    Raises
    ------
    InvalidDiagnosticsError : names the field and its value's type

    >>> plain_diagnostics(Diagnostics(gap=float("inf"))).gap
    nan
    >>> plain_diagnostics(Diagnostics(num_token=1j))
    Traceback (most recent call last):
    policies.foreign.contained.InvalidDiagnosticsError: diagnostics().num_token is complex, not an integer
    """
    if not isinstance(found, Diagnostics):
        raise InvalidDiagnosticsError(f"diagnostics() returned {class_name(found)}, not Diagnostics")
    fields = {name: check(getattr(found, name), name) for name, check in _FIELDS.items()}
    if (prompt := found.prompt) is not None:
        if not isinstance(prompt, Prompt):
            raise _wrong("prompt", prompt, "a Prompt")
        fields["prompt"] = Prompt(
            **{name: check(getattr(prompt, name), f"prompt.{name}") for name, check in _PROMPT_FIELDS.items()}
        )
    return Diagnostics(**fields)


def _wrong(name: str, value: object, wanted: str) -> InvalidDiagnosticsError:
    return InvalidDiagnosticsError(f"diagnostics().{name} is {class_name(value)}, not {wanted}")


def _number(value: object, name: str) -> float:
    if type(value) is not float and not isinstance(value, numbers.Real):
        raise _wrong(name, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidDiagnosticsError(f"diagnostics().{name} is too large") from None
    return number if math.isfinite(number) else math.nan


def _integer_to(most: int) -> Callable[[object, str], int]:
    def integer(value: object, name: str) -> int:
        if type(value) is not int and not _is_whole(value):
            raise _wrong(name, value, "an integer")
        whole: int = int(value)  # type: ignore[call-overload]  # seen above
        if not 0 <= whole <= most:
            raise InvalidDiagnosticsError(f"diagnostics().{name} is out of range, 0 to {most}")
        return whole

    return integer


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())


def _truth(value: object, name: str) -> bool:
    if type(value) is not bool and type(value).__name__ not in {"bool", "bool_"}:
        raise _wrong(name, value, "true or false")
    return bool(value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return one_line(value)[:_MODEL_MAX]


_count, _small_count = _integer_to(_INT64_MAX), _integer_to(_INT32_MAX)
_FIELDS: dict[str, Callable[[object, str], Any]] = {
    "feasible": _truth,
    "objective": _number,
    "lower_bound": _number,
    "gap": _number,
    "solve_s": _number,
    "num_token": _count,
    "num_binding": _count,
    "capacity_price": _number,
    "model": _text,
}
_PROMPT_FIELDS: dict[str, Callable[[object, str], Any]] = {
    "digest": _text,
    "num_case": _small_count,
    "num_token": _count,
    "num_reused_token": _count,
    "num_answer_token": _count,
    "guarded": _truth,
    "prefill_s": _number,
    "decode_s": _number,
}
