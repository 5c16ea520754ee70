"""One-shot pruning of a trained network, before fine-tuning: ShrinkBench's design, and what the fits of it rank.

The authors' release has runs of ShrinkBench in which causal pruning is at chance before fine-tuning at every
compression. `before_fine_tuning` prunes one network of our own by every fit, by the mean squared gradient of the same
records, by magnitude and at random, and measures accuracy without any further training. `agreement.agreement` measures
how much of each fit's ranking is the mean squared gradient, which uses no loss change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune import scores
from ccprune._util.modes import eval_mode
from ccprune.mask import Mask
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.fits import FITS
from replication.causal.follow_up.protocols import METHODS
from replication.causal.methods import Scores
from replication.causal.one_shot.agreement import agreement, facts_of
from replication.causal.one_shot.start import Start
from replication.causal.runs import Network, training_key
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units

#: Total weights over kept weights, as in the released runs of ShrinkBench.
COMPRESSIONS = (2, 4, 8, 16, 32, 64)
_LR_MIN = 1e-3
NAMES = tuple(name for name in METHODS if name != "dense")


@dataclass(frozen=True)
class Design:
    """Design of the one-shot study.

    Attributes
    ----------
    epochs : int
        Epochs of dense training with a learning rate that falls by a cosine to 0.001.
    recorded : int, default 1
        Recorded epochs of plain SGD from the trained network. ShrinkBench's default flags were 10.
    record_lr : float, default 1e-3
        Learning rate of the recorded steps; 5e-4 in the default flags, 1e-3 in the other released scripts.
    compressions : tuple of int, default `COMPRESSIONS`
        Total prunable weights over kept ones; round(P / compression) weights are kept of P.
    """

    epochs: int
    recorded: int = 1
    record_lr: float = 1e-3
    compressions: tuple[int, ...] = COMPRESSIONS

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "recorded": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.compressions or min(self.compressions) < 1:
            raise ValueError(f"compressions must be at least 1 each, got {self.compressions}")


def before_fine_tuning(
    network: Network,
    images: Images,
    setting: Setting,
    design: Design,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    seeds: Sequence[int],
    names: Sequence[str] = NAMES,
    checkpoints: Path | None = None,
) -> tuple[Rows, Rows]:
    """Prune one trained network per seed in one shot by every method, and measure it without fine-tuning.

    All prunable weights may be pruned, the classifier among them; ShrinkBench's runs pruned convolutions only. Batch
    norm keeps the statistics of the dense network. One unit is one (seed, method). A network is trained, and its
    records are made, when a unit that is not stored needs it.

    Parameters
    ----------
    network : callable
        Maps a seed to a network before training, such as `runs.network("resnet20", images)`.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training.
    design : Design
        Design of the study.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.
    seeds : sequence of int
        One network each.
    names : sequence of str, default `NAMES`
        Some of `NAMES`.
    checkpoints : Path, optional
        Folder of the checkpoints of the trainings, which then resume at the last finished epoch. A checkpoint is
        deleted when all units of its seed are stored.

    Returns
    -------
    tuple of rows
        First, one row per seed, method and compression, and one of the dense network per seed: seed, method,
        compression, weights, pruned, sparsity, least_density (kept share of the emptiest layer), top1, top5 (share of
        test images whose class is the first, among the first five) and loss; and of its fit outcome, passes, explained
        and zeros, as in `fits.Fit`. All but the facts of the fit are None where it has no coefficients. Second, the
        rows of `agreement.agreement`, with seed and method, of the fits among the names.

    Raises
    ------
    ValueError
        For an unknown name, or a training loss that is not finite.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise ValueError(f"names must be among {NAMES}, got {unknown}")
    found: Rows = []
    compared: Rows = []
    training = {"epochs": design.epochs, "lr_min": _LR_MIN}
    recording = {"recorded": design.recorded, "record_lr": design.record_lr}
    levels = {"compressions": " ".join(map(str, design.compressions))}
    for seed in seeds:
        trained = {**key, **training_key(setting), **training, "seed": seed}
        checkpoint = Checkpoint(checkpoints and checkpoints / f"trained-seed{seed}.pt", trained)
        start = Start(
            network,
            images,
            setting,
            epochs=design.epochs,
            lr_min=_LR_MIN,
            **recording,
            seed=seed,
            checkpoint=checkpoint,
        )
        dense = trained | {"study": "before_fine_tuning", "method": "dense"}
        found += units.get(dense, partial(_dense, start, images, seed), earlier=checkpoint.earlier)
        for name in names:
            one = trained | levels | {"study": "before_fine_tuning", "method": name}
            one |= {} if name in ("magnitude", "random") else recording
            found += units.get(one, partial(_prune_rows, start, images, name, design.compressions, seed))
        for name in names:
            if name in FITS:
                one = trained | recording | {"study": "agreement", "method": name}
                compared += units.get(one, partial(_agreement, start, name, seed))
        checkpoint.remove()
    return found, compared


