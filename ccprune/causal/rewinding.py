"""The paper's own experiment: masks from rewound recordings at a lambda, then training under them and controls."""

import copy
from collections.abc import Callable, Iterator, Mapping

from torch import nn
from torch.optim import Adam

from ccprune import scores
from ccprune.causal.protocols import everything, rewound
from ccprune.causal.setting import Setting
from ccprune.data.images import Images
from ccprune.lasso import Screen
from ccprune.mask import Mask
from ccprune.minibatch import converged, evaluate

#: The paper trains with Adam at this rate, on the plain cross-entropy in batches of 512.
RATE = 5e-4
#: lambda on each data set for LeNet, and the share of what is left that magnitude removed in each of ten iterations
#: (the paper's scripts), so that it removed 1 - (1 - share)^10 in all.
LENET = {"fashion_mnist": (1e-14, 0.1), "cifar10": (1e-14, 0.275)}


def trained(
    model: nn.Module, images: Images, setting: Setting, mask: Mask | None, *, epochs: int, seed: int, first: int = 0
) -> tuple[nn.Module, int]:
    """A copy trained by Adam, under the mask if any, until `converged`, `epochs` at most; and the epochs it took."""
    model = setting.place(copy.deepcopy(model), images)
    optimizer = Adam(model.parameters(), lr=RATE)
    training = {"epochs": epochs, "optimizer": optimizer, "seed": seed, "first": first}
    return model, len(setting.train(model, images, mask=mask, stop=converged, **training).loss)


def at_lambda(
    saved: nn.Module, images: Images, setting: Setting, lam: float, *, iterations: int, epochs: int, seed: int
) -> Iterator[Mask]:
    """The paper's masks, one per iteration: `rewound` with `lasso.Screen` at lambda.

    Raises ValueError where the screen would not be the authors' fit (`Screen.condition`).
    """

    def choose(screen: Screen, _: Mask, __: int) -> Mask:
        return screen.mask(lam)

    return rewound(saved, images, setting, choose, iterations=iterations, epochs=epochs, seed=seed)


def controls(saved: nn.Module, mask: Mask, *, seed: int) -> dict[str, Mask]:
    """Masks with as many weights as `mask`, and none pruned for "dense".

    magnitude (over all layers, the paper's), magnitude_layer, lamp and random on the saved weights; shuffled: the
    mask's own count in each layer at random places.
    """
    magnitude, count = scores.magnitude(saved), {"sparsity": mask.sparsity}
    return {
        "dense": everything(saved),
        "magnitude": Mask.from_scores(magnitude, **count),
        "magnitude_layer": Mask.from_scores(magnitude, scope="layer", **count),
        "lamp": Mask.from_scores(scores.lamp(saved), **count),
        "random": Mask.from_scores(scores.random(saved, seed=seed), **count),
        "shuffled": mask.shuffled(seed=seed),
    }


def rows(
    saved: nn.Module,
    network: Callable[[int], nn.Module],
    images: Images,
    setting: Setting,
    masks: Mapping[str, Mask],
    *,
    before: int,
    epochs: int,
    seed: int,
) -> Iterator[dict[str, object]]:
    """Trains the saved network under each mask and says how well it does.

    "reinitialised" in `masks` is trained from new initial weights instead, with the `before` epochs that the saved
    network had as well.
    """
    for name, mask in masks.items():
        if name == "reinitialised":
            fresh = network(seed + 1_000_000)
            model, took = trained(fresh, images, setting, mask, epochs=before + epochs, seed=seed)
        else:
            model, took = trained(saved, images, setting, mask, epochs=epochs, seed=seed, first=before)
        test = evaluate(model, images.x_test, images.y_test, normalise=images.normalise)
        yield {
            "seed": seed,
            "method": name,
            "sparsity": mask.sparsity,
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "epochs": took,
            "least_density": mask.least_density,
        }
