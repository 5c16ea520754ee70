"""Number of threads of compiled kernels and torch, which share one OpenMP runtime."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def torch_threads_kept(kernel: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Wrap a kernel so that torch has as many threads after its call as before.

    A parallel loop of numba sets the number of threads for torch as well, on which torch's float32 sums depend.
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
