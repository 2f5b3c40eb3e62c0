"""What policies may return in place of an array of numbers, and by which words the rest is refused."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from physical.system import System
from policies.feasible import project
from policies.foreign.answers import InvalidDecisionError, numbers_of
from policies.guarded import GuardedPolicy
from sim import Scenario
from tests.support.snapshots import EXAMPLE, make_snapshot
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

SHAPE = (2, 2)
HALVES = [[0.5, 0.25], [0.0, 1.0]]
SNAPSHOT = make_snapshot(*EXAMPLE, 0.0)


class Lying(np.ndarray[Any, Any]):
    """A subclass that says of itself what is not so."""

    dtype = property(lambda self: fails())
    shape = property(lambda self: (77, 77))

    def __array_finalize__(self, obj: Any) -> None:
        if obj is None:
            raise ValueError("made by nobody")

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return "no"


class Converts:
    """Becomes an array by whatever code."""

    def __init__(self, convert: Callable[[], Any]) -> None:
        self.convert = convert

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.convert()


def fails() -> Any:
    raise OverflowError("two\nlines")


GOOD: dict[str, Any] = {
    "lists": HALVES,
    "tuples": tuple(map(tuple, HALVES)),
    "single precision": np.array(HALVES, dtype=np.float32),
    "half precision": np.array(HALVES, dtype=np.float16),
    "long double": np.array(HALVES, dtype=np.longdouble),
    "Fortran order": np.asfortranarray(HALVES),
    "big-endian": np.array(HALVES, dtype=">f8"),
    "objects": np.array([[Fraction(1, 2), 0.25], [0, np.float32(1.0)]], dtype=object),
    "nothing masked": np.ma.MaskedArray(HALVES, mask=False),
    "subclass": np.array(HALVES).view(np.matrix),
    "liar": np.array(HALVES).view(Lying),
    "converts": Converts(lambda: np.array(HALVES)),
    "memory": np.array(HALVES).data,
}


@pytest.mark.parametrize("kind", GOOD)
def test_numbers_are_numbers(kind: str) -> None:
    found = numbers_of(GOOD[kind], "x", SHAPE)
    assert type(found) is np.ndarray
    assert found.dtype == np.float64
    assert found.tolist() == HALVES
    assert not np.shares_memory(found, np.asarray(GOOD["liar"]))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64])
def test_truth_and_whole_numbers_count_as_numbers(kind: type) -> None:
    assert numbers_of(np.array([[1, 0], [0, 1]], dtype=kind), "x", SHAPE).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def _filled(value: Any) -> list[list[Any]]:
    return [[0.5, 0.5], [0.5, value]]


BAD: dict[str, tuple[Any, str]] = {
    "complex": (np.array(HALVES, dtype=complex), "x has complex values"),
    "complex single": (np.array(HALVES, dtype=np.complex64), "x has complex values"),
    "one complex": (_filled(1j), "x has complex values"),
    "complex object": (np.array(_filled(1j), dtype=object), "x has complex values"),
    "texts": ([["0.5", "0.5"], ["0.5", "0.5"]], "x is not an array of numbers, but of texts"),
    "bytes": (np.full(SHAPE, b"0.5"), "x is not an array of numbers, but of texts"),
    "dates": (np.full(SHAPE, np.datetime64("2026-01-01")), "x is not an array of numbers, but of dates"),
    "times": (np.full(SHAPE, np.timedelta64(1, "s")), "x is not an array of numbers, but of times"),
    "date objects": (_filled(datetime.date(2026, 1, 1)), "x is not an array of numbers, but of date"),
    "records": (np.zeros(SHAPE, dtype=[("a", float)]), "x is not an array of numbers, but of records"),
    "None": (None, "x is not an array of numbers, but of NoneType"),
    "one None": (_filled(None), "x is not an array of numbers, but of NoneType"),
    "object": (SimpleNamespace(), "x is not an array of numbers, but of SimpleNamespace"),
    "generator": ((row for row in HALVES), "x is not an array of numbers, but of generator"),
    "set": ({0.5}, "x is not an array of numbers, but of set"),
    "dict": ({"a": 1}, "x is not an array of numbers, but of dict"),
    "sparse": (scipy.sparse.csr_matrix(HALVES), "x is not an array of numbers, but of csr_matrix"),
    "masked": (np.ma.MaskedArray(HALVES, mask=[[True, False], [False, False]]), "x has values that are masked"),
    "huge": (_filled(10**400), "x has a value that is too large"),
    "ragged": ([[0.5], [0.5, 0.5]], "x is not an array of numbers: ValueError"),
    "failing": (Converts(fails), "x is not an array of numbers: OverflowError: two"),
    "converts to text": (Converts(lambda: "text"), "x is not an array of numbers: ValueError"),
    "number": (0.5, "x has shape [], not [2, 2]"),
    "flat": (np.zeros(4), "x has shape [4], not [2, 2]"),
    "deep": (np.zeros((2, 2, 1)), "x has shape [2, 2, 1], not [2, 2]"),
    "too many": (np.broadcast_to(0.5, (10**7, 10**7)), "x has shape [10000000, 10000000], not [2, 2]"),
    "too many in single precision": (np.broadcast_to(np.float32(0.5), (10**9,)), "x has shape [1000000000]"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_array_of_numbers_is_refused_by_its_name(kind: str) -> None:
    values, words = BAD[kind]
    with pytest.raises(InvalidDecisionError) as caught:
        numbers_of(values, "x", SHAPE)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e301, 10**305, np.longdouble("1e4000")])
def test_what_is_not_finite_is_refused_without_a_warning(value: Any) -> None:
    decision = Decision(np.array(_filled(value)), np.zeros(SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidDecisionError, match="not finite"):
            project(SNAPSHOT.system, decision, SNAPSHOT.estimation_bias_hz)


def test_a_tensor_that_carries_a_gradient_is_told() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra marl")
    assert numbers_of(torch.tensor(HALVES), "x", SHAPE).tolist() == HALVES
    with pytest.raises(InvalidDecisionError, match="RuntimeError: Can't call numpy"):
        numbers_of(torch.tensor(HALVES, requires_grad=True), "x", SHAPE)
    with pytest.raises(InvalidDecisionError, match="complex"):
        numbers_of(torch.zeros(SHAPE, dtype=torch.complex64), "x", SHAPE)


class _Returns:
    def __init__(self, values: Any) -> None:
        self.values = values

    def reset(self, system: System, seed: int) -> None:
        pass

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return Decision(self.values, np.zeros(SHAPE))


def test_complex_values_cost_the_decision_and_no_warning() -> None:
    """NumPy would take the real part, and warn."""
    fallback = _Returns(np.zeros(SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ruling = GuardedPolicy(_Returns(np.array(HALVES) + 1j), fallback).rule(SNAPSHOT)
    assert ruling.fallback.startswith("InvalidDecisionError: offloading_ratio has complex values")
    assert not ruling.decision.offloading_ratio.any()


def test_what_is_sent_is_not_what_the_policy_holds() -> None:
    system = Scenario.load("dtecn", ["vehicles.num_vehicle=2"]).system()
    shape = (system.num_vehicle, system.num_class)
    given = Decision(np.full(shape, 0.5), np.full(shape, 1e9))
    sent, repaired = project(system, given, np.zeros(shape))
    assert not repaired
    assert not np.shares_memory(sent.offloading_ratio, given.offloading_ratio)
    assert not np.shares_memory(sent.compute_allocation_hz, given.compute_allocation_hz)
