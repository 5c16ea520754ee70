"""The runs behind MNIST's rows of paper A's tables: the authors' five trials again, and fresh initialisations."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import Tensor

from replication.data import authors_mnist
from replication.legcnet.mnist.recording import ALL, FT, LAST_TWO, PT, dense_run, keep_mask, whole_masks
from replication.legcnet.mnist.rows import BATCH_SIZE, Digits
from replication.legcnet.mnist.training import BENCHMARK, BUDGET, Trained, measure, stop_at_benchmark, train
from replication.legcnet.procedure import ExponentsAndRisk
from replication.legcnet.settings import WindowSettings
from replication.networks.masks import jaccard_pruned, remove_lowest, remove_random
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import ModelBatch, stack_models

# Controls with the same count of removed weights, in the same layers; magnitude by the dense network's final weights.
CONTROLS = {
    "ft": ("random", "magnitude"),
    "pt": ("random_pt", "magnitude_pt"),
    "pt_all": ("random_pt_all", "magnitude_pt_all"),
}
_SCOPES = {"ft": LAST_TWO, "pt": LAST_TWO, "pt_all": ALL}


@dataclass(frozen=True, eq=False)
class Outcome:
    """One initialisation under every method.

    Attributes
    ----------
    rows : DataFrame
        One row per method: network, method, epochs, reached, kept, pruned_pct, removed_fc4 (number of weights of the
        last layer), and the attributes of `training.Measures`.
    networks : ModelBatch
        The networks as they stopped, in the order of `rows`.
    """

    rows: pd.DataFrame
    networks: ModelBatch


@dataclass(frozen=True)
class Effort:
    """Length of training.

    Attributes
    ----------
    batch_size : int, default 128
        Number of rows of a mini-batch.
    benchmark : float, default 0.92
        Training accuracy at which training stops.
    budget : int, default 50
        Largest number of epochs.
    """

    batch_size: int = BATCH_SIZE
    benchmark: float = BENCHMARK
    budget: int = BUDGET


def rerun_authors(
    digits: Digits, *, effort: Effort = Effort(), trials: Sequence[int] = authors_mnist.TRIALS
) -> Iterator[Outcome]:
    """Re-run the authors' trials with their initial states, masks and orders of mini-batches.

    Methods: dense; ft and pt as their script applies the masks; ft_meant and pt_meant with the whole masks (see
    `authors_mnist.keep_mask`); random, at FT's count in the last two layers, because theirs is not released; and
    magnitude_after, the dense network with as many of its smallest weights removed and no retraining.

    Parameters
    ----------
    digits : Digits
        Training and test rows.
    effort : Effort, optional
        Mini-batch size, benchmark and budget.
    trials : sequence of int, default `authors_mnist.TRIALS`
        Numbers of the trials.

    Yields
    ------
    Outcome
        One trial.

    Raises
    ------
    DataUnavailable
        If the authors' files are not there.
    """
    for trial in trials:
        network = _initial(trial)
        keep = {"dense": torch.ones_like(network.weights, dtype=torch.bool)}
        for method in ("ft", "pt"):
            keep[method] = authors_mnist.keep_mask(trial, method, as_applied=True)[None]
            keep[f"{method}_meant"] = authors_mnist.keep_mask(trial, method, as_applied=False)[None]
        keep["random"] = _random(_count_removed(keep["ft_meant"]), network, LAST_TWO, seed=trial)
        trained = _train(network, keep, digits, effort, seed=trial)
        yield _outcome(trained, keep, digits, effort, number=trial, cut=_count_removed(keep["ft_meant"]))


def masks_from_scratch(
    digits: Digits,
    *,
    batch_size: int = BATCH_SIZE,
    ft: WindowSettings = FT,
    pt: WindowSettings = PT,
    trials: Sequence[int] = authors_mnist.TRIALS,
) -> pd.DataFrame:
    """Derive FT's and PT's masks from the authors' initial states, and compare them with the released ones.

    Parameters
    ----------
    digits : Digits
        Training and test rows.
    batch_size : int, default 128
        Number of rows of a mini-batch.
    ft, pt : WindowSettings, default `FT`, `PT`
        Recordings of the two methods.
    trials : sequence of int, default `authors_mnist.TRIALS`
        Numbers of the trials.

    Returns
    -------
    DataFrame
        One row per trial and method: network (the trial), method, removed (number of weights of the last two layers),
        released (the same of the released mask), jaccard_pruned (Jaccard index of the removed weights) and by_chance
        (the index of two unrelated masks of these counts).

    Raises
    ------
    DataUnavailable
        If the authors' files are not there.
    """
    rows = []
    for trial in trials:
        network, recordings = _initial(trial), {"ft": (ft, LAST_TWO), "pt": (pt, LAST_TWO)}
        found, _ = dense_run(network, digits, recordings, seed=trial, batch_size=batch_size)
        for method, (recording, _) in recordings.items():
            ours = keep_mask(found[method], network, recording)
            theirs = authors_mnist.keep_mask(trial, method, as_applied=False)[None]
            removed, released = int(_count_removed(ours)), int(_count_removed(theirs))
            both = removed * released / _count(network, LAST_TWO)
            by_chance = both / (removed + released - both) if removed else 0.0
            overlap = float(jaccard_pruned(ours, theirs))
            rows.append((trial, method, removed, released, overlap, by_chance))
    return pd.DataFrame(rows, columns=["network", "method", "removed", "released", "jaccard_pruned", "by_chance"])


def fresh_outcomes(
    digits: Digits,
    *,
    seeds: Sequence[int],
    effort: Effort = Effort(),
    ft: WindowSettings = FT,
    pt: WindowSettings = PT,
) -> Iterator[Outcome]:
    """Train fresh initialisations under LEGCNet, its controls and dense, all on the same mini-batches.

    Methods: dense; ft and pt, masks within the last two layers as in the paper; pt_all, with exponents and tests of all
    41,000 weights; for each a random and a magnitude mask of the same count in the same layers (`CONTROLS`), magnitude
    by the dense network's final weights; magnitude_after as in `rerun_authors`.

    Parameters
    ----------
    digits : Digits
        Training and test rows.
    seeds : sequence of int
        Seeds of the networks and of the orders.
    effort : Effort, optional
        Mini-batch size, benchmark and budget.
    ft, pt : WindowSettings, default `FT`, `PT`
        Recordings of the two methods.

    Yields
    ------
    Outcome
        One initialisation.
    """
    for seed in seeds:
        network = stack_models([legcnet_mnist(seed=seed)])
        recordings = {"ft": (ft, LAST_TWO), "pt_all": (pt, ALL)}
        options = {"seed": seed, "batch_size": effort.batch_size, "epochs": effort.budget}
        found, after_epochs = dense_run(network, digits, recordings, **options)
        # The last two layers' exponents come last.
        everywhere = found["pt_all"]
        found["pt"] = ExponentsAndRisk(everywhere.exponents[..., -_count(network, LAST_TWO) :], everywhere.risk)
        alone = stop_at_benchmark(after_epochs, digits, **asdict(effort))
        # Trained again beside the others, because the rounding of a stack depends on its size.
        keep = {"dense": torch.ones_like(network.weights, dtype=torch.bool)}
        for method, (random, magnitude) in CONTROLS.items():
            names, recording = _SCOPES[method], ft if method == "ft" else pt
            keep[method] = keep_mask(found[method], network, recording, names=names)
            removed = _count_removed(keep[method])
            keep[random] = _random(removed, network, names, seed=seed)
            sizes = torch.cat([alone.parameters[name].flatten(1) for name in names], 1)
            keep[magnitude] = whole_masks(remove_lowest(sizes.abs(), removed), network, names=names)
        trained = _train(network, keep, digits, effort, seed=seed)
        yield _outcome(trained, keep, digits, effort, number=seed, cut=_count_removed(keep["ft"]))


def _initial(trial: int) -> ModelBatch:
    model = legcnet_mnist(seed=0)
    model.load_state_dict(authors_mnist.initial_state(trial))
    return stack_models([model])


def _train(network: ModelBatch, keep: dict[str, Tensor], digits: Digits, effort: Effort, *, seed: int) -> Trained:
    copies = network.select([0] * len(keep))
    return train(copies, digits, seed=seed, keep=torch.cat(list(keep.values())), **asdict(effort))


def _outcome(
    trained: Trained, keep: dict[str, Tensor], digits: Digits, effort: Effort, *, number: int, cut: Tensor
) -> Outcome:
    """Rows of the retrained networks and of magnitude_after, which removes `cut` (1,) weights of the dense one."""
    masks, names = torch.cat(list(keep.values())), list(keep)
    dense = trained.networks.select([names.index("dense")])
    smallest = remove_lowest(dense.weights.abs(), cut)
    dense.apply_(smallest)
    networks = stack_models([*(trained.networks.model(i) for i in range(len(names))), dense.model(0)])
    masks = torch.cat([masks, smallest])
    kept, last = masks.sum(1), _count(networks, LAST_TWO[1:])
    rows = pd.DataFrame([asdict(found) for found in measure(networks, digits, batch_size=effort.batch_size)])
    rows.insert(0, "network", number)
    rows.insert(1, "method", [*names, "magnitude_after"])
    # The cut network took as many epochs as the dense one.
    at = [*range(len(names)), names.index("dense")]
    rows["epochs"], rows["reached"] = trained.epochs[at].numpy(), trained.reached[at].numpy()
    rows["kept"], rows["pruned_pct"] = kept.numpy(), 100 * (1 - kept.numpy() / masks.shape[1])
    rows["removed_fc4"] = (~masks[:, -last:]).sum(1).numpy()
    return Outcome(rows, networks)


def _random(removed: Tensor, network: ModelBatch, names: Sequence[str], *, seed: int) -> Tensor:
    return whole_masks(remove_random(removed, _count(network, names), seed=seed), network, names=names)


def _count_removed(keep: Tensor) -> Tensor:
    return (~keep).sum(1)


def _count(network: ModelBatch, names: Sequence[str]) -> int:
    return sum(network.parameters[name][0].numel() for name in names)
