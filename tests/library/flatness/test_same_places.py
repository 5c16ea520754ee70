"""The dense network at the places of a mask: a principal submatrix of its Hessian, as computed in full by torch."""

import numpy as np
import pytest
import torch

from ccprune.flatness import top_eigenvalues, trace
from ccprune.mask import Mask, prunable


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8])
def test_restricting_alone_lowers_eigenvalues(network, sparsity):
    """Cauchy's interlacing theorem, on the full matrix and on what the library measures."""
    mask = network.some_mask(sparsity)
    keep = torch.cat([part.flatten() for part in mask.keep.values()])
    full = network.full_hessian()
    block = full[keep][:, keep]
    whole, part = (np.linalg.eigvalsh(matrix.numpy())[::-1] for matrix in (full, block))
    gone = len(whole) - len(part)
    assert (part <= whole[: len(part)] + 1e-12).all() and (part >= whole[gone:] - 1e-12).all()
    options = {"tol": 1e-8, "max_products": 1000}
    there, everywhere = (float(top_eigenvalues(*network, mask=one, **options).values[0]) for one in (mask, None))
    assert (there, everywhere) == pytest.approx((part[0], whole[0]), rel=1e-7)
    assert there <= everywhere


def test_the_trace_at_some_places_is_the_sum_of_their_diagonal_entries(network):
    """One weight has a 1 x 1 submatrix, whose trace any probe gives exactly; all of them add up."""
    weights = prunable(network.model)
    diagonal = network.full_hessian().diag()
    sizes = [weight.numel() for weight in weights.values()]
    rng = np.random.default_rng(0)
    for place in rng.choice(sum(sizes), size=6, replace=False):
        flat = torch.zeros(sum(sizes), dtype=torch.bool)
        flat[int(place)] = True
        parts = zip(weights.items(), flat.split(sizes), strict=True)
        mask = Mask({name: part.reshape(weight.shape) for (name, weight), part in parts})
        found = trace(*network, mask=mask, probes=2)
        assert found.estimate == pytest.approx(float(diagonal[int(place)]), rel=1e-9, abs=1e-12)
    mask = network.some_mask()
    keep = torch.cat([part.flatten() for part in mask.keep.values()])
    found = trace(*network, mask=mask, probes=400)
    assert abs(found.estimate - float(diagonal[keep].sum())) < 4 * found.stderr
