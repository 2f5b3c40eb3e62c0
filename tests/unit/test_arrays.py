"""`traces.arrays` does what pyarrow does, without pandas; checked against pyarrow itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.arrays import Coded, numbers_of, of_names, of_numbers, of_rows, of_texts

VALUES = {
    pa.int8(): st.integers(-128, 127),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
}
KINDS = st.sampled_from(list(VALUES))


@given(st.data(), KINDS)
def test_lists_with_gaps(data: st.DataObject, kind: pa.DataType) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=20))
    made = of_numbers(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@given(st.data(), KINDS)
def test_masked_arrays_and_back(data: st.DataObject, kind: pa.DataType) -> None:
    """Also of a part of them, whose bits do not begin with a byte."""
    values = np.array(data.draw(st.lists(VALUES[kind], max_size=20)), dtype=kind.to_pandas_dtype())
    null = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=np.bool_)
    made = of_numbers(np.ma.MaskedArray(values, mask=null), kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind, mask=null))
    begin = data.draw(st.integers(0, len(values)))
    found, missing = numbers_of(made[begin:])
    assert (missing is None) == (not null[begin:].any())
    assert np.array_equal(found[~null[begin:]], values[begin:][~null[begin:]])
    if missing is not None:
        assert np.array_equal(missing, null[begin:])


def test_contiguous_numbers_are_not_copied() -> None:
    values = np.arange(5.0)
    assert np.shares_memory(numbers_of(of_numbers(values))[0], values)
    strided = np.arange(10.0)[::2]
    assert of_numbers(strided).to_pylist() == strided.tolist()


@pytest.mark.parametrize(
    ("values", "kind"),
    [([2**31], pa.int32()), (np.array([-1]), pa.uint64()), (np.array([0.5]), pa.int64()), ([2], pa.bool_())],
)
def test_what_a_type_cannot_hold_is_refused(values: Any, kind: pa.DataType) -> None:
    with pytest.raises(OverflowError):
        of_numbers(values, kind)
    hidden = np.ma.MaskedArray(np.asarray(values), mask=True)
    assert of_numbers(hidden, kind).to_pylist() == [None]


def test_bytes_of_another_order_are_turned_round() -> None:
    assert of_numbers(np.array([1.5, 2.5], dtype=">f8")).to_pylist() == [1.5, 2.5]


@pytest.mark.parametrize("kind", [None, pa.float64()])
def test_more_than_one_dimension_is_refused(kind: pa.DataType | None) -> None:
    with pytest.raises(ValueError, match="2 dimensions are no column"):
        of_numbers(np.ones((2, 3)), kind)


@given(st.lists(st.text(max_size=3), max_size=20))
def test_texts(texts: list[str]) -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    assert of_texts(texts).equals(pa.array(texts, pa.string()))
    named = of_names(texts, kind)
    named.validate(full=True)
    assert named.equals(pa.array(texts, pa.string()).dictionary_encode())
    coded = Coded(np.arange(len(texts)), texts)
    chosen = np.arange(len(texts)) % 2 == 0
    assert coded[chosen].to_arrow(kind).to_pylist() == texts[::2]


def test_rows() -> None:
    values = np.arange(12.0).reshape(2, 3, 2)
    assert of_rows(values).to_pylist() == values.reshape(2, 6).tolist()
    assert of_rows(np.empty((3, 0))).to_pylist() == [[], [], []]
    assert of_rows(np.empty((0, 4))).to_pylist() == []
