"""Kinds of layers: which parameters of a module are weights, and which of their axes are inputs and outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Axes:
    """Axes of a weight.

    Attributes
    ----------
    output, input : int, default 0 and 1
        Axes of the output and the input units or channels. Further axes are positions of a kernel.
    batch : int, optional
        Axis of independent weights, such as experts.

    Examples
    --------
    >>> Axes(output=1, input=0)  # of a transposed layer, such as `Conv1D` of GPT-2
    Axes(output=1, input=0, batch=None)
    """

    output: int = 0
    input: int = 1
    batch: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of layer: the axes of a module's weights by attribute, and the arguments of `register_kind`."""

    weights: Callable[[nn.Module], Mapping[str, Axes]]
    default: bool = True
    linear: bool = False


_KINDS: dict[type | str, Kind] = {}


def register_kind(module: type | str, *, default: bool = True, linear: bool = False, **weights: Axes) -> None:
    """Add a kind of layer, whose weights are then scored, masked and counted; an earlier one of this type is replaced.

    Parameters
    ----------
    module : type or str
        Type of the modules, whose subclasses are included, or its full name, such as
        "transformers.pytorch_utils.Conv1D", which needs no import.
    default : bool, default True
        Whether the weights are pruned by default, or only if they or their module are named in `only`.
    linear : bool, default False
        Whether a call with one input gives outputs (..., out) that are linear in the input and the weight. Criteria
        that use the inputs of a layer, such as Wanda, and exact counts of multiply-adds need this.
    weights : Axes
        Axes of each weight, by the name of the module's attribute.

    Raises
    ------
    TypeError, ValueError
        If `module` is neither a type nor a name, and without weights.

    Examples
    --------
    >>> class Experts(nn.Module):  # parameters of shape (experts, out, in)
    ...     pass
    >>> register_kind(Experts, up=Axes(output=1, input=2, batch=0), down=Axes(output=1, input=2, batch=0))
    """
    if not isinstance(module, type | str):
        raise TypeError(f"module must be a type or its full name, got {module!r}")
    if linear and len(weights) > 1:
        raise ValueError(f"weights must be one weight for a linear kind, got {sorted(weights)}")
    if not weights or not all(isinstance(axes, Axes) for axes in weights.values()):
        raise ValueError(f"weights must give the Axes of at least one attribute, got {weights}")
    _KINDS[module] = Kind(lambda _: weights, default, linear)


def kind_of(module: nn.Module) -> Kind | None:
    """Return the kind of the module's type or of the nearest of its bases, or None."""
    for base in type(module).__mro__:
        found = _KINDS.get(base) or _KINDS.get(f"{base.__module__}.{base.__qualname__}")
        if found is not None:
            return found
    return None


def axes_of(module: nn.Module, attribute: str) -> Axes:
    """Return the axes of a weight, those of a linear layer for a parameter of no kind."""
    kind = kind_of(module)
    return (kind.weights(module) if kind is not None else {}).get(attribute, Axes())


def _recurrent(module: nn.Module) -> dict[str, Axes]:
    return {name: Axes() for name in getattr(module, "_flat_weights_names", ()) if name.startswith("weight")}


_layer: type
for _layer in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d):
    register_kind(_layer, linear=True, weight=Axes())
for _layer in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d):
    register_kind(_layer, linear=True, weight=Axes(output=1, input=0))
_KINDS[nn.RNNBase] = Kind(_recurrent)
register_kind(nn.RNNCellBase, weight_ih=Axes(), weight_hh=Axes())
_A = Axes()
register_kind(nn.MultiheadAttention, in_proj_weight=_A, q_proj_weight=_A, k_proj_weight=_A, v_proj_weight=_A)
register_kind("transformers.pytorch_utils.Conv1D", linear=True, weight=Axes(output=1, input=0))
_EXPERTS = Axes(output=1, input=2, batch=0)
register_kind("transformers.models.mixtral.modeling_mixtral.MixtralExperts", gate_up_proj=_EXPERTS, down_proj=_EXPERTS)
for _layer in (nn.Embedding, nn.EmbeddingBag):
    register_kind(_layer, default=False, weight=Axes())
