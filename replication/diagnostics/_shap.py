"""The only import of shap, and a softmax that its DeepExplainer handles correctly."""

import copy
import warnings

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # shap 0.51 makes its colour maps with a function that matplotlib 3.11 will remove.
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    import shap

__all__ = ["shap", "with_split_softmax"]


class _SplitSoftmax(nn.Module):
    """Softmax of (n, o) as p_i = sigmoid(z_i - log of the sum over k != i of exp z_k), with the log from softplus.

    With log(exp a + exp b) = a + softplus(b - a), all operations except sums and differences act on single numbers.
    """

    def __init__(self, outputs: int):
        super().__init__()
        self.others = torch.tensor([[k for k in range(outputs) if k != i] for i in range(outputs)])
        # One module for each use, because the explainer's hooks store a module's last input.
        self.softplus = nn.ModuleList(nn.Softplus() for _ in range(outputs - 2))
        self.sigmoid = nn.Sigmoid()

    def forward(self, z: Tensor) -> Tensor:
        others = z[:, self.others.to(z.device)]  # (n, o, o - 1)
        total = others[..., 0]
        for k, softplus in enumerate(self.softplus, start=1):
            total = total + softplus(others[..., k] - total)
        return self.sigmoid(z - total)


def with_split_softmax(model: nn.Module, outputs: int) -> nn.Module:
    """Return a copy of the model with each `nn.Softmax`, over `outputs` classes, as sums, softplus and sigmoid.

    Modules that work in place return new tensors in the copy.

    DeepExplainer treats softmax as a function of one number. It attributes the whole change of p_i to z_i by their
    ratio, which is unbounded where z_i is nearly constant and the other logits change. Local accuracy does not detect
    this.
    """
    twin = copy.deepcopy(model)
    for module in twin.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # the hooks need the inputs, which these modules overwrite
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Softmax) and outputs > 1:
                setattr(parent, name, _SplitSoftmax(outputs))
    return twin
