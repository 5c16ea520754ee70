"""Operations of one forward pass, dense and without pruned weights.

Three numbers that are often confused are reported separately. A multiply-add (MAC) is one product and its addition to a
sum. There are 2 FLOPs for each multiply-add, and additions of biases are not counted, as in torch's counter. The
"Flops" in the tables of LEGCNet are neither; they are the numbers of remaining weights, here `kept`. Pruned operations
are saved only by a kernel that skips them; see `ccprune.measure.latency` for the measured time.
"""

import math
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ccprune._util.inputs import Inputs, call, count_samples, first_inputs
from ccprune._util.modes import decompose_layers, eval_mode
from ccprune.mask import Mask, unwrap
from ccprune.mask._kinds import kind_of
from ccprune.mask._names import owners
from ccprune.mask._prunable import candidates
from ccprune.measure._uses import PARTS, uses

UNCOUNTED = "not counted: "  # prefix of the rows of kernels that cannot be counted

# Kernels with products that torch 2.13's counter does not count. Fused recurrent layers and attention are computed in
# steps that it counts where `decompose_layers` can select them.
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

    Every weight needs one multiply-add at each output position of a linear or convolution layer, at each input position
    of a transposed convolution, at each step of a recurrent layer, and at each query, key or value of attention.
    Products with padded zeros count, as in torch's counter. A layer that is used twice counts twice.

    Parameters
    ----------
    model : Module
        On the device of `example`; left unchanged.
    example : Tensor (n, ...), tuple, mapping, or iterable of batches
        Batch of any size; the work is divided by n. A tuple holds positional and a mapping keyword arguments of the
        model. Of an iterable such as a DataLoader, the first batch is used, without its targets.
    mask : Mask, optional
        Weights that it does not name count as kept.

    Returns
    -------
    DataFrame of int64
        One row per weight tensor that can be pruned (see `ccprune.mask.prunable`) or that the mask names, by the name
        of its parameter ("conv1.weight"; tied weights under the first name). The row "other" has the products that
        torch's counter found outside the calls of these layers, such as attention scores, einsum, or weights of kinds
        that are not linear, without a mask. For products that cannot be counted there is a row "not counted: KERNEL"
        with the number of calls in `uses`; the row "all", which is the last, is then a lower bound. Columns:
        weights and kept (numbers of weights); uses (calls of the layer in one pass, 0 if the layer is never called);
        macs_dense, macs_kept, flops_dense, flops_kept (for one example).

    Raises
    ------
    ValueError
        If the example has no rows, or its work is not a whole number per row (the model mixes batch elements; pass one
        row), if the mask does not fit the model, or if a layer does less work than its kind.

    Examples
    --------
    >>> found = count(nn.Conv2d(1, 2, 3, padding=1), torch.ones(1, 1, 5, 5))  # 18 weights at 25 positions
    >>> int(found.loc["weight", "macs_dense"])
    450
    """
    model, example = unwrap(model), first_inputs(example, name="example")
    rows_given = count_samples(example)
    weights, keys = _weights(model, mask)
    kept = _kept_by_id(model, mask)
    calls, places, total, unseen = _run(model, example, keys)
    rows = {}
    for key, (name, weight, parts) in weights.items():
        left = kept.get(key) or [weight.numel() // parts] * parts
        dense = sum(weight.numel() // parts * places[key, part] for part in range(parts))
        rows[name] = (weight.numel(), sum(left), calls[key], dense, sum(n * places[key, i] for i, n in enumerate(left)))
    counted = sum(row[3] for row in rows.values())
    if total < 2 * counted:
        raise ValueError(
            f"model must do in each layer what its kind does: {2 * counted} FLOPs expected "
            f"from the layers called, torch's counter saw {total}"
        )
    other = total // 2 - counted
    rows["other"] = (0, 0, 0, other, other)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["weights", "kept", "uses", "macs_dense", "macs_kept"])
    work = ["macs_dense", "macs_kept"]
    if (table[work] % rows_given).to_numpy().any():
        raise ValueError(f"example must be one row: the work of these {rows_given} is not a whole number per row")
    table[work] //= rows_given
    table.loc["all"] = table.sum()
    table["flops_dense"], table["flops_kept"] = 2 * table["macs_dense"], 2 * table["macs_kept"]
    if unseen:
        missing = pd.DataFrame(0, index=[f"{UNCOUNTED}{name}" for name in unseen], columns=table.columns)
        missing["uses"] = list(unseen.values())
        table = pd.concat([table.iloc[:-1], missing, table.iloc[-1:]])
    return table.rename_axis("parameter").astype("int64")


def _weights(
    model: nn.Module, mask: Mask | None
) -> tuple[dict[int, tuple[str, Tensor, int]], dict[tuple[nn.Module, str], int]]:
    """Return name, tensor and number of parts of each weight by its id, and the ids by module and attribute."""
    places = {name: found[:2] for name, found in candidates(model).items() if found[2]}
    places |= {name: owners(model)[name] for name in (mask.keep if mask is not None else ()) if name in owners(model)}
    weights: dict[int, tuple[str, Tensor, int]] = {}
    keys = {}
    for name, (module, attribute) in places.items():
        weight = getattr(module, attribute)
        keys[module, attribute] = id(weight)
        weights.setdefault(id(weight), (name, weight, PARTS.get(attribute, 1)))
    return weights, keys


def _run(
    model: nn.Module, example: Any, keys: dict[tuple[nn.Module, str], int]
) -> tuple[Counter[int], Counter[tuple[int, int]], int, Counter[str]]:
    """Return calls and positions of each weight over the batch, torch's FLOP count, and calls of uncounted kernels.

    Weights are given by their key, positions by key and part.
    """
    calls: Counter[int] = Counter()
    places: Counter[tuple[int, int]] = Counter()

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        for holder, attribute, part, positions in uses(module, args, kwargs, output):
            if (holder, attribute) in keys:
                key = keys[holder, attribute]
                calls[key] += part == 0
                places[key, part] += positions

    unseen: Counter[str] = Counter()
    formulas: dict[Any, Any] = {name: _noting(name, unseen) for name in _UNSEEN}
    formulas |= {name: _sizing(position) for name, position in _WITH_VECTOR.items()}
    packets = {getattr(torch.ops.aten, name): f for name, f in formulas.items() if hasattr(torch.ops.aten, name)}
    new = {packet: formula for packet, formula in packets.items() if packet not in flop_registry}
    counter = FlopCounterMode(display=False, custom_mapping=new)
    with ExitStack() as stack:
        for module in model.modules():
            # Prepended, because a hook of the caller may replace the output.
            if kind_of(module) is not None:
                stack.callback(module.register_forward_hook(note, with_kwargs=True, prepend=True).remove)
        stack.enter_context(decompose_layers(model))
        stack.enter_context(eval_mode(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        call(model, example)
    return calls, places, counter.get_total_flops(), unseen


def _noting(name: str, found: Counter[str]) -> Any:
    def formula(*_: Any, **__: Any) -> int:
        found[name] += 1
        return 0

    return formula


def _sizing(position: int) -> Any:
    def formula(*shapes: Any, **_: Any) -> int:
        return 2 * math.prod(shapes[position])

    return formula


def _kept_by_id(model: nn.Module, mask: Mask | None) -> dict[int, list[int]]:
    """Return the kept weights of each part by the parameter's id, because a mask may use any name of a tied one."""
    if mask is None:
        return {}
    mask.check(model)  # raises if the mask does not fit
    places = owners(model)
    kept = {}
    for name, keep in mask.keep.items():
        module, attribute = places[name]
        kept[id(module._parameters[attribute])] = [int(part.sum()) for part in keep.chunk(PARTS.get(attribute, 1))]
    return kept
