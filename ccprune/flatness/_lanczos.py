"""Largest eigenvalues of a symmetric operator by block Lanczos, with the residuals that say how good they are."""

from typing import Protocol

import torch
from torch import Tensor

FLOOR = 1e-3


class Symmetric(Protocol):
    """A symmetric (n, n) matrix that can only be multiplied."""

    def __matmul__(self, vectors: Tensor, /) -> Tensor:
        """The product with (n, b) vectors."""
        ...


def block_lanczos(
    operator: Symmetric, start: Tensor, *, tol: float, max_products: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest eigenvalues (k,) largest first, unit vectors (n, k), and relative residuals (k,), start (n, k).

    Block Lanczos (Golub and Underwood, 1977) with full reorthogonalisation: the block of k lets an eigenvalue repeated
    up to k times come out as often. Each block's images are kept, so that residuals cost no further product and the
    iteration can end as soon as all are within the tolerance, when the space is used up, or before `max_products`
    would be passed. An eigenvalue below FLOOR times the largest in size has its residual divided by that: else 0 could
    never converge.
    """
    n, k = start.shape
    block = torch.linalg.qr(start).Q
    basis = images = start.new_empty(n, 0)
    projected = torch.empty(0, 0, dtype=torch.float64, device=start.device)
    while True:
        image = operator @ block
        basis, images = torch.cat([basis, block], 1), torch.cat([images, image], 1)
        projected = _bordered(projected, (basis.T @ image).double())
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


def _bordered(inner: Tensor, column: Tensor) -> Tensor:
    """The projected matrix with its last block column, and that column's transpose as last block row."""
    m, b = column.shape
    grown = column.new_empty(m, m)
    grown[: m - b, : m - b] = inner
    grown[m - b :, :] = column.T
    grown[:, m - b :] = column
    corner = column[m - b :]
    grown[m - b :, m - b :] = (corner + corner.T) / 2
    return grown


def _remainder(image: Tensor, basis: Tensor, *, scale: float) -> Tensor:
    """Orthonormal basis of what the images add to the basis; columns that are rounding noise are dropped."""
    for _ in range(2):
        image = image - basis @ (basis.T @ image)
    found = torch.linalg.qr(image)
    fresh = found.Q[:, found.R.diagonal().abs() > 10 * torch.finfo(image.dtype).eps * scale]
    return torch.linalg.qr(fresh - basis @ (basis.T @ fresh)).Q
