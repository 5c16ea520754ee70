"""Networks of the released figures, trained again by their scripts, with what their authors measured on them."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ccprune import flatness
from ccprune.flatness._hessian import HessianLinearOperator, without_jit_warnings
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.fits import FITS
from replication.causal.follow_up.procedure import follow_up
from replication.causal.follow_up.protocols import Protocol, Run
from replication.causal.runs import Network, training_key
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units

#: Sizes of perturbations relative to the norm of each filter's remaining weights, beside the authors' absolute noise.
RADII = (0.01, 0.03, 0.1, 0.3)
_BATCH = 250  # images whose activations are held at once


@dataclass(frozen=True)
class Effort:
    """Effort of the measurements of one network, all of which are on all test images.

    Attributes
    ----------
    eigenvalues : int
        Number of eigenvalues of the Hessian.
    levels : tuple of float
        Levels of noise.
    draws : int, default 10
        Number of draws of noise for each level, the authors' by default.
    """

    eigenvalues: int
    levels: tuple[float, ...]
    draws: int = 10


def repeat_runs(
    network: Network,
    images: Images,
    setting: Setting,
    protocol: Protocol,
    effort: Effort,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    names: Sequence[str],
    totals: Sequence[float],
    seeds: Sequence[int],
    checkpoints: Path | None = None,
) -> Rows:
    """Train every network as the authors' scripts do, and measure the state after the epoch that is best on test.

    Causal fits have the cubic schedule and the protocol's epochs between cuts. Magnitude pruning has the geometric
    schedule and no such epochs, so that it is one-shot and shorter. All training images are used. One unit is one
    (seed, method, total).

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training.
    protocol : Protocol
        Lengths of the causal runs; its fit and its schedule are not used.
    effort : Effort
        Effort of the measurements.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.
    names : sequence of str
        Some of `FITS`, and "magnitude".
    totals : sequence of float
        Pruned shares of the prunable weights, above 0.
    seeds : sequence of int
        One network each.
    checkpoints : Path, optional
        As in `follow_up_runs`.

    Returns
    -------
    list of dict
        seed, method, total, quantity, at (rank of an eigenvalue from 1, level of noise, radius; else None), draw (else
        None) and value.

    Raises
    ------
    ValueError
        For an unknown name, a total outside (0, 1), or a loss that is not finite.
    """
    if unknown := [name for name in names if name not in (*FITS, "magnitude")]:
        raise ValueError(f"names must be among {(*FITS, 'magnitude')}, got {unknown}")
    if wrong := [total for total in totals if not 0 < total < 1]:
        raise ValueError(f"totals must lie in (0, 1), got {wrong}")
    found: Rows = []
    for seed in seeds:
        for total in totals:
            for name in names:
                causal = name in FITS
                changes = {"schedule": "cubic"} if causal else {"schedule": "geometric", "between": 0}
                chosen = replace(protocol, **changes)
                one = {**key, **training_key(setting), **chosen.lengths, **chosen.recording(name)}
                one |= {"study": "repeats", "schedule": chosen.schedule, "seed": seed}
                one |= {"method": name, "total": total, "draws": effort.draws, "eigenvalues": effort.eigenvalues}
                one |= {"levels": str(effort.levels)}
                file = None if checkpoints is None else checkpoints / f"repeat-{name}-{total}-seed{seed}.pt"
                checkpoint = Checkpoint(file, one)
                options = {"total": total, "method": name, "seed": seed, "checkpoint": checkpoint}
                run = partial(_unit, network(seed), images, setting, chosen, effort, **options)
                found += units.get(one, run, earlier=checkpoint.earlier)
                checkpoint.remove()
    return found


def measure(
    run: Run, images: Images, effort: Effort, *, seed: int
) -> Iterator[tuple[str, float | int | None, int | None, float]]:
    """Yield (quantity, at, draw, value) of a finished run: accuracies, then what its best state on test tolerates.

    "eigenvalue", "loss" and "noise" are the authors' measures: the Hessian eigenvalues of largest magnitude over all
    parameters, pruned ones included; the test loss; and the test loss with noise over that without. "relative_noise" is
    the increase over the loss under perturbations of the remaining weights relative to the norms of their filters.
    "top_eigenvalue" and "relative_top_eigenvalue" are over the remaining weights, the second in units of these norms.
    """
    for name, value in run.row().items():
        if isinstance(value, int | float):
            yield name, None, None, float(value)
    if run.best is None:
        return
    model = copy.deepcopy(run.model)
    model.load_state_dict(run.best)
    x = images.normalise(images.x_test).contiguous(memory_format=torch.channels_last)
    loss = images.evaluate(model).loss
    yield "loss", None, None, loss
    for rank, value in enumerate(hessian_eigenvalues(model, x, images.y_test, count=effort.eigenvalues, seed=seed), 1):
        yield "eigenvalue", rank, None, value
    for level in effort.levels:
        for draw in range(effort.draws):
            # All levels share their draws, so that they differ in size alone.
            noisy = with_noise(model, level, seed=1_000_003 * seed + draw)
            yield "noise", level, draw, images.evaluate(noisy).loss / loss
    data = list(zip(x.split(_BATCH), images.y_test.split(_BATCH), strict=True))
    for radius in RADII:
        options = {"radius": radius, "draws": effort.draws, "mask": run.mask, "seed": seed}
        for draw, value in enumerate(flatness.sharpness(model, cross_entropy, data, **options).values.tolist()):
            yield "relative_noise", radius, draw, value / loss
    for name, scale in (("top_eigenvalue", "none"), ("relative_top_eigenvalue", "filter")):
        top = flatness.top_eigenvalues(model, cross_entropy, data, mask=run.mask, scale=scale, tol=1e-2, seed=seed)
        yield name, None, None, float(top.values[0])


def hessian_eigenvalues(model: nn.Module, x: Tensor, y: Tensor, *, count: int, seed: int) -> list[float]:
    """Return the `count` eigenvalues of largest magnitude of the Hessian of the mean cross-entropy, by magnitude.

    Over all parameters of the model in eval mode, as the authors' Lanczos iterations; here to a relative tolerance of
    1%.
    """
    model = copy.deepcopy(model).eval()
    parameters = [weight.requires_grad_() for weight in model.parameters()]
    data = list(zip(x.split(_BATCH), y.split(_BATCH), strict=True))
    with without_jit_warnings():
        hessian = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)
        start = torch.randn(hessian.shape[1], generator=torch.Generator().manual_seed(seed)).numpy()
        values = eigsh(hessian.to_scipy(), k=count, which="LM", tol=1e-2, v0=start, return_eigenvectors=False)
    return sorted(values.tolist(), key=abs, reverse=True)


def with_noise(model: nn.Module, level: float, *, seed: int) -> nn.Module:
    """Return a copy with the authors' noise, which reaches pruned weights too.

    Parameters of two and more dimensions get Gaussian noise of standard deviation `level`; the others, which their code
    gives one number, are multiplied by 1 + level.
    """
    generator = torch.Generator().manual_seed(seed)
    noisy = copy.deepcopy(model)
    with torch.no_grad():
        for weight in noisy.parameters():
            if weight.dim() > 1:
                weight += level * torch.randn(weight.shape, generator=generator).to(weight)
            else:
                weight *= 1 + level
    return noisy


def _unit(
    network: nn.Module, images: Images, setting: Setting, protocol: Protocol, effort: Effort, **options: Any
) -> Rows:
    run = follow_up(network, images, None, setting, protocol, **options)
    where = {name: options[name] for name in ("seed", "method", "total")}
    names = ("quantity", "at", "draw", "value")
    return [where | dict(zip(names, one, strict=True)) for one in measure(run, images, effort, seed=options["seed"])]
