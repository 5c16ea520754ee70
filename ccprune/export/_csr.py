"""Linear layers in compressed sparse rows (CSR), where measurements show that they are faster."""

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.inputs import Inputs, first_inputs, tensors
from ccprune._util.modes import capture_inputs
from ccprune.export._exported import Exported, masked_copy, outputs
from ccprune.mask import Mask
from ccprune.mask._names import owners
from ccprune.measure._sparse import fused_layers
from ccprune.measure.latency import Timing, inferences, sparse


def to_csr(model: nn.Module, mask: Mask, example: Inputs, *, repeats: int = 30) -> Exported:
    """Copy a masked model with `ccprune.measure.latency.SparseLinear` layers where these are faster on the CPU.

    Each pruned linear layer is timed in both forms on the inputs that it receives for the example batch. It becomes
    sparse only if the third quartile of the sparse times is below the first quartile of the dense times, so that noise
    of the machine cannot decide. The choice may differ for another batch size, machine or number of threads.

    Parameters
    ----------
    model : Module
        Model on the CPU.
    mask : Mask
    example : Tensor (n, ...), tuple or mapping
        Batch of the size that will be used.
    repeats : int, default 30
        Number of timed passes of each form.

    Returns
    -------
    Exported
        Columns of `layers`: form ("csr" or "dense"), dense_seconds and sparse_seconds (medians, NaN if not timed),
        reason.

    Raises
    ------
    ValueError
        If the mask does not fit the model, or the example is not on the CPU.

    Examples
    --------
    >>> from ccprune import prune, score
    >>> model, x = nn.Sequential(nn.Linear(64, 64)), torch.randn(2, 64)
    >>> exported = to_csr(model, prune(model, score("magnitude", model), sparsity=0.9), x, repeats=5)
    >>> torch.allclose(exported.model(x), model(x), atol=1e-5)
    True
    """
    example = first_inputs(example, name="example")
    device = tensors(example)[0].device
    if device.type != "cpu":
        raise ValueError(f"example must be on the CPU, got {device}: use to_semi_structured or to_structured on CUDA")
    network = masked_copy(model, mask)
    found, direct = owners(network), fused_layers(network)
    inputs: dict[nn.Module, list[Tensor]] = {}  # of each linear layer in one forward pass
    with capture_inputs(
        [module for module in network.modules() if type(module) is nn.Linear],
        lambda module, x: inputs.setdefault(module, []).append(x.detach().clone()),
    ):
        outputs(network, example)
    # Tied weights are decided together, over all layers that share them.
    users: dict[int, list[nn.Module]] = {}
    for module, attribute in dict.fromkeys(found.values()):
        users.setdefault(id(module._parameters[attribute]), []).append(module)
    rows, winners = {}, {}
    for name, keep in mask.keep.items():
        module, attribute = found[name]
        layers = users[id(module._parameters[attribute])]
        reason = _obstacle(layers, keep, direct, [x for layer in layers for x in inputs.get(layer, ())])
        if reason:
            rows[name] = ("dense", float("nan"), float("nan"), reason)
            continue
        dense, fast = [], []
        for layer in layers:
            twin = sparse(layer, Mask({"weight": keep}))
            for x in inputs.get(layer, ()):
                times = inferences({"dense": layer, "sparse": twin}, x, repeats=repeats)
                dense.append(times["dense"])
                fast.append(times["sparse"])
        wins = _total(fast, "high") < _total(dense, "low")
        if wins:
            winners[name] = keep
        medians = (_total(dense, "median"), _total(fast, "median"))
        rows[name] = ("csr" if wins else "dense", *medians, "" if wins else "not faster here")
    if winners:
        network = sparse(network, Mask(winners))
    columns = ["form", "dense_seconds", "sparse_seconds", "reason"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("parameter")
    return Exported(network, table)


def _obstacle(layers: list[nn.Module], keep: Tensor, direct: set[nn.Module], inputs: list[Tensor]) -> str:
    for layer in layers:
        if type(layer) is not nn.Linear:
            return f"torch has no sparse form of {type(layer).__name__}"
        if layer in direct:
            return "TransformerEncoderLayer uses the weight without a call of the layer"
    if bool(keep.all()):
        return "nothing pruned"
    if layers[0].weight.dtype not in (torch.float32, torch.float64):
        return f"torch has no CSR products in {layers[0].weight.dtype} on the CPU"
    return "" if inputs else "not called on the example"


def _total(timings: list[Timing], quantile: str) -> float:
    return sum(getattr(timing, quantile) for timing in timings)
