import pytest
import torch
from torch import nn


@pytest.fixture
def regression(device):
    """Linear model w, data and the loss (X w - y)^2 / (2 n) in float64, with a dead input and a needless one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    x[:, 2] = 0.0
    y = x @ torch.tensor([[1.0], [-2.0], [3.0], [0.0], [0.5], [1.5]], dtype=torch.float64)
    y += 0.1 * torch.randn(40, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64, device=device)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.7, -1.0, 2.0, 0.3, 0.0, 1.2]]))
    return model, x.to(device), y.to(device)
