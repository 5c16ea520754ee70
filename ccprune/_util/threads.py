"""Compiled kernels beside torch: the two share one OpenMP runtime, and with it the number of threads."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def torch_threads_kept(kernel: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """The kernel, after which torch has as many threads as before.

    A parallel loop of numba's leaves its own number behind for torch, whose sums in float32 depend on it: without this,
    training after the first exponent would differ from training before it.
    """

    @wraps(kernel)
    def called(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        threads = torch.get_num_threads()
        try:
            return kernel(*args, **kwargs)
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)

    return called
