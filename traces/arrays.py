"""NumPy and Python values to Arrow arrays, and back.

`pyarrow.array` and `Array.to_numpy` do more, but they import pandas wherever it is installed: half a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Mask


def of_numbers(values: Any, kind: pa.DataType | None = None) -> pa.Array:
    """Return numbers or truth values as an Arrow array; contiguous ones of that type are not copied.

    values : array [num_row], perhaps masked, or a sequence in which None is null
    kind : type of the array; by default that of the values

    Raises
    ------
    OverflowError : a value that the type cannot hold
    ValueError : more than one dimension

    >>> of_numbers([1.5, None], pa.float64()).to_pylist()
    [1.5, None]
    >>> of_numbers(np.array([300]), pa.int8())
    Traceback (most recent call last):
    OverflowError: int8 cannot hold 300
    """
    dtype = None if kind is None else np.dtype(kind.to_pandas_dtype())
    if isinstance(values, np.ma.MaskedArray):
        null = np.ma.getmaskarray(values)
        data = values.data
    elif isinstance(values, np.ndarray):
        null, data = None, values
    else:
        null = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
        data = np.array([0 if value is None else value for value in values], dtype=None if len(values) else dtype)
    data = np.ascontiguousarray(data if dtype is None else _converted(data, dtype, null))
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    arrow_type = pa.from_numpy_dtype(data.dtype) if kind is None else kind
    if data.ndim != 1:
        raise ValueError(f"{data.ndim} dimensions are no column")
    is_bool = data.dtype == np.bool_
    buffer = _packed(data) if is_bool else pa.py_buffer(data)
    validity = None if null is None or not null.any() else _packed(~null)
    return pa.Array.from_buffers(arrow_type, len(data), [validity, buffer])


def _converted(data: NDArray[Any], dtype: np.dtype[Any], null: Mask | None) -> NDArray[Any]:
    """Return `data` with another type; numbers change at most by rounding to a shorter float."""
    if data.dtype == dtype:
        return data
    with np.errstate(invalid="ignore", over="ignore"):
        converted = data.astype(dtype)
    if dtype.kind != "f":
        wrong = converted != data
        if null is not None:
            wrong &= ~null
        if wrong.any():
            raise OverflowError(f"{dtype} cannot hold {data[wrong][0]}")
    return converted


def _packed(bits: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(bits, bitorder="little"))


def of_texts(values: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array.

    >>> of_texts(["on", "", "é"]).to_pylist()
    ['on', '', 'é']
    """
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(_converted(offsets, np.dtype(np.int32), None)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def of_names(values: Iterable[str], kind: pa.DataType) -> pa.Array:
    """Return texts that repeat as an Arrow dictionary, in the order in which they come first.

    >>> of_names(["on", "off", "on"], pa.dictionary(pa.int8(), pa.string())).indices.to_pylist()
    [0, 1, 0]
    """
    code: dict[str, int] = {}
    codes = [code.setdefault(value, len(code)) for value in values]
    return Coded(np.array(codes, dtype=np.int64), list(code)).to_arrow(kind)


@dataclass(frozen=True)
class Coded:
    """Texts that repeat, as what they are in a list of names.

    codes : [num_row], perhaps masked
    names : every text once
    """

    codes: NDArray[Any]
    names: Sequence[str]

    def __getitem__(self, rows: Mask) -> Coded:
        """Return some of the rows."""
        return Coded(self.codes[rows], self.names)

    def to_arrow(self, kind: pa.DataType) -> pa.Array:
        """Return them as an Arrow dictionary.

        >>> Coded(np.array([1, 0, 1]), ["off", "on"]).to_arrow(pa.dictionary(pa.int8(), pa.string())).to_pylist()
        ['on', 'off', 'on']
        """
        return pa.DictionaryArray.from_arrays(of_numbers(self.codes, kind.index_type), of_texts(self.names))


def of_rows(values: Any) -> pa.Array:
    """Return rows of numbers [num_row, ...] as an Arrow array of lists.

    >>> of_rows([[1, 2], [3, 4]]).to_pylist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    rows = np.ascontiguousarray(values, dtype=np.float64)
    size = rows[0].size if len(rows) else 0
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(size)
    return pa.ListArray.from_arrays(of_numbers(offsets), of_numbers(rows.reshape(-1)))


def to_arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """Return the values of a column as an Arrow array of a type that our tables have.

    >>> to_arrow([[0.5], [1.0]], pa.list_(pa.float64())).to_pylist()
    [[0.5], [1.0]]
    """
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, Coded):
        return values.to_arrow(kind)
    if pa.types.is_list(kind):
        return of_rows(values)
    if pa.types.is_dictionary(kind):
        return of_names(values, kind)
    return of_texts(values) if pa.types.is_string(kind) else of_numbers(values, kind)


def numbers_of(array: pa.Array) -> tuple[NDArray[Any], Mask | None]:
    """Return numbers or truth values [num_row], not copied if they are numbers, and where they are null, if any is.

    >>> numbers_of(of_numbers([1.5, None]))
    (array([1.5, 0. ]), array([False,  True]))
    """
    validity, data = array.buffers()
    begin, end = array.offset, array.offset + len(array)
    null = ~_unpacked(validity, begin, end) if array.null_count else None
    if pa.types.is_boolean(array.type):
        return _unpacked(data, begin, end), null
    return np.frombuffer(data or b"", dtype=array.type.to_pandas_dtype(), count=end)[begin:], null


def _unpacked(bits: pa.Buffer | None, begin: int, end: int) -> Mask:
    packed = np.frombuffer(bits or b"", dtype=np.uint8)
    return np.unpackbits(packed, count=end, bitorder="little")[begin:].astype(np.bool_)
