"""Pieces of the fixed maps: unit rows, linear maps fitted by whitened PCA, windows as vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import DataError, ParamsError
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.eigen import eigh
from kblampp.encoding.sentence_encoder import DoubleArray, FloatArray

IntArray = npt.NDArray[np.int32]

_DAYS_PER_YEAR = 365.2425
_LONGEST_PERIOD, _SHORTEST_PERIOD = 400.0, 4.0  # years; the sinusoids' scales lie between
_LOG_LONGEST = math.log1p(9999 * _DAYS_PER_YEAR)
# A map is fitted on vectors in steps of 2^-13.  The encoder's float64 results differ by 10^-16 between processors, so
# that any of a million numbers falls on another step has a chance of 10^-6; the grid adds 10^-9 to the variance.
_STEPS = 2.0**13
# Below this share of the largest eigenvalue a component is rounding noise, not spread.
_RANK_TOLERANCE = 1e-6


def unit(vectors: npt.NDArray[np.floating[Any]]) -> DoubleArray:
    """Rows scaled to norm one, float64; rows of zeros stay zeros."""
    rows = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: DoubleArray = rows / np.where(norms == 0, 1, norms)
    return scaled


@dataclass(frozen=True, eq=False)
class LinearMap:
    """``x @ weight.T + bias``, computed in float64: who writes the result rounds it, once.

    Attributes:
        weight: ``(d_out, d_in)`` float32.
        bias: ``(d_out,)`` float32.
    """

    weight: FloatArray
    bias: FloatArray

    def __call__(self, vectors: npt.NDArray[np.floating[Any]]) -> DoubleArray:
        """Map ``(n, d_in)`` to ``(n, d_out)``."""
        mapped: DoubleArray = np.asarray(vectors, np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return mapped

    def unit(self, vectors: npt.NDArray[np.floating[Any]]) -> DoubleArray:
        """Map ``(n, d_in)`` to ``(n, d_out)`` rows of norm one."""
        return unit(self(vectors))


class Moments:
    """Number, sums and products of vectors, which may come in blocks and in any order.

    The vectors are put on a grid.  Sums and products of whole numbers are exact in float64, in any order, up to 2^53:
    for unit vectors up to 2^27 of them.
    """

    def __init__(self, what: str) -> None:
        """Of no vector yet; `what` they are of is said in errors."""
        self.what = what
        self.count = 0
        self._total = self._product = self._least = self._most = np.zeros(0)

    def add(self, vectors: npt.NDArray[np.floating[Any]]) -> Moments:
        """Counts `(n, d_in)` more; itself.

        Raises:
            DataError: They are not finite, or not two-dimensional.
        """
        samples = np.asarray(vectors, dtype=np.float64)
        if samples.ndim != 2 or not np.isfinite(samples).all():
            raise DataError(
                f"{self.what} vectors must be finite and two-dimensional, got shape {samples.shape}; run "
                "`dvc repro encode` with a working encoder"
            )
        if not len(samples):
            return self
        samples = np.rint(samples * _STEPS)
        if not self.count:
            self._total, self._product = np.zeros(samples.shape[1]), np.zeros((samples.shape[1],) * 2)
            self._least = self._most = samples[0]
        self.count += len(samples)
        self._total = self._total + samples.sum(axis=0)
        self._product = self._product + samples.T @ samples
        self._least = np.minimum(self._least, samples.min(axis=0))
        self._most = np.maximum(self._most, samples.max(axis=0))
        return self

    @property
    def distinct(self) -> bool:
        """Whether there are two vectors that differ."""
        return bool((self._most > self._least).any())

    def mean_and_covariance(self, *, centred: bool) -> tuple[DoubleArray, DoubleArray]:
        """In units of the vectors, number by number; around zero where they are not centred."""
        if not centred:
            return np.zeros_like(self._total), self._product / (self.count * _STEPS**2)
        covariance = (self.count * self._product - np.outer(self._total, self._total)) / float(self.count) ** 2
        return self._total / (self.count * _STEPS), covariance / _STEPS**2


def fit_whitened(
    vectors: npt.NDArray[np.floating[Any]] | Moments, d_out: int, whitening: float, what: str, *, centred: bool = True
) -> LinearMap:
    """Principal components of ``(n, d_in)``, each divided by its deviation to the ``whitening``.

    0 gives plain PCA scores, 1 unit variance.  Components beyond the rank of the data are rows of zeros.  Without
    `centred` the directions are those of the vectors themselves, not of what sets them apart from their mean, and what
    is compared through the map keeps its cosine as well as so many directions can.
    The map is the same on every processor, with any number of threads and in any order of the samples: they are put
    on a grid, their covariance is exact, and the eigenvectors come from arithmetic in a fixed order.

    Raises:
        DataError: If there are fewer than two distinct vectors.
    """
    moments = vectors if isinstance(vectors, Moments) else Moments(what).add(vectors)
    if not moments.distinct:
        raise DataError(
            f"the {what} projection needs at least two distinct {what} vectors, got "
            f"{moments.count} equal ones; add facts to the training KB"
        )
    mean, covariance = moments.mean_and_covariance(centred=centred)
    eigenvalues, components = eigh(covariance)
    rank = int((eigenvalues > _RANK_TOLERANCE * eigenvalues[-1]).sum())
    kept = min(d_out, rank, moments.count - 1)
    largest_first = slice(None, -kept - 1, -1)
    axes = components.T[largest_first]
    # float32: a power is the one operation here whose last bit may depend on the processor.
    scale = (eigenvalues[largest_first] ** (-whitening / 2)).astype(np.float32)
    weight = np.zeros((d_out, len(mean)))
    weight[:kept] = axes * (_signs(axes) * scale.astype(np.float64))[:, None]
    bias = np.array([-math.fsum(row * mean) for row in weight])
    return LinearMap(weight.astype(np.float32), bias.astype(np.float32))


def _signs(axes: DoubleArray) -> DoubleArray:
    """The signs that make each axis' largest entry positive; of entries as large up to 10^-6 the first one counts."""
    sizes = np.abs(axes)
    places = (sizes >= (1 - 1e-6) * sizes.max(axis=1, keepdims=True)).argmax(axis=1)
    signs: DoubleArray = np.sign(axes[np.arange(len(axes)), places])
    return signs


