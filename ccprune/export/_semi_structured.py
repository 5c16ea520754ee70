"""2:4 sparse weights as torch's semi-structured tensors, for CUDA."""

import warnings

import pandas as pd
import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from ccprune._util.checks import join_first
from ccprune.export._exported import Exported, masked_copy
from ccprune.mask import Mask
from ccprune.mask._names import owners
from ccprune.measure._sparse import fused_layers

# Torch's float32 kernels need 1:2 sparsity, and its int8 kernels are for quantised models.
DTYPES = (torch.float16, torch.bfloat16)


def to_semi_structured(model: nn.Module, mask: Mask) -> Exported:
    """Copy a masked model with 2:4 linear layers, which multiply half of their weights on sparse tensor cores.

    The export is for CUDA devices of compute capability 8.0 or newer, in float16 or bfloat16. Create the mask with
    `Mask.from_n_m`. Outputs are those of the masked model, up to rounding in this precision. Layers whose sizes the
    kernels do not support stay dense, with torch's reason, and so do all layers but linear ones: TensorRT has such
    kernels for convolutions.

    Parameters
    ----------
    model : Module
        Model on a CUDA device, in float16 or bfloat16.
    mask : Mask

    Returns
    -------
    Exported
        Columns of `layers`: form ("2:4" or "dense"), reason.

    Raises
    ------
    ValueError
        If the mask does not fit the model, prunes no linear layer, or keeps more than 2 of 4 in a linear layer that it
        prunes (the message names it); or if such a layer is not on CUDA or has another precision.

    Examples
    --------
    >>> model = nn.Linear(64, 64)
    >>> mask = Mask.from_n_m({"weight": model.weight.detach().abs()}, n=2, m=4)
    >>> exported = to_semi_structured(model.cuda().half(), mask) if torch.cuda.is_available() else None
    >>> mask.sparsity
    0.5
    """
    mask.check(model)
    found = owners(model)
    reasons = {name: _obstacle(found[name][0], keep, fused_layers(model)) for name, keep in mask.keep.items()}
    chosen = [name for name, reason in reasons.items() if not reason]
    if not chosen:
        kinds = [f"{name} of {type(found[name][0]).__name__}" for name in mask.keep]
        raise ValueError(f"mask must prune weights of linear layers, got {join_first(kinds)}")
    for name in chosen:
        module, keep = found[name][0], mask.keep[name]
        if not two_of_four(keep):
            raise ValueError(f"mask must keep at most 2 of every 4 inputs (Mask.from_n_m), not so in {name!r}")
        if not module.weight.is_cuda:
            raise ValueError(f"model's {name!r} must be on a CUDA device, got {module.weight.device}")
        if module.weight.dtype not in DTYPES:
            raise ValueError(f"model's {name!r} must be of one of {DTYPES}, got {module.weight.dtype}")
    network = masked_copy(model, mask)
    copies = owners(network)
    rows = {name: ("dense", reason) for name, reason in reasons.items()}
    made: dict[int, nn.Parameter] = {}  # by the identity of the weight, so that tied layers stay tied
    for name in chosen:
        weight = copies[name][0].get_parameter("weight")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*SparseSemiStructuredTensor", category=UserWarning)
            try:
                made[id(weight)] = nn.Parameter(to_sparse_semi_structured(weight.detach().contiguous()), False)
            except RuntimeError as error:  # unsupported sizes, or a build or device without the kernels
                rows[name] = ("dense", str(error).split("\n")[0])
            else:
                rows[name] = ("2:4", "")
    for module in network.modules():
        if type(module) is nn.Linear and id(module.weight) in made:
            module.weight = made[id(module.weight)]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["form", "reason"]).rename_axis("parameter")
    return Exported(network, table)


def _obstacle(module: nn.Module, keep: Tensor, fused: set[nn.Module]) -> str:
    if type(module) is not nn.Linear:
        return f"torch's kernels multiply the weights of linear layers only, not those of {type(module).__name__}"
    if module in fused:
        return "TransformerEncoderLayer uses the weight without a call of the layer"
    return "nothing pruned" if bool(keep.all()) else ""


def two_of_four(keep: Tensor) -> bool:
    """Whether at most 2 of every 4 weights along the second dimension, of a size divisible by 4, are kept."""
    return keep.shape[1] % 4 == 0 and bool((keep.reshape(len(keep), -1, 4).sum(2) <= 2).all())