@torch.no_grad()
def top_accuracies(model: nn.Module, images: Images, *, batch_size: int = 1000) -> dict[str, float]:
    """Return top1, top5 and mean cross-entropy (loss) on the test images; top5 needs at least five classes."""
    totals = torch.zeros(3, dtype=torch.float64)
    with eval_mode(model):
        for x, y in zip(images.x_test.split(batch_size), images.y_test.split(batch_size), strict=True):
            outputs = model(images.normalise(x))
            right = outputs.topk(min(5, images.classes), 1).indices == y[:, None]
            loss = cross_entropy(outputs, y, reduction="sum")
            totals += torch.stack([right[:, 0].sum().double(), right.sum().double(), loss.double()]).cpu()
    top1, top5, loss = (totals / len(images.y_test)).tolist()
    return {"top1": top1, "top5": top5, "loss": loss}


def _dense(start: Start, images: Images, seed: int) -> Rows:
    return [_row(start.model, images, Mask.ones_like(start.model), seed, "dense", 1)]


def _prune_rows(start: Start, images: Images, name: str, compressions: Sequence[int], seed: int) -> Rows:
    found, facts = _scores(start, name, seed)
    rows = []
    for compression in compressions:
        total = Mask.ones_like(start.model).total
        if found is None:
            empty = dict.fromkeys(("pruned", "sparsity", "least_density", "top1", "top5", "loss"))
            rows.append({"seed": seed, "method": name, "compression": compression, "weights": total} | empty | facts)
            continue
        mask = Mask.from_scores(found, sparsity=1 - round(total / compression) / total)
        with mask.applied(start.model) as model:
            rows.append(_row(model, images, mask, seed, name, compression) | facts)
    return rows


def _scores(start: Start, name: str, seed: int) -> tuple[Scores | None, dict[str, Any]]:
    if name == "magnitude":
        return scores.magnitude(start.model), {}
    if name == "random":
        return scores.random(start.model, seed=seed), {}
    if name == "fisher":
        return start.records.as_scores(start.records.mean_squared_gradient), {}
    found = start.fit(name)
    return None if found.gamma is None else start.records.as_scores(found.gamma), facts_of(found)


def _agreement(start: Start, name: str, seed: int) -> Rows:
    rows = agreement(partial(start.fit, name), start.records.mean_squared_gradient)
    return [{"seed": seed, "method": name} | row for row in rows]


def _row(model: nn.Module, images: Images, mask: Mask, seed: int, method: str, compression: int) -> dict[str, Any]:
    where = {"seed": seed, "method": method, "compression": compression, "weights": mask.total}
    counts = {"pruned": mask.total - mask.kept, "sparsity": mask.sparsity, "least_density": mask.least_density}
    facts = dict.fromkeys(("outcome", "passes", "explained", "zeros"))
    return where | counts | top_accuracies(model, images) | facts
