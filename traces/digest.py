"""The digest of a table, which depends on its decoded values but not on the order of rows or their division in parts.

All columns of a row are mixed to 64 bits. The digest is the sum of these numbers over the rows, computed twice with
different constants. Tables with the same rows have equal digests. The digest protects against accidents, not against
forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from physical.arrays import Floats, Ints
from traces.arrays import numbers_of
from traces.schema import Column, Table

UInt64s = NDArray[np.uint64]

# A block's columns stay in the processor's cache while they are mixed.
_BLOCK_BYTES = 2**22
_NO_ROWS = "-0"  # how the digest of an empty table ends
_NULL = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _constant(text: str) -> np.uint64:
    """Return an odd 64-bit number that depends on a name."""
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) | 1)


def mix(values: UInt64s) -> UInt64s:
    """Scramble 64-bit numbers (the finaliser of SplitMix64); works in place."""
    values ^= values >> np.uint64(30)
    values *= _MIX[0]
    values ^= values >> np.uint64(27)
    values *= _MIX[1]
    values ^= values >> np.uint64(31)
    return values


class TableDigest:
    """Accumulates the digest of one table.

    block_bytes : rows are mixed in blocks of about this size
    """

    def __init__(self, table: Table, block_bytes: int = _BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._columns = tuple(column for column in table.columns if column.digested)
        self._constants = [_constant(f"{table.name}.{column.name}") for column in self._columns]
        self._start = _constant(table.name)
        self._sums = [0, 0]
        self._num_row = 0

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        if not table.num_rows:
            return
        num_row = max(1, self._block_bytes * table.num_rows // table.nbytes)
        for block in table.to_batches(max_chunksize=num_row):
            self._add_block(block)
        self._num_row += table.num_rows

    def _add_block(self, block: pa.RecordBatch) -> None:
        total = np.full(block.num_rows, self._start)
        for column, constant in zip(self._columns, self._constants, strict=True):
            values = block.column(column.name)
            if column.type == pa.float64() and not values.null_count and not numbers_of(values)[0].any():
                continue  # zeros add nothing, and some columns hold only zeros
            total += _array_bits(values, column) * constant
        row_hash = mix(total)
        self._sums[0] += int(row_hash.sum(dtype=np.uint64))
        self._sums[1] += int(mix(row_hash + self._start).sum(dtype=np.uint64))

    def hex(self) -> str:
        """Return the digest, 128 bits and the number of rows."""
        return "".join(f"{total % 2**64:016x}" for total in self._sums) + f"-{self._num_row}"


def bits(values: pa.ChunkedArray, column: Column) -> UInt64s:
    """Return the values of a column as 64-bit numbers, [num_row]."""
    return _array_bits(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0), column)


def _array_bits(array: pa.Array, column: Column) -> UInt64s:
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return _text_bits(array)
    if pa.types.is_list(column.type):
        return _list_bits(array)
    numbers, null = numbers_of(array)
    found = _short_bits(numbers) if column.single else _number_bits(numbers)
    return found if null is None else np.where(null, _NULL, found)


def _short_bits(numbers: Floats) -> UInt64s:
    """Return the bits of single precision if it holds the number exactly, else those of double precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        short = numbers.astype(np.float32)
    fits = (short == numbers) | np.isnan(numbers)
    return _number_bits(short) if fits.all() else np.where(fits, _number_bits(short), _number_bits(numbers))


def _number_bits(numbers: NDArray[Any]) -> UInt64s:
    if numbers.dtype == np.bool_:
        return numbers.astype(np.uint64)
    if numbers.dtype.kind == "f":
        # Equal values must have equal bits: adding zero turns -0.0 into 0.0, and all NaNs become the same.
        numbers = numbers + numbers.dtype.type(0)
        numbers[numbers != numbers] = np.nan  # noqa: PLR0124 - true for NaN only, in half the time of isnan
        if numbers.dtype == np.float32:
            return numbers.view(np.uint32).astype(np.uint64)
        return numbers.view(np.uint64)
    return numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64, copy=False).view(np.uint64)


def _text_bits(array: pa.Array) -> UInt64s:
    if not pa.types.is_dictionary(array.type):
        texts = array.to_pylist()
        hash_of = {text: _NULL if text is None else _constant(text) for text in set(texts)}
        return np.array([hash_of[text] for text in texts], dtype=np.uint64)
    codes, null = numbers_of(array.indices)
    hashes = np.array([_constant(text) for text in array.dictionary.to_pylist()] + [_NULL], dtype=np.uint64)
    chosen: UInt64s = hashes[codes if null is None else np.where(null, -1, codes)]
    return chosen


def _list_bits(array: pa.Array) -> UInt64s:
    """Mix the numbers of each list with their positions, because their order matters, and add them."""
    offsets, _ = numbers_of(array.offsets)
    length = np.diff(offsets)
    numbers = _number_bits(numbers_of(array.values)[0][offsets[0] : offsets[-1]])
    by_position = mix(np.arange(length.max(initial=0), dtype=np.uint64) + _NULL)
    position = np.concatenate([by_position[:0], *(by_position[:size] for size in length.tolist())])
    return _sum_by_row(mix(numbers ^ position), length)


def _sum_by_row(values: UInt64s, length: Ints) -> UInt64s:
    total: UInt64s = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values, out=total[1:])
    ends = np.cumsum(length)
    difference: UInt64s = total[ends] - total[ends - length]
    return difference


def digest_of_run(digests: Mapping[str, str]) -> str:
    """Combine the digests of the tables of a run, without messages, which may be missing, and with names if any."""
    counted = [item for item in digests.items() if item[0] not in {"messages", "entities"}]
    names = digests.get("entities", _NO_ROWS)
    return digest_of_digests(counted if names.endswith(_NO_ROWS) else [*counted, ("entities", names)])


def digest_of_digests(digests: Sequence[tuple[str, str]]) -> str:
    """Combine the digests of several named tables to the digest of a run."""
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(digests))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
