"""Linear layers in compressed sparse rows, where that is measured to be faster."""

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.modes import capture_inputs
from ccprune.export._exported import Exported, masked_copy, outputs
from ccprune.mask import Mask
from ccprune.mask._names import owners
from ccprune.measure.latency import Timing, inference, sparse


def csr(model: nn.Module, mask: Mask, example: Tensor, *, repeats: int = 30) -> Exported:
    """A masked copy whose linear layers are `diagnostics.latency.SparseLinear` where that wins on the CPU.

    Each pruned linear layer is timed in both forms on the inputs that the example batch gives it, `repeats` passes
    each. It becomes sparse only if the third quartile of the sparse times lies below the first of the dense ones; then
    the machine's noise cannot be what won. Another batch size, machine or number of threads may decide otherwise.

    Parameters
    ----------
    model : Module
        On the CPU.
    mask : Mask
    example : Tensor (n, ...)
        A batch of the size that will be used.
    repeats : int

    Returns
    -------
    Exported
        layers: form ("csr" or "dense"), dense_seconds and sparse_seconds (medians, NaN where not timed), reason.

    Raises
    ------
    ValueError
        When the mask does not fit the model, or the example is not on the CPU.
    """
    if example.device.type != "cpu":
        raise ValueError(f"example must be on the CPU, got {example.device}: use semi_structured or structured on CUDA")
    network = masked_copy(model, mask)
    found = owners(network)
    inputs = _inputs(network, example)
    # Tied weights are decided together, over all layers that have them.
    users: dict[int, list[nn.Module]] = {}
    for module, attribute in dict.fromkeys(found.values()):
        users.setdefault(id(module._parameters[attribute]), []).append(module)
    rows, winners = {}, {}
    for name, keep in mask.keep.items():
        module, attribute = found[name]
        layers = users[id(module._parameters[attribute])]
        reason = _obstacle(layers, keep, [x for layer in layers for x in inputs.get(layer, ())])
        if reason:
            rows[name] = ("dense", float("nan"), float("nan"), reason)
            continue
        dense, fast = [], []
        for layer in layers:
            twin = sparse(layer, Mask({"weight": keep}))
            for x in inputs.get(layer, ()):
                dense.append(inference(layer, x, repeats=repeats))
                fast.append(inference(twin, x, repeats=repeats))
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


def _inputs(network: nn.Module, example: Tensor) -> dict[nn.Module, list[Tensor]]:
    """What each linear layer is called with in one forward pass."""
    found: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, x: Tensor) -> None:
        found.setdefault(module, []).append(x.detach().clone())

    with capture_inputs([module for module in network.modules() if type(module) is nn.Linear], note):
        outputs(network, example)
    return found


def _obstacle(layers: list[nn.Module], keep: Tensor, inputs: list[Tensor]) -> str:
    if any(type(layer) is not nn.Linear for layer in layers):
        return "not a plain linear layer: torch has no sparse form"
    if bool(keep.all()):
        return "nothing pruned"
    if layers[0].weight.dtype not in (torch.float32, torch.float64):
        return f"torch has no CSR products in {layers[0].weight.dtype} on the CPU"
    return "" if inputs else "not called on the example"


def _total(timings: list[Timing], quantile: str) -> float:
    return sum(getattr(timing, quantile) for timing in timings)
