"""Eigenvectors that are the same on every processor.

`numpy.linalg.eigh` calls kernels that are chosen by the processor, and adds up in another order with other threads. Its
last bits therefore differ, and eigenvectors multiply that difference by the reciprocal of the gap between neighbouring
eigenvalues: enough to change float32 weights, and with equal eigenvalues the whole basis. Here every operation is an
addition, multiplication, division or square root of IEEE doubles in a fixed order.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack  # type: ignore[import-untyped]

Doubles = npt.NDArray[np.float64]


def eigh(matrix: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues in ascending order and eigenvectors, as columns, of a symmetric matrix.

    Householder's reduction to tridiagonal form (Golub and Van Loan, Matrix Computations, 8.3.1), then LAPACK's implicit
    QL iteration (`dstev`), which works on scalars and reads no processor's features. Equal eigenvalues get the basis
    that this arithmetic gives them, which is the same everywhere.

    Args:
        matrix: ``(n, n)``, exactly symmetric and finite.
    """
    diagonal, beside, reflectors = _tridiagonal(matrix)
    values, vectors, info = lapack.dstev(diagonal, beside)
    if info:
        raise ArithmeticError(f"the QL iteration of LAPACK's dstev did not converge ({info} values are left)")
    vectors = np.ascontiguousarray(vectors)
    for row, reflector in reversed(list(enumerate(reflectors, start=1))):
        _reflect(vectors[row:], reflector)
    return values, vectors


def _tridiagonal(matrix: Doubles) -> tuple[Doubles, Doubles, list[Doubles]]:
    """Diagonal, the numbers beside it, and the unit vector of each reflection."""
    left = np.array(matrix, dtype=np.float64)
    size = len(left)
    # One number beside the diagonal even of a 1 x 1 matrix: dstev's wrapper wants an array that is not empty.
    diagonal, beside = np.zeros(size), np.zeros(max(1, size - 1))
    reflectors = []
    for step in range(size - 1):
        diagonal[step] = left[0, 0]
        reflector = left[1:, 0].copy()
        left = left[1:, 1:].copy()
        length = math.sqrt(_dot(reflector, reflector))
        beside[step] = -math.copysign(length, reflector[0])
        reflector[0] -= beside[step]
        norm = math.sqrt(_dot(reflector, reflector))
        if norm > 0:
            reflector /= norm
            product = _columns(left, reflector)
            product -= _dot(product, reflector) * reflector
            left -= 2 * (np.outer(reflector, product) + np.outer(product, reflector))
        reflectors.append(reflector)
    diagonal[-1] = left[0, 0]
    return diagonal, beside, reflectors


def _reflect(rows: Doubles, reflector: Doubles) -> None:
    rows -= 2 * np.outer(reflector, _columns(rows, reflector))


def _columns(rows: Doubles, weights: Doubles) -> Doubles:
    """``weights @ rows``, one row after the other: the order in which numpy adds along the first axis."""
    total: Doubles = np.add.reduce(rows * weights[:, None], axis=0)
    return total


def _dot(one: Doubles, other: Doubles) -> float:
    """The sum of the products, rounded once."""
    return math.fsum(one * other)
