"""Reads the head of a GGUF file before llama.cpp does, because errors in it may crash llama.cpp or fill memory."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from physical.errors import InputError
from physical.reading import check_regular

ACCEPTED = "a GGUF model of llama.cpp"
_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by kind; texts and lists have their own lengths."""
_LEAST_ENTRY, _LEAST_TENSOR = 13, 24
"""Bytes of an entry and of a tensor's description, at least."""
_DIMENSIONS_MAX = 4
_TEXT_MAX = 1 << 20
"""Largest number of bytes of a name; no model has a longer one."""


class _Malformed(Exception):
    """An error in a head, with a sentence about it."""


def read_name(path: Path) -> str:
    """Return the name of a model in its own file, "" if it has none, and check that the head is complete.

    Every count and every length must fit into the file. llama.cpp checks the meaning of the entries.

    Raises
    ------
    InputError : the file is missing, unreadable or no GGUF file, or its head is damaged
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != _MAGIC:
                raise InputError("is not a GGUF file", where=str(path), accepted=ACCEPTED)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Head(data).read()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise InputError(reason, where=str(path), accepted=ACCEPTED) from None
    except _Malformed as error:
        raise InputError(f"its head is damaged: {error}", where=str(path), accepted=ACCEPTED) from None


class _Head:
    """Reads a head from its begin to its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read(self) -> str:
        """Return the model's name."""
        version = self._number("<I")
        if version not in {2, 3}:
            raise _Malformed(f"version {version}, not 2 or 3")
        num_tensor, num_entry = self._count(_LEAST_TENSOR, "tensors"), self._count(_LEAST_ENTRY, "entries")
        name = ""
        for _ in range(num_entry):
            key = self._text("a key")
            kind = self._number("<I")
            if key == b"general.name" and kind == _STRING:
                name = self._text("the name").decode("utf-8", "replace")
            else:
                self._skip(kind, key.decode("utf-8", "replace"))
        for _ in range(num_tensor):
            self._text("a tensor's name")
            num_dimension = self._number("<I")
            if num_dimension > _DIMENSIONS_MAX:
                raise _Malformed(f"a tensor of {num_dimension} dimensions")
            self._go_on(8 * num_dimension + 12)
        return name

    def _number(self, form: str) -> int:
        begin = self._at
        self._go_on(struct.calcsize(form))
        number: int = struct.unpack_from(form, self._data, begin)[0]
        return number

    def _go_on(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise _Malformed(f"it ends after {len(self._data)} bytes")
        self._at += size

    def _count(self, least: int, what: str) -> int:
        """Read a number of items that take at least a given number of bytes each."""
        number = self._number("<Q")
        if number * least > len(self._data):
            raise _Malformed(f"{number} {what} in {len(self._data)} bytes")
        return number

    def _text(self, what: str) -> bytes:
        size = self._number("<Q")
        if size > _TEXT_MAX:
            raise _Malformed(f"{what} of {size} bytes")
        begin = self._at
        self._go_on(size)
        return self._data[begin : self._at]

    def _skip(self, kind: int, key: str) -> None:
        """Skip a value."""
        if kind == _STRING:
            self._go_on(self._number("<Q"))
        elif kind == _ARRAY:
            inner = self._number("<I")
            number = self._count(8 if inner == _STRING else 1, f"values of {key}")
            if inner == _STRING:
                for _ in range(number):
                    self._go_on(self._number("<Q"))
            else:
                self._go_on(number * self._size(inner, key))
        else:
            self._go_on(self._size(kind, key))

    def _size(self, kind: int, key: str) -> int:
        if kind not in _SIZES:
            raise _Malformed(f"{key} is of kind {kind}")
        return _SIZES[kind]
