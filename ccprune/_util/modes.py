"""Context managers that evaluate a model, replace its tensors or capture its inputs, and then restore it; copies."""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set eval mode within the block, and restore modes, buffers and the global random numbers at the end.

    `eval` and `train` are not called, because a module may change its weights in these methods.
    """
    modes = {module: module.training for module in model.modules()}
    cuda = {tensor.device for tensor in [*model.parameters(), *model.buffers()] if tensor.is_cuda}
    with torch.random.fork_rng(sorted(cuda, key=str)), kept_buffers(model):
        try:
            for module in modes:
                module.training = False
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Restore, at the end, the buffers and the embeddings that a forward pass renormalises: objects and values."""
    buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    tensors = [value for _, held in buffers for value in held.values() if value is not None]
    # With max_norm, a forward pass changes the weight in place.
    tensors += [module.weight for module in model.modules() if getattr(module, "max_norm", None) is not None]
    values = [(value, value.detach().clone()) for value in tensors if not value.is_meta]
    try:
        yield
    finally:
        for now, held in buffers:
            for name in [name for name in now if name not in held]:
                del now[name]
            for name, value in held.items():
                if now.get(name) is not value:
                    now[name] = value
        with torch.no_grad():
            for value, old in values:
                # An unchanged tensor is not written, because a graph whose backward pass is pending may need it.
                if not torch.equal(value, old):
                    value.copy_(old)


@contextmanager
def replaced(model: nn.Module, tensors: Mapping[int, Tensor]) -> Iterator[None]:
    """Replace parameters and buffers, given by the `id` of the model's own, wherever they are used within the block.

    Of a module with several names, `torch.func.functional_call` would replace an attribute under each name, and restore
    a replacement.
    """
    places = [
        (held, name, value)
        for module in model.modules()
        for held in (module._parameters, module._buffers)
        for name, value in held.items()
        if id(value) in tensors
    ]
    try:
        for held, name, value in places:
            held[name] = tensors[id(value)]
        yield
    finally:
        for held, name, value in places:
            held[name] = value
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                module._update_flat_weights()  # these modules also list their weights outside of their parameters


def copy_model(model: Module) -> Module:
    """Copy a model; results of a computation that it keeps as attributes, which torch does not copy, are detached."""
    memo: dict[int, Any] = {}

    def note(value: Any) -> None:
        if isinstance(value, Tensor) and not value.is_leaf:
            memo[id(value)] = value.detach().clone()
        elif isinstance(value, Mapping):
            note([*value.values()])
        elif isinstance(value, list | tuple):
            for one in value:
                note(one)

    for module in model.modules():
        note({name: value for name, value in vars(module).items() if name != "_modules"})
    return copy.deepcopy(model, memo)


@contextmanager
def capture_inputs(modules: Iterable[Module], note: Callable[[Module, Tensor], None]) -> Iterator[None]:
    """Call `note` with the module and its input Tensor at every call of one of the modules."""
    with ExitStack() as stack:
        for module in modules:
            hook = module.register_forward_pre_hook(
                lambda called, args, named: note(called, args[0] if args else named["input"]), with_kwargs=True
            )
            stack.callback(hook.remove)
        yield


@contextmanager
def second_derivatives() -> Iterator[None]:
    """Raise ValueError with the name of an operation that torch cannot differentiate twice."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        found = re.search(r"(?:derivative for|forward AD with) '?(?:aten::)?(\w+?)(?:_backward\w*)?'? ", str(error))
        if found is None:
            raise
        raise ValueError(
            f"model must be twice differentiable, torch has no second derivative of {found[1]}: replace it by a "
            "smooth operation, or use a measure of first derivatives"
        ) from error


@contextmanager
def decompose_layers(model: nn.Module) -> Iterator[None]:
    """Compute attention and recurrent layers from products, which torch counts and differentiates, within the block."""
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
