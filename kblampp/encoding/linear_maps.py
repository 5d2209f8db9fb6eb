"""Pieces of the fixed maps: unit rows, linear maps fitted by whitened PCA, windows as vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import DataError, ParamsError
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.sentence_encoder import FloatArray

IntArray = npt.NDArray[np.int32]

_DAYS_PER_YEAR = 365.2425
_LONGEST_PERIOD, _SHORTEST_PERIOD = 400.0, 4.0  # years; the sinusoids' scales lie between
_LOG_LONGEST = math.log1p(9999 * _DAYS_PER_YEAR)
# Below this share of the largest eigenvalue a component is rounding noise, not spread.
_RANK_TOLERANCE = 1e-9


def unit(vectors: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Rows scaled to norm one, float32; rows of zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
    return scaled


@dataclass(frozen=True, eq=False)
class LinearMap:
    """``x @ weight.T + bias``.

    Attributes:
        weight: ``(d_out, d_in)`` float32.
        bias: ``(d_out,)`` float32.
    """

    weight: FloatArray
    bias: FloatArray

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Map ``(n, d_in)`` to ``(n, d_out)``."""
        mapped: FloatArray = np.asarray(vectors, np.float32) @ self.weight.T + self.bias
        return mapped

    def unit(self, vectors: FloatArray) -> FloatArray:
        """Map ``(n, d_in)`` to ``(n, d_out)`` rows of norm one."""
        return unit(self(vectors))


def fit_whitened(vectors: FloatArray, d_out: int, whitening: float, what: str) -> LinearMap:
    """Principal components of ``(n, d_in)``, each divided by its deviation to the ``whitening``.

    0 gives plain PCA scores, 1 unit variance.  Components beyond the rank of the data are rows of
    zeros.  Signs are fixed by each component's largest entry, so that equal data give equal maps.

    Raises:
        DataError: If there are fewer than two distinct vectors.
    """
    samples = np.asarray(vectors, dtype=np.float64)
    if samples.ndim != 2 or not np.isfinite(samples).all():
        raise DataError(
            f"{what} vectors must be finite and two-dimensional, got shape {samples.shape}; run "
            "`dvc repro encode` with a working encoder"
        )
    if len(samples) < 2 or np.ptp(samples, axis=0).max(initial=0.0) == 0:
        raise DataError(
            f"the {what} projection needs at least two distinct {what} vectors, got "
            f"{len(samples)} equal ones; add facts to the training KB"
        )
    mean = samples.mean(axis=0)
    centred = samples - mean
    eigenvalues, components = np.linalg.eigh(centred.T @ centred / len(samples))
    rank = int((eigenvalues > _RANK_TOLERANCE * eigenvalues[-1]).sum())
    kept = min(d_out, rank, len(samples) - 1)
    largest_first = slice(None, -kept - 1, -1)
    axes = components.T[largest_first]
    signs = np.sign(axes[np.arange(kept), np.abs(axes).argmax(axis=1)])
    scale = signs * eigenvalues[largest_first] ** (-whitening / 2)
    weight = np.zeros((d_out, samples.shape[1]))
    weight[:kept] = axes * scale[:, None]
    return LinearMap(weight.astype(np.float32), (-weight @ mean).astype(np.float32))


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

    def __call__(self, tau_min: IntArray, tau_max: IntArray) -> FloatArray:
        """Encode windows.

        Args:
            tau_min: ``(n,)`` first days, with the sentinels of ``times.window_bounds``.
            tau_max: ``(n,)`` first days after the window.

        Returns:
            ``(n, d_tau)`` float32.
        """
        start, end = np.asarray(tau_min, np.int64), np.asarray(tau_max, np.int64)
        unknown = (start == UNKNOWN_DAY) | (end == UNKNOWN_DAY)
        open_start = (start == OPEN_START) & ~unknown
        open_end = (end == OPEN_END) & ~unknown
        has_start, has_end = ~(unknown | open_start), ~(unknown | open_end)
        days = np.where(has_start & has_end, end - start, 0)
        columns = [unknown, open_start, open_end, np.log1p(days) / _LOG_LONGEST]
        for period in self._periods:
            for day, there in ((start, has_start), (end, has_end)):
                angle = 2 * np.pi * np.where(there, day, 0) / period
                columns += [np.sin(angle) * there, np.cos(angle) * there]
        table = np.stack(columns, axis=1)[:, : self.d_tau]
        encoded: FloatArray = (table / math.sqrt(max(1, self.d_tau))).astype(np.float32)
        return np.pad(encoded, ((0, 0), (0, self.d_tau - encoded.shape[1])))