class TauEncoder:
    """Windows as vectors: flags, length, and sinusoids of both ends from centuries to years.

    The norm of a row is at most one, like the other blocks of a value; an open end has no
    sinusoids but a flag, and an unknown window nothing but its flag.
    """

    def __init__(self, d_tau: int) -> None:
        if d_tau < 0:
            raise ParamsError(f"encoder.d_tau must be at least 0, got {d_tau}; set it in params.yaml")
        self.d_tau = d_tau
        n_scales = max(1, -(-(d_tau - 4) // 4))
        self._periods = np.geomspace(_LONGEST_PERIOD, _SHORTEST_PERIOD, n_scales) * _DAYS_PER_YEAR

    def __call__(self, tau_min: IntArray, tau_max: IntArray) -> DoubleArray:
        """Encode windows.

        Args:
            tau_min: ``(n,)`` first days, with the sentinels of ``times.window_bounds``.
            tau_max: ``(n,)`` first days after the window.

        Returns:
            ``(n, d_tau)`` float64.
        """
        start, end = np.asarray(tau_min, np.int64), np.asarray(tau_max, np.int64)
        unknown = (start == UNKNOWN_DAY) | (end == UNKNOWN_DAY)
        open_start = (start == OPEN_START) & ~unknown
        open_end = (end == OPEN_END) & ~unknown
        has_start, has_end = ~(unknown | open_start), ~(unknown | open_end)
        days = np.where(has_start & has_end, end - start, 0)
        columns = [unknown, open_start, open_end, np.minimum(1.0, np.log1p(days) / _LOG_LONGEST)]
        for period in self._periods:
            for day, there in ((start, has_start), (end, has_end)):
                angle = 2 * np.pi * np.where(there, day, 0) / period
                columns += [np.sin(angle) * there, np.cos(angle) * there]
        table = np.stack(columns, axis=1)[:, : self.d_tau]
        encoded: DoubleArray = table / math.sqrt(max(1, self.d_tau))
        return np.pad(encoded, ((0, 0), (0, self.d_tau - encoded.shape[1])))
