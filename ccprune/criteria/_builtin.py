"""The criteria of the library."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ccprune import scores
from ccprune._util.inputs import Inputs
from ccprune.criteria._registry import freeze_builtin, register
from ccprune.mask._kinds import axes_of
from ccprune.mask._names import owners
from ccprune.recording import InMemory, SquaredUpdates, Store

Scores = dict[str, Tensor]


def magnitude_layer(model: nn.Module) -> Scores:
    """Ranks of `magnitude` within each layer, which compare weights of one layer only."""
    return scores.ranks(scores.magnitude(model), within="layer")


def wanda_row(model: nn.Module, x: Inputs) -> Scores:
    """Ranks of `wanda` within each output row, the comparison of its paper (Sun et al., 2024, section 3)."""
    places = owners(model)
    found = scores.wanda(model, x)
    return scores.ranks(found, within="row", rows={name: axes_of(*places[name]).output for name in found})


def movement(store: scores.Movement) -> Scores:
    """sum_t theta_t dtheta_t over the recorded steps (movement pruning: Sanh, Wolf and Rush, 2020, section 4)."""
    return store.scores


def legcnet(store: scores.WeightExponents) -> Scores:
    """1 - p of the Granger test of a weight's Lyapunov exponents against the training loss (LEGCNet, section 3.6)."""
    return scores.legcnet_of_exponents(store)


def squared_updates(store: SquaredUpdates) -> Scores:
    """sum_t dtheta_t^2 over the recorded steps, the control of the causal scores that does not use the loss."""
    return store.scores


def causal(store: Any) -> Scores:
    """Screening score |sum_t dL_t dtheta_t^2| / T of the Granger-Lasso (`lasso.Screen`; Shah et al., 2024)."""
    return store.scores


def causal_exact(store: InMemory) -> Scores:
    """Order of entry on the path of the exact Lasso of dL on dtheta^2 (`lasso.ranking`)."""
    from ccprune import lasso  # imported here because its solvers are slow to import and seldom needed

    changes, losses = store.records()
    return store.layout.tensors(lasso.ranking(changes, losses))


def causal_sgd(store: InMemory, lr: float) -> Scores:
    """|gamma| of `lasso.truncated_gradient` with the settings of causal pruning's code of June 2025."""
    from ccprune import lasso

    changes, losses = store.records()
    found = lasso.truncated_gradient(
        changes / lr**2,  # in units of the learning rate, as one regression
        losses / losses.mean(),
        1e-3 / (2 * changes.shape[1]),
        eta0=0.2,  # 0.1 for a loss without the factor 1/2, which also halves the penalty and the tolerance
        power_t=0.1,
        batch_size=16,
        max_iter=30,
        stop="lowest",
        tol=5e-8,
    )
    return store.layout.tensors(found.coef.abs())


def _screen(_: nn.Module) -> Store:
    from ccprune.lasso import Screen

    return Screen()


def _rows(_: nn.Module) -> Store:
    return InMemory()


def _squares(_: nn.Module) -> Store:
    return SquaredUpdates()


_WITHOUT_TRAINING: list[Callable[..., Scores]] = [scores.magnitude, magnitude_layer, scores.lamp, scores.random]
_WITHOUT_TRAINING += [scores.snip, scores.grasp, scores.synflow, scores.fisher, scores.obd]
_WITHOUT_TRAINING += [scores.wanda, wanda_row, scores.obs]
for score in _WITHOUT_TRAINING:
    register(score.__name__, score)
# Criteria that do not use the loss have the pairing that needs no second forward pass.
register("movement", movement, store=scores.Movement, pairing="consecutive")
register("squared_updates", squared_updates, store=_squares, pairing="consecutive")
register("legcnet", legcnet, store=scores.WeightExponents, pairing="consecutive")
register("causal", causal, store=_screen, pairing="same_batch")
register("causal_consecutive", causal, store=_screen, pairing="consecutive")
register("causal_exact", causal_exact, store=_rows, pairing="same_batch")
register("causal_sgd", causal_sgd, store=_rows, pairing="same_batch")
freeze_builtin()
