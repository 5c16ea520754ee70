"""Many small networks of one shape, held together: their parameters, fresh or given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

OUTPUTS = ("sigmoid", "softmax")


@dataclass(frozen=True)
class MLPBatch:
    """B networks d-h-o with sigmoid hidden units, float64.

    Attributes: w1 (B, h, d), b1 (B, h), w2 (B, o, h), b2 (B, o); output, "sigmoid" or "softmax", the output unit.
    Weights are counted row-major, w1 before w2, as in the authors' mask files; biases are not counted. M = h d + o h.
    """

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    output: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output must be one of {OUTPUTS}, got {self.output!r}")
        if self.w1.ndim != 3 or self.w2.ndim != 3:
            raise ValueError(
                f"w1, w2 must have shapes (B, h, d), (B, o, h), got {tuple(self.w1.shape)}, {tuple(self.w2.shape)}"
            )
        count, hidden, _ = self.w1.shape
        outputs = self.w2.shape[1]
        expected = {"b1": (count, hidden), "w2": (count, outputs, hidden), "b2": (count, outputs)}
        for name, shape in expected.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {tuple(getattr(self, name).shape)}")
        for name in ("w1", "b1", "w2", "b2"):
            value = getattr(self, name)
            if value.dtype != torch.float64:
                raise TypeError(f"{name} must be float64, got {value.dtype}")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} must be finite")

    def __len__(self) -> int:
        return self.w1.shape[0]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(d, h, o)."""
        return self.w1.shape[2], self.w1.shape[1], self.w2.shape[1]

    @property
    def weights(self) -> Tensor:
        """All weights (B, M) in counting order."""
        return torch.cat([self.w1.flatten(1), self.w2.flatten(1)], 1)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The four Tensors by name."""
        return {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def select(self, index: Tensor | Sequence[int]) -> "MLPBatch":
        """The networks at `index` (any repetition allowed), as a copy."""
        index = torch.as_tensor(index, device=self.w1.device)
        return replace(self, w1=self.w1[index], b1=self.b1[index], w2=self.w2[index], b2=self.b2[index])

    def with_weights(self, weights: Tensor) -> "MLPBatch":
        """Same biases, other weights (B, M)."""
        split = self.w1[0].numel()
        return replace(
            self,
            w1=weights[:, :split].reshape(self.w1.shape).clone(),
            b1=self.b1.clone(),
            w2=weights[:, split:].reshape(self.w2.shape).clone(),
            b2=self.b2.clone(),
        )

    def to(self, device: torch.device | str) -> "MLPBatch":
        """Copy on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("w1", "b1", "w2", "b2")})


def initialise(
    sizes: tuple[int, int, int], count: int, *, seed: int, scale: float = 0.1, output: str = "sigmoid"
) -> MLPBatch:
    """Fresh networks with weights and biases from N(0, scale^2).

    Network i depends on `seed` and i alone, not on `count`. The released initial weights have scale 0.1 (vowel: 1).
    """
    inputs, hidden, outputs = sizes
    for name, value in (("sizes", min(sizes)), ("count", count)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    shapes = [(hidden, inputs), (hidden,), (outputs, hidden), (outputs,)]
    networks = []
    for i in range(count):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        networks.append(tuple(torch.from_numpy(generator.normal(0.0, scale, shape)) for shape in shapes))
    return stack(networks, output=output)


def stack(networks: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], *, output: str = "sigmoid") -> MLPBatch:
    """An `MLPBatch` of networks given as (W1 (h, d), b1 (h,), W2 (o, h), b2 (o,))."""
    if not networks:
        raise ValueError("networks must not be empty")
    return MLPBatch(*(torch.stack([network[part] for network in networks]) for part in range(4)), output=output)
