"""SHAP values of a network's outputs and the global importance of its features."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ccprune._util.checks import require_at_least
from ccprune._util.modes import eval_mode

METHODS = ("auto", "exact", "deep")
#: Largest number of features for which all coalitions are computed.
EXACT_FEATURES = 12
#: Largest error of the sum of "deep" values, relative to the largest output or 1 (in float32 it is about 1e-6).
LOCAL_ACCURACY = 1e-4

_ULPS = 32  # a coalition's gain below so many units in the last place of the largest output is set to 0
_ROWS = 2**16  # rows passed to the model at once by the exact method


def background_sample(x_train: Tensor, *, rows: int = 100, seed: int = 0) -> Tensor:
    """Return rows of the training part, drawn without replacement, in their order.

    Parameters
    ----------
    x_train : Tensor (n, ...)
        Training samples.
    rows : int, default 100
        Largest number of rows.
    seed : int, default 0
        Seed of the draw.

    Returns
    -------
    Tensor (min(n, rows), ...)

    Raises
    ------
    ValueError
        If `rows` is below 1.
    """
    require_at_least(1, rows=rows)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(x_train), generator=generator)[:rows].sort().values
    return x_train[chosen.to(x_train.device)]


def shap_values(model: nn.Module, background: Tensor, x: Tensor, *, method: str = "auto") -> Tensor:
    """Compute the SHAP values of the model's outputs.

    The game is the interventional one: v(S) is the mean output if the features in S are the sample's and the others are
    those of the rows of `background`. The values of a sample add up to its output minus the background's mean output.
    The model is used in eval mode. Its state and the global random generators are not changed.

    Parameters
    ----------
    model : Module
        Model with outputs (n, outputs).
    background : Tensor (m, ...)
        Background samples.
    x : Tensor (n, ...)
        Samples, floating point.
    method : str, default "auto"
        "exact" is Shapley's formula over all 2^features coalitions, which needs n m 2^features rows of the model. It
        agrees with shap's ExactExplainer, takes about a third of its time on a small network, and is 0 for unused
        features. "deep" is shap's DeepExplainer (DeepLIFT's rescale rule, averaged over the background), an
        approximation for models of torch modules that it supports; see `_shap.with_split_softmax` for softmax. "auto"
        is exact for up to `EXACT_FEATURES` features, otherwise deep.

    Returns
    -------
    Tensor (n, features, outputs)
        In x's dtype and on its device; the features of a sample are flattened.

    Raises
    ------
    ValueError
        If shapes do not agree, the method is unknown, "exact" has more than `EXACT_FEATURES` features, outputs are not
        finite, or the "deep" values do not add up to the outputs.
    TypeError
        If x is not floating point.

    References
    ----------
    Lundberg and Lee (2017), A unified approach to interpreting model predictions.
    Janzing et al. (2020), Feature relevance quantification in explainable AI: a causal problem.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    if x.ndim < 2 or not len(x) or background.shape[1:] != x.shape[1:] or not len(background):
        shapes = f"{tuple(x.shape)} and {tuple(background.shape)}"
        raise ValueError(f"x and background must be samples (n, ...) and (m, ...) of the same features, got {shapes}")
    if not x.is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}")
    features = x[0].numel()
    if method == "auto":
        method = "exact" if features <= EXACT_FEATURES else "deep"
    if method == "exact" and features > EXACT_FEATURES:
        raise ValueError(f"method='exact' takes at most {EXACT_FEATURES} features, got {features}")
    with eval_mode(model):
        values = _exact(model, background, x) if method == "exact" else _deep(model, background, x)
    return values.to(x)


def importance(values: Tensor) -> Tensor:
    """Return the global importance of the features: |SHAP value|, averaged over samples and summed over outputs.

    For several classes this is the length of the stacked bar in shap's bar plot.

    Parameters
    ----------
    values : Tensor (n, features, outputs)
        SHAP values.

    Returns
    -------
    Tensor (features,)

    Raises
    ------
    ValueError
        If `values` has another shape or no samples.
    """
    if values.ndim != 3 or not len(values):
        raise ValueError(f"values must have shape (n, features, outputs), got {tuple(values.shape)}")
    return values.abs().mean(0).sum(-1)


