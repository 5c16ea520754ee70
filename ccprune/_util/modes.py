"""Context managers that evaluate a model or capture its inputs, and then restore it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from torch import Tensor, nn

Watched = TypeVar("Watched", bound=nn.Module)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set eval mode within the block, and restore the mode of each module at the end."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def capture_inputs(modules: Iterable[Watched], note: Callable[[Watched, Tensor], None]) -> Iterator[None]:
    """Call `note` with the module and its input Tensor at every call of one of the modules."""
    with ExitStack() as stack:
        for module in modules:
            hook = module.register_forward_pre_hook(
                lambda called, args, named: note(called, args[0] if args else named["input"]), with_kwargs=True
            )
            stack.callback(hook.remove)
        yield
