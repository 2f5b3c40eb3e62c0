"""Transformer layers: work and activations of a forward pass."""

from __future__ import annotations

from physical.model.arrays import Array
from physical.model.units import BITS_PER_BYTE


def layer_flops(num_token: Array, hidden_size: Array, batch_size: Array) -> Array:
    """Return the work of one layer on a whole sequence: ``psi = 24 B d h^2 + 4 B d^2 h``.

    Parameters
    ----------
    num_token : [...], no unit, length d of the sequence
    hidden_size : [...], no unit, h
    batch_size : [...], no unit, B

    Returns
    -------
    [...], FLOP without unit, of one forward pass through one layer

    **Source** paper 'llm6g', section II-A. The text says "per token"; the terms add up to the whole sequence.

    >>> layer_flops(2, 10, 1)
    4960
    """
    return (
        24 * batch_size * num_token * hidden_size * hidden_size + 4 * batch_size * num_token * num_token * hidden_size
    )


def activation_bytes(num_token: Array, hidden_size: Array, batch_size: Array, bits_per_activation: Array) -> Array:
    """Return the size of the activations between two layers: ``B d h`` numbers.

    Parameters
    ----------
    num_token : [...], no unit, length d of the sequence
    hidden_size : [...], no unit, h
    batch_size : [...], no unit, B
    bits_per_activation : [...], no unit, a multiple of 8

    Returns
    -------
    [...], bytes

    **Source** none: eq. 4 of paper 'llm6g' sends "data with size d_n", which are tokens; this is what must be sent.

    >>> activation_bytes(3, 4096, 1, 16)
    24576
    """
    return num_token * hidden_size * batch_size * (bits_per_activation // BITS_PER_BYTE)


def layer_cycles(num_token: Array, hidden_size: Array, batch_size: Array, flop_per_clock_cycle: Array) -> Array:
    """Return the clock cycles of one layer: ``psi / (C D)``.

    Parameters
    ----------
    num_token : [...], no unit, length d of the sequence
    hidden_size : [...], no unit, h
    batch_size : [...], no unit, B
    flop_per_clock_cycle : [...], FLOP/cycle, no unit, cores C times FLOP per cycle and core D

    Returns
    -------
    [...], cycles

    **Source** paper 'llm6g', eqs. 1 and 7 without the frequency.

    >>> layer_cycles(2, 10, 1, 16)
    310.0
    """
    return layer_flops(num_token, hidden_size, batch_size) / flop_per_clock_cycle
