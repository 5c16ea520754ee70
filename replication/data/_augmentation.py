"""Random crops and rectangles of batches of images."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CROP_PADDING = 4  # pixels of black on each side
# Random erasing with the defaults of torchvision's transform, but for the probability, which is that of the follow-up.
_ERASED, _AREAS, _LOG_RATIOS, _TRIES = 0.1, (0.02, 0.33), (np.log(0.3), np.log(3.3)), 10


def crop(x: Tensor, corners: Tensor) -> Tensor:
    """Crop from each padded image the window whose upper left corner is at (row, column) in `corners` (k, 2)."""
    padded = functional.pad(x, [CROP_PADDING] * 4)
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # (k, c, 9, 9, h, w), a view
    return windows[torch.arange(len(x), device=x.device), :, corners[:, 0], corners[:, 1]]


def draw_rectangles(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw first row, last row + 1, first column and last column + 1 of n rectangles (n, 4), most of them empty.

    As `torchvision.transforms.RandomErasing`: of ten rectangles the first that is smaller than the image in both sides.
    """
    height, width = size
    draws = torch.rand(n, _TRIES, 2, generator=generator, dtype=torch.float64)
    place = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    erased = torch.rand(n, generator=generator) < _ERASED
    areas = height * width * (_AREAS[0] + (_AREAS[1] - _AREAS[0]) * draws[..., 0])
    ratios = torch.exp(_LOG_RATIOS[0] + (_LOG_RATIOS[1] - _LOG_RATIOS[0]) * draws[..., 1])
    sides = torch.stack([(areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()], -1)
    limits = torch.tensor([height, width], dtype=torch.float64)
    fits = (sides < limits).all(-1)
    chosen = sides[torch.arange(n), fits.int().argmax(1)] * (erased & fits.any(1))[:, None]
    first = (place * (limits - chosen + 1)).floor()
    return torch.stack([first, first + chosen], -1).flatten(1).long()


def erase(x: Tensor, boxes: Tensor) -> Tensor:
    """Make the rectangles (k, 4) of images x (k, c, h, w) black."""
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    top, bottom, left, right = boxes.T[..., None]
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None, :]
    return x.masked_fill(inside[:, None], 0)
