"""Operations of one forward pass, dense and without pruned weights.

Three numbers that are often confused are reported separately. A multiply-add (MAC) is one product and its addition to a
sum. A FLOP is one floating-point operation. There are 2 for each multiply-add, and additions of biases are not counted,
as in torch's counter. The "Flops" of paper A (tables 1 and 2) are neither; they are the numbers of remaining weights.

Pruned operations are saved only by a kernel that skips them. Dense kernels multiply zeros like any other number; see
`ccprune.measure.latency` for the measured time.
"""

from collections import Counter
from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ccprune._util.modes import eval_mode
from ccprune.mask import Mask

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
# Kernels with products that torch 2.13's counter does not count: fused recurrent and transformer layers, attention on
# the CPU, nn.Bilinear, products with a vector, distances.
_UNSEEN = (
    "mkldnn_rnn_layer",
    "_cudnn_rnn",
    "miopen_rnn",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_trilinear",
    "mv",
    "addmv",
    "dot",
    "vdot",
    "_cdist_forward",
)


def count(model: nn.Module, example: Tensor, *, mask: Mask | None = None) -> pd.DataFrame:
    """Count multiply-adds and FLOPs of a forward pass in eval mode, for one example.

    Every weight needs one multiply-add at each output position of a linear or convolution layer, whatever its stride,
    padding, groups and dilation, and at each input position of a transposed convolution. Products with padded zeros
    count, as in torch's counter. A layer that is used twice counts twice.

    Parameters
    ----------
    model : Module
        Model on the device of `example`; left unchanged.
    example : Tensor (n, ...)
        Batch of any size; the work is divided by n.
    mask : Mask, optional
        Mask; weights that it does not name all count as kept.

    Returns
    -------
    DataFrame of int64
        One row per weight tensor of a linear or convolution layer, by the name of its parameter ("conv1.weight"; tied
        weights under the first name). The row "other" has the products that torch's counter found outside the calls of
        these layers, such as attention or einsum, where no mask is taken into account. The last row is "all". Columns:
        weights and kept (numbers of weights); uses (calls of the layer in one pass, 0 if the layer is never called);
        macs_dense, macs_kept, flops_dense, flops_kept (for one example); paper_flops ("Flops" of paper A, equal to
        kept).

    Raises
    ------
    ValueError
        If the example has no rows, or its work is not a whole number per row (the model mixes batch elements; pass one
        row). If the mask does not fit the model or names a weight of another kind of layer. If torch's counter does not
        support products of the model (the message names the operations). If a layer does less work than its kind.
    """
    if example.ndim == 0 or not len(example):
        raise ValueError(f"example must be a batch with at least one row, got shape {tuple(example.shape)}")
    layers = {module: (name, module.weight) for name, module in model.named_modules() if isinstance(module, _LAYERS)}
    weights: dict[int, tuple[str, Tensor]] = {}
    for name, weight in layers.values():
        weights.setdefault(id(weight), (f"{name}.weight" if name else "weight", weight))
    kept = _kept(model, mask, weights)
    uses, places, total = _run(model, example, {module: id(weight) for module, (_, weight) in layers.items()})
    rows = {}
    for key, (name, weight) in weights.items():
        size, left = weight.numel(), kept.get(key, weight.numel())
        rows[name] = (size, left, uses[key], size * places[key], left * places[key])
    counted = sum(row[3] for row in rows.values())
    if total < 2 * counted:
        raise ValueError(
            f"model must do in each linear and convolution layer what that kind does: {2 * counted} FLOPs expected "
            f"from the layers called, torch's counter saw {total}"
        )
    other = total // 2 - counted
    rows["other"] = (0, 0, 0, other, other)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["weights", "kept", "uses", "macs_dense", "macs_kept"])
    work = ["macs_dense", "macs_kept"]
    if (table[work] % len(example)).to_numpy().any():
        raise ValueError(f"example must be one row here: the work of {len(example)} is not the same for each")
    table[work] //= len(example)
    table.loc["all"] = table.sum()
    table["flops_dense"], table["flops_kept"] = 2 * table["macs_dense"], 2 * table["macs_kept"]
    table["paper_flops"] = table["kept"]
    return table.rename_axis("parameter").astype("int64")


def _run(model: nn.Module, example: Tensor, keys: dict[nn.Module, int]) -> tuple[Counter[int], Counter[int], int]:
    """Return calls and positions of each weight, by the key of its layer, over the batch, and torch's FLOP count."""
    uses: Counter[int] = Counter()
    places: Counter[int] = Counter()

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        if isinstance(module, _TRANSPOSED):
            shared = args[0] if args else kwargs["input"]
        else:
            shared = output
        uses[keys[module]] += 1
        # The first axis of a weight indexes the channels of that side; each entry is used once at every other position.
        places[keys[module]] += shared.numel() // module.weight.shape[0]

    unseen: set[str] = set()
    packets = {name: getattr(torch.ops.aten, name) for name in _UNSEEN if hasattr(torch.ops.aten, name)}
    formulas = {packet: _noting(name, unseen) for name, packet in packets.items() if packet not in flop_registry}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with ExitStack() as stack:
        for module in keys:
            # Prepended, because a hook of the caller may replace the output.
            stack.callback(module.register_forward_hook(note, with_kwargs=True, prepend=True).remove)
        stack.enter_context(eval_mode(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        model(example)
    if unseen:
        raise ValueError(f"model must do its products where torch's flop counter sees them, got {sorted(unseen)}")
    return uses, places, counter.get_total_flops()


def _noting(name: str, found: set[str]) -> Any:
    def formula(*_: Any, **__: Any) -> int:
        found.add(name)
        return 0

    return formula


def _kept(model: nn.Module, mask: Mask | None, weights: dict[int, tuple[str, Tensor]]) -> dict[int, int]:
    """Return the number of kept weights by the id of the parameter, so that any name of a tied weight can be used."""
    if mask is None:
        return {}
    left = mask.check(model)["kept"]  # raises if the mask does not fit
    parameters = dict(model.named_parameters(remove_duplicate=False))
    uncounted = [name for name in mask.keep if id(parameters[name]) not in weights]
    if uncounted:
        raise ValueError(f"mask must name weights of linear or convolution layers, got {uncounted}")
    return {id(parameters[name]): int(left[name]) for name in mask.keep}
