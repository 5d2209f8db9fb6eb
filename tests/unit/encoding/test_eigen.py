from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kblampp.encoding.eigen import eigh

ENTRIES = st.floats(-4, 4, allow_nan=False, width=16)


@given(st.integers(1, 7).flatmap(lambda n: arrays(np.float64, (n, n), elements=ENTRIES)))
@settings(max_examples=60, deadline=None)
def test_values_and_vectors_make_the_matrix_again(square: np.ndarray) -> None:
    symmetric = square + square.T
    values, vectors = eigh(symmetric)
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(square)), atol=1e-13)
    np.testing.assert_allclose((vectors * values) @ vectors.T, symmetric, atol=1e-12)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(symmetric), atol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((5, 5)),
        np.eye(6),
        np.ones((7, 7)),
        np.diag([3.0, 1.0, 3.0, 1.0]),
        np.kron(np.eye(3), [[2.0, 1], [1, 2]]),
    ],
)
def test_equal_eigenvalues_have_a_basis(matrix: np.ndarray) -> None:
    values, vectors = eigh(matrix)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(matrix)), atol=1e-13)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-13)


def test_the_matrix_given_stays_as_it_is() -> None:
    matrix = np.array([[2.0, 1, 0], [1, 2, 1], [0, 1, 2]])
    before = matrix.copy()
    eigh(matrix)
    np.testing.assert_array_equal(matrix, before)


def test_large_matrices_keep_their_accuracy() -> None:
    samples = np.random.default_rng(0).normal(size=(300, 128)) * np.geomspace(1, 1e-3, 128)
    covariance = samples.T @ samples / 300
    values, vectors = eigh((covariance + covariance.T) / 2)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(128), atol=1e-12)
    np.testing.assert_allclose(covariance @ vectors, vectors * values, atol=1e-13)
