"""Linear layers that store and multiply only the kept weights."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ccprune._util.checks import join_first
from ccprune._util.modes import copy_model
from ccprune.mask import Mask
from ccprune.mask._names import owners


class SparseLinear(nn.Module):
    """A linear layer that stores and multiplies only its kept weights, in compressed sparse rows (CSR).

    Parameters
    ----------
    values : Parameter (kept,)
        Weights at the positions that are True in `keep`, row by row; they can be trained.
    keep : bool Tensor (out, in)
    bias : Parameter (out,) or None

    Examples
    --------
    >>> keep = torch.tensor([[True, False, True]])
    >>> layer = SparseLinear(nn.Parameter(torch.tensor([2.0, 5.0])), keep, None)
    >>> layer(torch.ones(1, 3)).item()
    7.0
    """

    def __init__(self, values: nn.Parameter, keep: Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.shape = tuple(keep.shape)
        self.values = values
        self.register_parameter("bias", bias)
        # MKL uses 32-bit indices and would convert others at each call.
        self.register_buffer("row_starts", pad(keep.sum(1).cumsum(0), (1, 0)).int())
        self.register_buffer("columns", keep.nonzero()[:, 1].int())
        with warnings.catch_warnings():
            # Torch emits this warning once in a process, at the first CSR tensor, which is created here.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
            self._csr(check=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs (..., in) to outputs (..., out)."""
        examples = x.reshape(-1, self.shape[1]).T
        y = self.weight @ examples if self.bias is None else torch.addmm(self.bias[:, None], self.weight, examples)
        return y.T.reshape(*x.shape[:-1], self.shape[0])

    @property
    def weight(self) -> Tensor:
        """The weight (out, in) in CSR, for modules that read its dtype or device."""
        return self._csr(check=False)

    def _csr(self, *, check: bool) -> Tensor:
        """Return the weight (out, in) as a view of `values`, which thereby gets gradients."""
        return torch.sparse_csr_tensor(self.row_starts, self.columns, self.values, self.shape, check_invariants=check)


def sparse(model: nn.Module, mask: Mask) -> nn.Module:
    """Copy a model with `SparseLinear` in place of the linear layers that the mask names.

    The outputs are those of the masked model, up to rounding. Layers of which the mask prunes no weight may stay dense.
    The copy can be trained. The parameters of a sparse layer are named "values" instead of "weight".

    Parameters
    ----------
    model : Module
        Left unchanged.
    mask : Mask

    Raises
    ------
    ValueError
        If the mask does not fit the model, or prunes anything but weights of plain `nn.Linear` layers (torch has no
        sparse convolution) outside of `nn.TransformerEncoderLayer`, which uses weights without a call of their layer.

    Examples
    --------
    >>> from ccprune import prune, score
    >>> model, x = nn.Sequential(nn.Linear(8, 4)), torch.ones(1, 8)
    >>> mask = prune(model, score("magnitude", model), sparsity=0.75)
    >>> copy = sparse(model, mask)
    >>> type(copy[0]).__name__, bool(torch.allclose(copy(x), model(x), atol=1e-6))
    ('SparseLinear', True)
    """
    mask.check(model)  # raises if the mask does not fit
    whole = nn.ModuleList([copy_model(model)])  # so that a model that is a single layer has a parent too
    parameters = {name: module._parameters[attribute] for name, (module, attribute) in owners(whole[0]).items()}
    keep = {id(parameters[name]): value.to(parameters[name].device) for name, value in mask.keep.items()}
    # Keyed by the identity of the replaced object, so that tied weights stay tied and a layer with two names stays one.
    values: dict[int, nn.Parameter] = {}
    layers: dict[int, SparseLinear] = {}
    direct = fused_layers(whole)
    for parent in list(whole.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is not nn.Linear or child in direct or id(child.weight) not in keep:
                continue
            key = id(child.weight)
            if key not in values:
                values[key] = nn.Parameter(child.weight.detach()[keep[key]], child.weight.requires_grad)
            if id(child) not in layers:
                layers[id(child)] = SparseLinear(values[key], keep[key], child.bias).train(child.training)
            parent._modules[name] = layers[id(child)]
    left = {id(parameter) for parameter in whole.parameters()}
    dense = [name for name, value in mask.keep.items() if id(parameters[name]) in left and not bool(value.all())]
    if dense:
        raise ValueError(
            f"mask must prune weights of nn.Linear only, and not in nn.TransformerEncoderLayer, got {join_first(dense)}"
        )
    return whole[0]


def fused_layers(model: nn.Module) -> set[nn.Module]:
    """Return the layers whose weights torch uses without a call of the layer, so that none can take their place."""
    return {
        one for parent in model.modules() if isinstance(parent, nn.TransformerEncoderLayer) for one in parent.children()
    }
