"""The one place that imports shap, and a softmax that its DeepExplainer gets right."""

import copy
import warnings

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # shap 0.51 sets up its colour maps by a function that matplotlib 3.11 will drop.
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

__all__ = ["shap", "with_split_softmax"]


class _SplitSoftmax(nn.Module):
    """Softmax of (n, o) as p_i = sigmoid(z_i - log of the sum over k != i of exp z_k), the log built up by softplus.

    log(exp a + exp b) = a + softplus(b - a), so that all but sums and differences acts on one number at a time.
    """

    def __init__(self, outputs: int):
        super().__init__()
        self.others = torch.tensor([[k for k in range(outputs) if k != i] for i in range(outputs)])
        # One module for each use: the explainer's hooks remember a module's last input.
        self.softplus = nn.ModuleList(nn.Softplus() for _ in range(outputs - 2))
        self.sigmoid = nn.Sigmoid()

    def forward(self, z: Tensor) -> Tensor:
        others = z[:, self.others.to(z.device)]  # (n, o, o - 1)
        total = others[..., 0]
        for k, softplus in enumerate(self.softplus, start=1):
            total = total + softplus(others[..., k] - total)
        return self.sigmoid(z - total)


def with_split_softmax(model: nn.Module, outputs: int) -> nn.Module:
    """A copy of the model whose `nn.Softmax` modules, over `outputs` classes, are sums, softplus and sigmoid.

    DeepExplainer takes softmax for a function of one number: the whole change of p_i is put down to z_i, by the ratio
    of the two, which is unbounded where z_i hardly moves while the other logits do. Local accuracy holds all the same.
    """
    twin = copy.deepcopy(model)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Softmax) and outputs > 1:
                setattr(parent, name, _SplitSoftmax(outputs))
    return twin
