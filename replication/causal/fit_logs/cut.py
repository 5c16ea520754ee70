"""A network that is cut once, and measured without training it again."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ccprune.mask import Mask
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.one_shot.start import Start
from replication.causal.runs import Network, training_key
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units

#: The group of the released accuracies of such a network.
GROUP = "lenet_cifar10_not_retrained"


def cut_runs(
    network: Network,
    images: Images,
    setting: Setting,
    *,
    epochs: int,
    names: Sequence[str],
    totals: Sequence[float],
    seeds: Sequence[int],
    units: Units,
    key: Mapping[str, Scalar],
    checkpoints: Path | None = None,
) -> Rows:
    """Train with a constant learning rate, record one epoch, and cut once by each fit, without training afterwards.

    One unit is one seed.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training.
    epochs : int
        Number of epochs before the recorded one.
    names : sequence of str
        Causal fits, some of `follow_up.fits.FITS`.
    totals : sequence of float
        Pruned shares of the prunable weights.
    seeds : sequence of int
        One network each.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.
    checkpoints : Path, optional
        As in `follow_up_runs`.

    Returns
    -------
    list of dict
        method, total, seed, group, quantity (test accuracy), at (None) and value. A fit without coefficients has none.
    """
    found: Rows = []
    for seed in seeds:
        one = {**key, **training_key(setting), "study": "one_cut", "epochs": epochs, "seed": seed}
        one |= {"names": " ".join(names), "totals": " ".join(map(str, totals))}
        checkpoint = Checkpoint(checkpoints and checkpoints / f"one-cut-seed{seed}.pt", one)
        options = {"epochs": epochs, "lr_min": None, "recorded": 1, "record_lr": 1e-3, "seed": seed}
        start = Start(network, images, setting, **options, checkpoint=checkpoint)
        found += units.get(one, partial(_cuts, start, images, names, totals, seed), earlier=checkpoint.earlier)
        checkpoint.remove()
    return found


def _cuts(start: Start, images: Images, names: Sequence[str], totals: Sequence[float], seed: int) -> Rows:
    found: Rows = []
    for name in names:
        gamma = start.fit(name).gamma
        for total in totals if gamma is not None else ():
            model = copy.deepcopy(start.model)
            Mask.from_scores(start.records.as_scores(gamma), sparsity=total).apply_(model)
            accuracy = images.evaluate(model).accuracy
            where = {"method": name, "total": total, "seed": seed}
            found.append(where | {"group": GROUP, "quantity": "test_accuracy", "at": None, "value": accuracy})
    return found
