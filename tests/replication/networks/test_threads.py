"""Kernels of ours must not change how torch computes afterwards."""

import subprocess
import sys

# In a fresh process, because numba takes over the runtime at its first parallel loop.
CODE = """
import torch
from ccprune import lasso, lyapunov
from replication.networks import ensemble, training
torch.set_num_threads(1)
lyapunov.exponents_of(torch.rand(2000, 50).double(), steps=3)
print(torch.get_num_threads())
networks = ensemble.initialise((2, 2, 1), 3, seed=0)
training.advance(networks, torch.rand(5, 2).double(), torch.ones(5, 1).double(), lr=0.1, first=0, steps=5)
print(torch.get_num_threads())
lasso.truncated_gradient(torch.rand(5, 9), torch.rand(5), 0.1)
print(torch.get_num_threads())
"""


def test_torch_keeps_its_number_of_threads():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]