@torch.no_grad()
def _exact(model: nn.Module, background: Tensor, x: Tensor) -> Tensor:
    features = x[0].numel()
    bits = torch.arange(features, device=x.device)
    numbers = torch.arange(2**features, device=x.device)
    coalitions = (numbers[:, None] >> bits & 1).bool()  # (2^features, features)
    # The output of a linear layer is the sum of its outputs for the sample's features and for the background's. The
    # first layer, which is most of the work in a small network, is therefore not applied to every pair of rows.
    splits = type(model) is nn.Sequential and len(model) > 0 and type(model[0]) is nn.Linear and x.ndim == 2
    rest = model[1:] if splits else model
    worth = []  # (samples, coalitions, outputs) for each part of the coalitions
    for part in coalitions.split(max(1, _ROWS // len(background))):
        theirs = background.flatten(1) * ~part[:, None]  # (coalitions, m, features)
        if splits:
            theirs = functional.linear(theirs, model[0].weight, model[0].bias)
        means = []
        for sample in x.flatten(1):
            ours = sample * part
            if splits:
                ours = functional.linear(ours, model[0].weight)
            rows = (ours[:, None] + theirs).flatten(0, 1)
            outputs = _outputs(rest, rows if splits else rows.reshape(-1, *x.shape[1:]))
            means.append(outputs.double().reshape(len(part), len(background), -1).mean(1))
        worth.append(torch.stack(means))
    game = torch.cat(worth, 1)
    # For each feature, the coalitions S without it and their weights |S|! (features - |S| - 1)! / features!.
    without = torch.stack([numbers[~coalitions[:, j]] for j in range(features)])  # (features, 2^(features - 1))
    joined = without + (1 << bits)[:, None]
    shares = torch.tensor([1 / (features * math.comb(features - 1, k)) for k in range(features)], dtype=torch.float64)
    share = shares.to(x.device)[coalitions.sum(1)[without]][..., None]
    # The gain of an unused feature is 0. Rounding errors would rank unused features, so tiny gains are set to 0.
    rounding = _ULPS * torch.finfo(x.dtype).eps * game.abs().max()
    gains = (v[joined] - v[without] for v in game)
    return torch.stack([(share * torch.where(gain.abs() > rounding, gain, 0.0)).sum(1) for gain in gains])


def _deep(model: nn.Module, background: Tensor, x: Tensor) -> Tensor:
    from replication.diagnostics._shap import shap, with_split_softmax  # slow to import, and only needed here

    with torch.no_grad():
        outputs, baseline = _outputs(model, x), _outputs(model, background).mean(0)
    # A copy, because shap sets the gradients to zero and adds attributes.
    explainer = shap.DeepExplainer(with_split_softmax(model, outputs.shape[1]), background.detach())
    with torch.enable_grad():
        values = torch.from_numpy(explainer.shap_values(x.detach(), check_additivity=False))
    values = values.reshape(len(x), -1, outputs.shape[1])
    gap = float((values.sum(1) - (outputs - baseline).double().cpu()).abs().max())
    allowed = LOCAL_ACCURACY * max(1.0, float(outputs.abs().max()))
    if not gap <= allowed:
        raise ValueError(
            f"model must consist of modules that shap's DeepExplainer supports, got values whose sum differs from the "
            f"outputs by {gap:.2g}, more than {allowed:.2g}"
        )
    return values


def _outputs(model: nn.Module, rows: Tensor) -> Tensor:
    outputs = model(rows)
    if outputs.ndim != 2 or len(outputs) != len(rows):
        raise ValueError(f"model must give outputs (n, o), got {tuple(outputs.shape)} for {len(rows)} samples")
    if not bool(torch.isfinite(outputs).all()):
        raise ValueError("model must give finite outputs, got infinite or NaN")
    return outputs
