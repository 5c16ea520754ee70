"""Number of threads of compiled kernels and torch, which share one OpenMP runtime."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import numba
import torch

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def torch_threads_kept(kernel: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Wrap a kernel so that torch has as many threads after its call as before.

    A parallel loop of numba sets the number of threads for torch as well, on which torch's float32 sums depend. Without
    the wrapper, training after the first computed exponent would differ from training before it.
    """

    @wraps(kernel)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        threads = torch.get_num_threads()
        try:
            return kernel(*args, **kwargs)
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)

    return call


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Run torch and compiled kernels on one thread, or as they are if it is not wanted.

    It is for small work: on a busy machine, a second thread that waits for a core delays the first by milliseconds.
    """
    threads, compiled = torch.get_num_threads(), numba.get_num_threads()
    if not wanted or threads == compiled == 1:
        yield
        return
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(compiled)
        torch.set_num_threads(threads)
