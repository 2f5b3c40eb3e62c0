"""The Bessel function J0, for the fading of eq. 4: `scipy.special` takes longer to import than a short run takes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from physical.arrays import Floats

# Cephes, j0.c; highest power first. J0's first two zeros, squared, then numerator and denominator up to 5.
_ZEROS = (5.78318596294678452118, 3.04712623436620863991e1)
_RP = (-4.79443220978201773821e9, 1.95617491946556577543e12, -2.49248344360967716204e14, 9.70862251047306323952e15)
_RQ = (
    *(1.0, 4.99563147152651017219e2, 1.73785401676374683123e5, 4.84409658339962045305e7, 1.11855537045356834862e10),
    *(2.11277520115489217587e12, 3.10518229857422583814e14, 3.18121955943204943306e16, 1.71086294081043136091e18),
)
# Beyond 5: amplitudes of the cosine and of the sine in 25 / x^2.
_PP = (
    *(7.96936729297347051624e-4, 8.28352392107440799803e-2, 1.23953371646414299388, 5.44725003058768775090),
    *(8.74716500199817011941, 5.30324038235394892183, 9.99999999999999997821e-1),
)
_PQ = (
    *(9.24408810558863637013e-4, 8.56288474354474431428e-2, 1.25352743901058953537, 5.47097740330417105182),
    *(8.76190883237069594232, 5.30605288235394617618, 1.00000000000000000218),
)
_QP = (
    *(-1.13663838898469149931e-2, -1.28252718670509318512, -1.95539544257735972385e1, -9.32060152123768231369e1),
    *(-1.77681167980488050595e2, -1.47077505154951170175e2, -5.14105326766599330220e1, -6.05014350600728481186),
)
_QQ = (
    *(1.0, 6.43178256118178023184e1, 8.56430025976980587198e2, 3.88240183605401609683e3),
    *(7.24046774195652478189e3, 5.93072701187316984827e3, 2.06209331660327847417e3, 2.42005740240291393179e2),
)


def bessel_j0(x: NDArray[np.floating] | float) -> Floats:
    """Return the Bessel function of the first kind and order zero, ``J0(x)``.

    Parameters
    ----------
    x : [...], no unit (rad where it is a phase)

    Returns
    -------
    [...], no unit, in [-0.403, 1]

    **Source** S. L. Moshier, Cephes Math Library (netlib), j0.c: rational approximations, which SciPy uses too. Up to 5
    the bits are SciPy's; beyond that the last may differ, where the cosines are those of another library.

    >>> bessel_j0(np.array([0.0, 2.404825557695773, 10.0])).round(9).tolist()
    [1.0, -0.0, -0.245935764]
    """
    size = np.abs(np.asarray(x, dtype=np.float64))
    z = np.minimum(size, 5.0) ** 2
    near = (z - _ZEROS[0]) * (z - _ZEROS[1]) * np.polyval(_RP, z) / np.polyval(_RQ, z)
    far_x = np.maximum(size, 5.0)
    w = 5.0 / far_x
    q = w * w
    cosine = np.polyval(_PP, q) / np.polyval(_PQ, q)
    sine = np.polyval(_QP, q) / np.polyval(_QQ, q)
    phase = far_x - 0.25 * np.pi
    far = (cosine * np.cos(phase) - w * sine * np.sin(phase)) * math.sqrt(2.0 / math.pi) / np.sqrt(far_x)
    found: Floats = np.where(size <= 5.0, np.where(size < 1e-5, 1.0 - 0.25 * z, near), far)
    return found
