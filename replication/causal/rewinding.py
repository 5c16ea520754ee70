"""The paper's own experiment: masks from rewound recordings at a lambda, then training under them and controls."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from torch import nn
from torch.optim import Adam

from ccprune import scores
from ccprune.lasso import Screen
from ccprune.mask import Mask, geometric
from ccprune.recording import SquaredUpdates
from ccprune.training import has_converged
from replication.causal.protocols import prune_with_rewinding
from replication.causal.runs import Network, training_key
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units

#: The paper trains with Adam at this rate, on the plain cross-entropy in batches of 512.
RATE = 5e-4
#: lambda on each data set for LeNet, and the share of what is left that magnitude removed in each of ten iterations
#: (the paper's scripts), so that it removed 1 - (1 - share)^10 in all.
LENET = {"fashion_mnist": (1e-14, 0.1), "cifar10": (1e-14, 0.275)}

#: The masks that `experiment` trains under: causal's, those made from it, the rewound ones, those on the saved weights.
MASKS = ("causal", "shuffled", "reinitialised", "iterative_magnitude", "squared_updates")
MASKS += ("dense", "magnitude", "magnitude_layer", "lamp", "random")


def train_until_converged(
    model: nn.Module, images: Images, setting: Setting, mask: Mask | None, *, epochs: int, seed: int, first: int = 0
) -> tuple[nn.Module, int]:
    """Train a copy of a network by Adam until it converges, under a mask if any.

    Parameters
    ----------
    model : Module
        The network, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Settings of the training, except for the optimiser.
    mask : Mask or None
        Weights that stay 0.
    epochs : int
        Largest number of epochs; training stops earlier by `has_converged`.
    seed : int
        Seed of the order of the mini-batches.
    first : int, default 0
        Number of the first epoch.

    Returns
    -------
    model : Module
        The trained copy.
    epochs : int
        Number of epochs that it took.
    """
    model = setting.place(copy.deepcopy(model), images)
    optimizer = Adam(model.parameters(), lr=RATE)
    training = {"epochs": epochs, "optimizer": optimizer, "seed": seed, "first": first}
    return model, len(setting.train(model, images, mask=mask, stop=has_converged, **training).loss)


def masks_at_lambda(
    saved: nn.Module, images: Images, setting: Setting, alpha: float, *, iterations: int, epochs: int, seed: int
) -> Iterator[Mask]:
    """Yield the paper's masks, one per iteration: `prune_with_rewinding` with `lasso.Screen` at lambda.

    Parameters
    ----------
    saved : Module
        The network to which every iteration returns.
    images : Images
        Training images.
    setting : Setting
        Settings of the training, except for the optimiser.
    alpha : float
        The penalty lambda.
    iterations : int
        Number of iterations.
    epochs : int
        Number of epochs of an iteration.
    seed : int
        Seed of the order of the mini-batches.

    Yields
    ------
    Mask

    Raises
    ------
    ValueError
        If the screen would not be the authors' fit (`Screen.condition`).

    References
    ----------
    Shah et al., arXiv:2412.03035.
    """

    def choose(_: nn.Module, screen: Screen, __: Mask, ___: int) -> Mask:
        return screen.mask(alpha)

    return prune_with_rewinding(saved, images, setting, choose, iterations=iterations, epochs=epochs, seed=seed)


def iterative_magnitude(
    saved: nn.Module, images: Images, setting: Setting, sparsity: float, *, iterations: int, epochs: int, seed: int
) -> Iterator[Mask]:
    """Yield the masks of the paper's baseline, one per iteration.

    The same share of the remaining weights is pruned by magnitude each time, such that the last mask has the wanted
    sparsity. Every iteration trains from the saved weights as `masks_at_lambda` does.

    Parameters
    ----------
    saved : Module
        The network to which every iteration returns.
    images : Images
        Training images.
    setting : Setting
        Settings of the training, except for the optimiser.
    sparsity : float
        Sparsity of the last mask.
    iterations : int
        Number of iterations.
    epochs : int
        Number of epochs of an iteration.
    seed : int
        Seed of the order of the mini-batches.

    Yields
    ------
    Mask

    References
    ----------
    Shah et al., arXiv:2412.03035.
    """
    levels = geometric(sparsity, iterations=iterations)

    def choose(model: nn.Module, _: None, mask: Mask, iteration: int) -> Mask:
        return Mask.from_scores(scores.magnitude(model), sparsity=levels[iteration], previous=mask)

    return prune_with_rewinding(
        saved, images, setting, choose, store=None, iterations=iterations, epochs=epochs, seed=seed
    )


def masks_by_squared_updates(
    saved: nn.Module, images: Images, setting: Setting, sparsities: Sequence[float], *, epochs: int, seed: int
) -> Iterator[Mask]:
    """Yield masks with a given sparsity in each iteration, from the recording of `masks_at_lambda` without its losses.

    Parameters
    ----------
    saved : Module
        The network to which every iteration returns.
    images : Images
        Training images.
    setting : Setting
        Settings of the training, except for the optimiser.
    sparsities : sequence of float
        Sparsity of each iteration's mask.
    epochs : int
        Number of epochs of an iteration.
    seed : int
        Seed of the order of the mini-batches.

    Yields
    ------
    Mask
    """

    def choose(_: nn.Module, store: SquaredUpdates, mask: Mask, iteration: int) -> Mask:
        return Mask.from_scores(store.scores, sparsity=sparsities[iteration], previous=mask)

    steps = {"iterations": len(sparsities), "epochs": epochs, "seed": seed}
    return prune_with_rewinding(saved, images, setting, choose, store=SquaredUpdates, **steps)


def controls(saved: nn.Module, sparsity: float, *, seed: int) -> dict[str, Mask]:
    """Return masks of a sparsity on the saved weights.

    Parameters
    ----------
    saved : Module
        The network.
    sparsity : float
        Pruned fraction.
    seed : int
        Seed of the random mask.

    Returns
    -------
    dict of Mask
        "dense" (nothing is pruned), "magnitude" (over all layers, the paper's), "magnitude_layer", "lamp" and "random".
    """
    magnitude = scores.magnitude(saved)
    return {
        "dense": Mask.ones_like(saved),
        "magnitude": Mask.from_scores(magnitude, sparsity=sparsity),
        "magnitude_layer": Mask.from_scores(magnitude, allocation="uniform", sparsity=sparsity),
        "lamp": Mask.from_scores(scores.lamp(saved), sparsity=sparsity),
        "random": Mask.from_scores(scores.random(saved, seed=seed), sparsity=sparsity),
    }


def row(
    name: str,
    saved: nn.Module,
    network: Network,
    images: Images,
    setting: Setting,
    mask: Mask,
    *,
    before: int,
    epochs: int,
    seed: int,
) -> dict[str, object]:
    """Train the saved network under a mask and evaluate it.

    With the name "reinitialised" new initial weights are trained instead, with the `before` epochs that the saved
    network had as well.

    Parameters
    ----------
    name : str
        One of `MASKS`.
    saved : Module
        The saved network, which is not changed.
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training, except for the optimiser.
    mask : Mask
        Mask under which the network is trained.
    before : int
        Largest number of epochs that the saved network was trained.
    epochs : int
        Largest number of epochs under the mask.
    seed : int
        Seed of the order of the mini-batches.

    Returns
    -------
    dict
        seed, method, sparsity, test_accuracy, test_loss, epochs and least_density (kept share of the emptiest layer).
    """
    if name == "reinitialised":
        fresh = network(seed + 1_000_000)
        model, took = train_until_converged(fresh, images, setting, mask, epochs=before + epochs, seed=seed)
    else:
        model, took = train_until_converged(saved, images, setting, mask, epochs=epochs, seed=seed, first=before)
    test = images.evaluate(model)
    return {
        "seed": seed,
        "method": name,
        "sparsity": mask.sparsity,
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "epochs": took,
        "least_density": mask.least_density,
    }


def experiment(
    network: Network,
    images: Images,
    setting: Setting,
    alpha: float,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    iterations: int,
    epochs: int,
    after: int,
    seed: int,
) -> tuple[list[float], Rows]:
    """Return the paper's experiment for one seed, with one unit for the sparsities and one for each trained mask.

    A mask is made when a unit that is not stored needs it. Of the masks, "shuffled" has causal's count in each layer
    at random places, all others but "dense" have causal's count over all layers.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training, except for the optimisers.
    alpha : float
        The penalty lambda, in the units of the screen's statistic.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.
    iterations : int
        Number of iterations.
    epochs : int
        Largest number of epochs of Adam before the first iteration, and number of epochs of SGD in each.
    after : int
        Largest number of epochs of Adam under each mask; with 0 none is trained.
    seed : int
        Seed of the network and of the order of the mini-batches.

    Returns
    -------
    sparsities : list of float
        Sparsity of causal's mask after each iteration.
    rows : list of dict
        Rows of `row`, one per mask in `MASKS`.

    Raises
    ------
    ValueError
        If the screen would not be the authors' fit (`Screen.condition`).

    References
    ----------
    Shah et al., arXiv:2412.03035.
    """
    saved = cache(lambda: train_until_converged(network(seed), images, setting, None, epochs=epochs, seed=seed)[0])
    schedule = {"epochs": epochs, "seed": seed}
    path = cache(lambda: list(masks_at_lambda(saved(), images, setting, alpha, iterations=iterations, **schedule)))
    one = {
        **key,
        **training_key(setting),
        **schedule,
        "study": "protocol_2024",
        "lam": alpha,  # the name in stored units
        "iterations": iterations,
    }
    steps = units.get(one | {"method": "sparsities"}, lambda: [{"sparsity": mask.sparsity} for mask in path()])
    sparsities = [step["sparsity"] for step in steps]

    def make_mask(name: str) -> Mask:
        if name in ("causal", "reinitialised"):
            return path()[-1]
        if name == "shuffled":
            return path()[-1].shuffle(seed=seed)
        if name == "iterative_magnitude":
            final = sparsities[-1]
            *_, last = iterative_magnitude(saved(), images, setting, final, iterations=iterations, **schedule)
            return last
        if name == "squared_updates":
            *_, last = masks_by_squared_updates(saved(), images, setting, sparsities, **schedule)
            return last
        return controls(saved(), sparsities[-1], seed=seed)[name]

    found: Rows = []
    for name in MASKS if after else ():
        training = {"before": epochs, "epochs": after, "seed": seed}

        def compute(name: str = name, training: dict[str, int] = training) -> Rows:
            return [row(name, saved(), network, images, setting, make_mask(name), **training)]

        found += units.get(one | {"method": name, "after": after}, compute)
    return sparsities, found
