"""Batches of small networks of one shape, with random or given parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

OUTPUTS = ("sigmoid", "softmax")


@dataclass(frozen=True)
class MLPBatch:
    """B networks with d inputs, h sigmoid hidden units and o outputs, in float64.

    The M = h d + o h weights are counted row-major, w1 before w2, as in the authors' mask files. Biases are not
    counted.

    Attributes
    ----------
    w1, b1 : Tensor (B, h, d), (B, h)
        Weights and biases of the hidden units.
    w2, b2 : Tensor (B, o, h), (B, o)
        Weights and biases of the outputs.
    output : str, default "sigmoid"
        Output unit, "sigmoid" or "softmax".

    Raises
    ------
    TypeError, ValueError
        If a dtype, a shape or the output unit is invalid, or a parameter is not finite.
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
        """Numbers of inputs, hidden units and outputs (d, h, o)."""
        return self.w1.shape[2], self.w1.shape[1], self.w2.shape[1]

    @property
    def weights(self) -> Tensor:
        """All weights (B, M) in counting order."""
        return torch.cat([self.w1.flatten(1), self.w2.flatten(1)], 1)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The four parameters by name."""
        return {"w1": self.w1, "b1": self.b1, "w2": self.w2, "b2": self.b2}

    def select(self, index: Tensor | Sequence[int]) -> "MLPBatch":
        """Return a copy of the networks at `index`, which may repeat.

        Parameters
        ----------
        index : sequence of int or Tensor (n,)
            Numbers of the networks, from 0; they may repeat.

        Returns
        -------
        MLPBatch
        """
        index = torch.as_tensor(index, device=self.w1.device)
        return replace(self, w1=self.w1[index], b1=self.b1[index], w2=self.w2[index], b2=self.b2[index])

    def with_weights(self, weights: Tensor) -> "MLPBatch":
        """Return networks with the same biases and other weights.

        Parameters
        ----------
        weights : Tensor (B, M)
            New weights in counting order.

        Returns
        -------
        MLPBatch
        """
        split = self.w1[0].numel()
        return replace(
            self,
            w1=weights[:, :split].reshape(self.w1.shape).clone(),
            b1=self.b1.clone(),
            w2=weights[:, split:].reshape(self.w2.shape).clone(),
            b2=self.b2.clone(),
        )

    def to(self, device: torch.device | str) -> "MLPBatch":
        """Return a copy on another device.

        Parameters
        ----------
        device : torch.device or str
            The device.

        Returns
        -------
        MLPBatch
        """
        return replace(self, **{name: getattr(self, name).to(device) for name in ("w1", "b1", "w2", "b2")})


def initialise(
    sizes: tuple[int, int, int], count: int, *, seed: int, scale: float = 0.1, output: str = "sigmoid"
) -> MLPBatch:
    """Draw networks with weights and biases from N(0, scale^2).

    Parameters
    ----------
    sizes : tuple of int
        Numbers of inputs, hidden units and outputs (d, h, o).
    count : int
        Number of networks B.
    seed : int
        Seed. Network i depends on `seed` and i only, not on `count`.
    scale : float, default 0.1
        Standard deviation. The authors' released initial weights have 0.1 (vowel: 1).
    output : str, default "sigmoid"
        As in `MLPBatch`.

    Returns
    -------
    MLPBatch

    Raises
    ------
    ValueError
        If a size or the count is below 1, or `scale` is not positive.
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
    return stack_mlps(networks, output=output)


def stack_mlps(networks: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], *, output: str = "sigmoid") -> MLPBatch:
    """Make a batch of networks from their parameters.

    Parameters
    ----------
    networks : sequence of tuple of Tensor
        At least one network, each as (w1 (h, d), b1 (h,), w2 (o, h), b2 (o,)), float64.
    output : str, default "sigmoid"
        As in `MLPBatch`.

    Returns
    -------
    MLPBatch

    Raises
    ------
    TypeError, ValueError
        As `MLPBatch`, and ValueError if there are no networks.
    """
    if not networks:
        raise ValueError("networks must not be empty")
    return MLPBatch(*(torch.stack([network[part] for network in networks]) for part in range(4)), output=output)
