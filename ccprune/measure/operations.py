"""Operations of one forward pass, dense and without pruned weights.

Three numbers that are often confused are reported separately. A multiply-add (MAC) is one product and its addition to a
sum. A FLOP is one floating-point operation. There are 2 for each multiply-add, and additions of biases are not counted,
as in torch's counter. The "Flops" of paper A (tables 1 and 2) are neither; they are the numbers of remaining weights.

Pruned operations are saved only by a kernel that skips them. Dense kernels multiply zeros like any other number; see
`ccprune.measure.latency` for the measured time.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ccprune._util.checks import listed
from ccprune._util.inputs import Inputs, call, first_inputs, samples
from ccprune._util.modes import eval_mode
from ccprune.mask import Mask, unwrap
from ccprune.mask._names import owners

UNCOUNTED = "not counted: "  # prefix of the rows of kernels that cannot be counted

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
# Kernels with products that torch 2.13's counter does not count. Fused recurrent layers and attention are computed in
# steps that it counts where `_in_steps` can select them.
_UNSEEN = (
    "mkldnn_rnn_layer",
    "_cudnn_rnn",
    "miopen_rnn",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_trilinear",
    "_cdist_forward",
)
#: Products with a vector, which the counter does not count either: the position of the larger factor.
_WITH_VECTOR = {"mv": 0, "addmv": 1, "dot": 0, "vdot": 0}


def count(model: nn.Module, example: Inputs, *, mask: Mask | None = None) -> pd.DataFrame:
    """Count multiply-adds and FLOPs of a forward pass in eval mode, for one example.

    Every weight needs one multiply-add at each output position of a linear or convolution layer, whatever its stride,
    padding, groups and dilation, and at each input position of a transposed convolution. Products with padded zeros
    count, as in torch's counter. A layer that is used twice counts twice.

    Parameters
    ----------
    model : Module
        Model on the device of `example`; left unchanged.
    example : Tensor (n, ...), tuple, mapping, or iterable of batches
        Batch of any size; the work is divided by n. A tuple holds positional and a mapping keyword arguments of the
        model. Of an iterable such as a DataLoader, the first batch is used, without its targets.
    mask : Mask, optional
        Mask; weights that it does not name all count as kept.

    Returns
    -------
    DataFrame of int64
        One row per weight tensor of a linear or convolution layer, by the name of its parameter ("conv1.weight"; tied
        weights under the first name). The row "other" has the products that torch's counter found outside the calls of
        these layers, such as attention, recurrent layers or einsum, where no mask is taken into account. For products
        that cannot be counted there is a row "not counted: KERNEL" with the number of calls in `uses`; the row "all",
        which is the last, is then a lower bound. Columns:
        weights and kept (numbers of weights); uses (calls of the layer in one pass, 0 if the layer is never called);
        macs_dense, macs_kept, flops_dense, flops_kept (for one example); paper_flops ("Flops" of paper A, equal to
        kept).

    Raises
    ------
    ValueError
        If the example has no rows, or its work is not a whole number per row (the model mixes batch elements; pass one
        row). If the mask does not fit the model or names a weight of another kind of layer. If a layer does less work
        than its kind.
    """
    model, example = unwrap(model), first_inputs(example, name="example")
    rows_given = samples(example)
    layers = {module: (name, module.weight) for name, module in model.named_modules() if isinstance(module, _LAYERS)}
    weights: dict[int, tuple[str, Tensor]] = {}
    for name, weight in layers.values():
        weights.setdefault(id(weight), (f"{name}.weight" if name else "weight", weight))
    kept = _kept(model, mask, weights)
    keys = {module: id(weight) for module, (_, weight) in layers.items()}
    uses, places, total, unseen = _run(model, example, keys)
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
    if (table[work] % rows_given).to_numpy().any():
        raise ValueError(f"example must be one row here: the work of {rows_given} is not the same for each")
    table[work] //= rows_given
    table.loc["all"] = table.sum()
    table["flops_dense"], table["flops_kept"] = 2 * table["macs_dense"], 2 * table["macs_kept"]
    table["paper_flops"] = table["kept"]
    if unseen:
        missing = pd.DataFrame(0, index=[f"{UNCOUNTED}{name}" for name in unseen], columns=table.columns)
        missing["uses"] = list(unseen.values())
        table = pd.concat([table.iloc[:-1], missing, table.iloc[-1:]])
    return table.rename_axis("parameter").astype("int64")


def _run(
    model: nn.Module, example: Any, keys: dict[nn.Module, int]
) -> tuple[Counter[int], Counter[int], int, Counter[str]]:
    """Return calls and positions of each weight over the batch, torch's FLOP count, and calls of uncounted kernels.

    Weights are given by the key of their layer.
    """
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

    def note_attention(module: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, Any]) -> None:
        # The output projection is computed with the layer's weight, but without a call of the layer.
        uses[keys[module.out_proj]] += 1
        places[keys[module.out_proj]] += output[0].numel() // module.out_proj.out_features

    unseen: Counter[str] = Counter()
    formulas: dict[Any, Any] = {name: _noting(name, unseen) for name in _UNSEEN}
    formulas |= {name: _sizing(position) for name, position in _WITH_VECTOR.items()}
    packets = {getattr(torch.ops.aten, name): f for name, f in formulas.items() if hasattr(torch.ops.aten, name)}
    new = {packet: formula for packet, formula in packets.items() if packet not in flop_registry}
    counter = FlopCounterMode(display=False, custom_mapping=new)
    with ExitStack() as stack:
        for module in model.modules():
            # Prepended, because a hook of the caller may replace the output.
            if isinstance(module, nn.MultiheadAttention) and module.out_proj in keys:
                stack.callback(module.register_forward_hook(note_attention, prepend=True).remove)
            elif module in keys:
                stack.callback(module.register_forward_hook(note, with_kwargs=True, prepend=True).remove)
        stack.enter_context(_in_steps(model))
        stack.enter_context(eval_mode(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        call(model, example)
    return uses, places, counter.get_total_flops(), unseen


@contextmanager
def _in_steps(model: nn.Module) -> Iterator[None]:
    """Compute attention and recurrent layers from products that torch's counter counts, within the block."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    backends = [torch.backends.mkldnn, torch.backends.cudnn] if recurrent else []
    fast = torch.backends.mha.get_fastpath_enabled()
    with sdpa_kernel(SDPBackend.MATH):
        before = [backend.set_flags(_enabled=False)[0] for backend in backends]
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for backend, enabled in zip(backends, before, strict=True):
                backend.set_flags(_enabled=enabled)


def _noting(name: str, found: Counter[str]) -> Any:
    def formula(*_: Any, **__: Any) -> int:
        found[name] += 1
        return 0

    return formula


def _sizing(position: int) -> Any:
    def formula(*shapes: Any, **_: Any) -> int:
        return 2 * math.prod(shapes[position])

    return formula


def _kept(model: nn.Module, mask: Mask | None, weights: dict[int, tuple[str, Tensor]]) -> dict[int, int]:
    """Return the number of kept weights by the id of the parameter, so that any name of a tied weight can be used."""
    if mask is None:
        return {}
    left = mask.check(model)["kept"]  # raises if the mask does not fit
    parameters = {name: module._parameters[attribute] for name, (module, attribute) in owners(model).items()}
    uncounted = [name for name in mask.keep if id(parameters[name]) not in weights]
    if uncounted:
        raise ValueError(f"mask must name weights of linear or convolution layers, got {listed(uncounted)}")
    return {id(parameters[name]): int(left[name]) for name in mask.keep}
