"""Oracles: numpy's dense eigenvalues and scipy's ARPACK on random symmetric matrices."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from ccprune.flatness._lanczos import block_lanczos


class Counting:
    def __init__(self, matrix):
        self.matrix, self.products = matrix, 0

    def __matmul__(self, vectors):
        self.products += vectors.shape[1]
        return self.matrix @ vectors


def symmetric(values, seed=0):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    return torch.from_numpy(q @ np.diag(values) @ q.T)


def solve(matrix, k, tol=1e-8, max_products=10_000, seed=0):
    operator = Counting(matrix)
    start = torch.randn(len(matrix), k, dtype=matrix.dtype, generator=torch.Generator().manual_seed(seed))
    values, vectors, residuals = block_lanczos(operator, start, tol=tol, max_products=max_products)
    return values, vectors, residuals, operator.products


@pytest.mark.parametrize("k", [1, 2, 5])
def test_values_and_vectors_equal_arpack(k):
    spectrum = np.concatenate([-np.geomspace(8, 0.1, 60), np.geomspace(10, 1e-3, 140)])
    matrix = symmetric(spectrum)
    values, vectors, residuals, products = solve(matrix, k)
    theirs, their_vectors = eigsh(matrix.numpy(), k=k, which="LA")
    np.testing.assert_allclose(values.numpy(), theirs[::-1], rtol=1e-10)
    overlap = np.abs(np.einsum("ij,ij->j", vectors.numpy(), their_vectors[:, ::-1]))
    np.testing.assert_allclose(overlap, 1.0, rtol=1e-6)
    assert (residuals <= 1e-8).all() and products < 200


def test_residuals_are_those_of_the_definition_and_bound_the_error():
    matrix = symmetric(np.geomspace(10, 1, 80))
    values, vectors, residuals, _ = solve(matrix, 3, tol=1e-2)
    direct = (matrix @ vectors - vectors * values).norm(dim=0) / values.abs()
    torch.testing.assert_close(residuals, direct, rtol=1e-6, atol=1e-12)
    assert 1e-5 < float(residuals.max()) <= 1e-2  # it stopped because it was asked to, not because it was exact
    truth = torch.linalg.eigvalsh(matrix)
    for value, residual in zip(values, residuals, strict=True):
        assert (truth - value).abs().min() <= residual * value


def test_repeated_eigenvalues_come_out_as_often_as_they_are():
    for seed in range(10):
        matrix = symmetric([5.0, 5.0, 5.0, 3.0, 3.0, *np.geomspace(1, 1e-3, 115)], seed)
        values, *_ = solve(matrix, 5, tol=1e-3, seed=seed)
        np.testing.assert_allclose(values.numpy(), [5, 5, 5, 3, 3], rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_more_values_than_the_rank_end_in_zeros(rank, dtype):
    matrix = symmetric([*[4.0, 3.0, 2.0, 1.0][:rank], *[0.0] * (50 - rank)]).to(dtype)
    values, vectors, residuals, products = solve(matrix, 5, tol=1e-3)
    expected = [4.0, 3.0, 2.0, 1.0][:rank] + [0.0] * (5 - rank)
    np.testing.assert_allclose(values.numpy(), expected, atol=4e-6 if dtype == torch.float32 else 1e-12)
    assert (residuals <= 1e-3).all() and products <= 10
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(5, dtype=dtype), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size, k", [(1, 1), (3, 2), (5, 5), (12, 5), (23, 22)])
def test_small_matrices_are_used_up(size, k):
    matrix = symmetric(np.linspace(-3, 2, size))
    values, _, residuals, products = solve(matrix, k, tol=1e-15)
    np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(matrix.numpy())[::-1][:k], atol=1e-12)
    assert (residuals <= 1e-11).all() and products <= size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [2, 3, 5, 8, 13, 20, 40, 80])
def test_a_tolerance_out_of_reach_does_not_harm_the_values(size, dtype):
    """It goes on until the space is used up, far into rounding noise, and still no spurious value appears."""
    for k in (1, 2, 3, 5, 8):
        for seed in range(12 if k <= size else 0):
            spectra = (np.linspace(-2, 3, size), np.logspace(1, -8, size), np.arange(size) < 2)
            spectrum = torch.from_numpy(spectra[seed % 3].astype(float))
            matrix = (torch.diag(spectrum) if seed % 3 == 2 else symmetric(spectrum.numpy(), seed)).to(dtype)
            values, *_, products = solve(matrix, k, tol=1e-30, max_products=3 * size + 50, seed=seed)
            truth = np.linalg.eigvalsh(matrix.double().numpy())[::-1][:k]
            np.testing.assert_allclose(values.numpy(), truth, atol=50 * torch.finfo(dtype).eps * np.abs(truth).max())
            assert products <= size


def test_null_a_negative_matrix_has_a_negative_largest_eigenvalue():
    values, *_ = solve(symmetric(-np.geomspace(1, 50, 60)), 2)
    np.testing.assert_allclose(values.numpy(), [-1, -np.geomspace(1, 50, 60)[1]], rtol=1e-9)


def test_products_are_limited_and_the_residual_says_so():
    values, _, residuals, products = solve(symmetric(np.linspace(0, 1, 300)), 3, tol=1e-6, max_products=20)
    assert products == 18 and (residuals > 1e-6).any()
    assert ((0.5 < values) & (values < 1)).all()
