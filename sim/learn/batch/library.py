"""Arrays of NumPy or torch with the batch axis innermost in memory, as sums over vehicles and classes need it.

Shapes are [B, N, K] for everybody, but consecutive numbers in memory belong to consecutive environments: a sum over
three classes is then two additions of long vectors, twenty times faster than many sums of three numbers.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from physical.extras import needs
from physical.model.arrays import Array
from physical.quantize import freeze

LibraryName = Literal["numpy", "torch"]
Dtype = Literal["float64", "float32"]


class Library(Protocol):
    """What differs between array libraries."""

    def constant(self, values: NDArray[Any]) -> Array:
        """Return an array that never changes, of any type, in the library."""

    def share(self, values: NDArray[Any]) -> Array:
        """Return an array of inputs in the library, without a copy where that is possible."""

    def decided(self, values: Array) -> Array:
        """Return a decision [B, N, K] or [B, N] with the batch axis innermost; gradients pass."""

    def carried(self, values: Array) -> Array:
        """Return what goes on to the next slot: cut off from gradients."""


class NumpyLibrary:
    """NumPy, in float64."""

    def constant(self, values: NDArray[Any]) -> Array:
        """Return the array itself."""
        return values

    def share(self, values: NDArray[Any]) -> Array:
        """Return the array itself, read-only."""
        freeze(values)
        return values

    def decided(self, values: Array) -> Array:
        """Return the array, copied if another axis is innermost."""
        values = np.asarray(values, dtype=np.float64)
        if values.strides[0] == values.itemsize or len(values) == 1:
            return values
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 0, -1)), -1, 0)

    def carried(self, values: Array) -> Array:
        """Return the array itself, read-only."""
        freeze(values)
        return values


class TorchLibrary:
    """Torch on the CPU.

    Raises
    ------
    InputError : torch is not installed
    """

    def __init__(self, dtype: Dtype) -> None:
        try:
            import torch
        except ImportError as error:
            raise needs("marl", error, where="batch", key="library") from None
        self._torch = torch
        self._dtype = torch.float64 if dtype == "float64" else torch.float32

    def constant(self, values: NDArray[Any]) -> Array:
        """Return a tensor; integers stay integers."""
        tensor = self._torch.tensor(values.copy())
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def share(self, values: NDArray[Any]) -> Array:
        """Return a tensor, on the same memory unless numbers get another type."""
        tensor = self._torch.from_numpy(values)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def decided(self, values: Array) -> Array:
        """Return the tensor, copied if another axis is innermost."""
        if values.stride(0) == 1 or len(values) == 1:
            return values
        return values.movedim(0, -1).contiguous().movedim(-1, 0)

    def carried(self, values: Array) -> Array:
        """Return the tensor without its history."""
        return values.detach()


def library_of(name: LibraryName, dtype: Dtype) -> Library:
    """Return a library by name.

    Raises
    ------
    InputError : unknown name or number type, or torch is not installed
    """
    if dtype not in ("float64", "float32"):
        raise InputError(f"{dtype!r} is not a type of numbers", where="batch", key="dtype", accepted="float64, float32")
    if name == "torch":
        return TorchLibrary(dtype)
    if name != "numpy":
        raise InputError(f"there is no library {name!r}", where="batch", key="library", accepted="numpy, torch")
    if dtype != "float64":
        raise InputError("NumPy computes in float64", where="batch", key="dtype", accepted="float64")
    return NumpyLibrary()
