"""Largest eigenvalues of a symmetric operator by block Lanczos, with residuals that measure their accuracy."""

from typing import Any

import torch
from torch import Tensor

FLOOR = 1e-3


def block_lanczos(operator: Any, start: Tensor, *, tol: float, max_products: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the k largest eigenvalues of a symmetric (n, n) operator with `@`, starting from a block (n, k).

    The method is block Lanczos (Golub and Underwood, 1977) with full reorthogonalisation. An eigenvalue of multiplicity
    up to k is found with its multiplicity. The images of all blocks are stored, so that residuals need no further
    product. The iteration ends as soon as all residuals are within `tol`, when the space is exhausted, or before
    `max_products` would be exceeded.

    Returns eigenvalues (k,) in descending order, float64, unit eigenvectors (n, k), and relative residuals (k,). Their
    divisor is at least FLOOR times the largest absolute eigenvalue, so that an eigenvalue 0 can converge.
    """
    n, k = start.shape
    block = torch.linalg.qr(start).Q
    basis = images = start.new_empty(n, 0)
    projected = torch.empty(0, 0, dtype=torch.float64, device=start.device)
    while True:
        image = operator @ block
        basis, images = torch.cat([basis, block], 1), torch.cat([images, image], 1)
        projected = _add_border(projected, (basis.T @ image).double())
        values, mixing = torch.linalg.eigh(projected)
        values, mixing = values.flip(0)[:k], mixing.flip(1)[:, :k].to(basis.dtype)
        vectors = basis @ mixing
        error = torch.linalg.vector_norm(images @ mixing - vectors * values.to(basis.dtype), dim=0).double()
        size = values.abs().clamp_min(FLOOR * float(values.abs().max())).clamp_min(torch.finfo(torch.float64).tiny)
        residuals = error / size
        done = basis.shape[1]
        if bool((residuals <= tol).all()) or done == n:
            break
        block = _remainder(image, basis, scale=float(images.norm(dim=0).max()))[:, : n - done]
        if not block.shape[1] or done + block.shape[1] > max_products:
            break
    return values, vectors, residuals


def _add_border(inner: Tensor, column: Tensor) -> Tensor:
    """Append the last block column, and its transpose as the last block row, to the projected matrix."""
    m, b = column.shape
    grown = column.new_empty(m, m)
    grown[: m - b, : m - b] = inner
    grown[m - b :, :] = column.T
    grown[:, m - b :] = column
    corner = column[m - b :]
    grown[m - b :, m - b :] = (corner + corner.T) / 2
    return grown


def _remainder(image: Tensor, basis: Tensor, *, scale: float) -> Tensor:
    """Return an orthonormal basis of the part of `image` outside `basis`, without columns of rounding noise."""
    for _ in range(2):
        image = image - basis @ (basis.T @ image)
    found = torch.linalg.qr(image)
    fresh = found.Q[:, found.R.diagonal().abs() > 10 * torch.finfo(image.dtype).eps * scale]
    return torch.linalg.qr(fresh - basis @ (basis.T @ fresh)).Q
