"""Upper bound of the distance of two sigmoid networks with one hidden layer on a ball, by branch and bound."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_at_least

Range = tuple[Tensor, Tensor]  # minimum and maximum

_AT_ONCE = 2**18  # boxes x hidden units in memory at once


@dataclass(frozen=True, eq=False)
class Boxes:
    """P parts of the ball, each the points of the ball in a box centre (P, d) +- half (P, d)."""

    centre: Tensor
    half: Tensor
    radius: float

    def __len__(self) -> int:
        return len(self.centre)

    def select(self, index: Tensor) -> "Boxes":
        return replace(self, centre=self.centre[index], half=self.half[index])

    def halve(self, scale: Tensor) -> tuple["Boxes", Tensor]:
        """Halve the boxes across the axis with the largest half width times `scale` (d,).

        Returns the halves that intersect the ball, and the index of the original box of each.
        """
        axis = (self.half * scale).argmax(1)
        step = nn.functional.one_hot(axis, len(scale)) * self.half / 2
        centre = torch.cat([self.centre - step, self.centre + step])
        half = (self.half - step).repeat(2, 1)
        nearest = (centre.abs() - half).clamp_min(0).norm(dim=1)
        index = torch.nonzero(nearest <= self.radius * (1 + 1e-12))[:, 0]
        return Boxes(centre[index], half[index], self.radius), index % len(self)

    def range(self, rows: Tensor) -> Range:
        """Return bounds (P, m) of the products of rows (m, d), or (P, m, d), with the points of each part."""
        middle = (self.centre[:, None] @ rows.mT)[:, 0]
        reach = (self.half[:, None] @ rows.abs().mT)[:, 0]
        most = self.radius * rows.norm(dim=-1)
        return torch.maximum(middle - reach, -most), torch.minimum(middle + reach, most)


@dataclass(frozen=True, eq=False)
class Layers:
    """Network w2 sigmoid(w1 x + b1) + b2 before the output unit, with w1 (h, d), b1 (h,), w2 (o, h), b2 (o,)."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


def layers_of(model: nn.Module, name: str) -> tuple[Layers, str]:
    """Return the layers of a model in float64, and its output unit: "none", "sigmoid" or "softmax".

    TypeError is raised for a model with other layers, ValueError for weights that are not finite; both name the
    argument.
    """
    kinds = [type(layer) for layer in model] if isinstance(model, nn.Sequential) else [type(model)]
    outputs = {(): "none", (nn.Sigmoid,): "sigmoid", (nn.Softmax,): "softmax"}
    known = kinds[:3] == [nn.Linear, nn.Sigmoid, nn.Linear] and tuple(kinds[3:]) in outputs
    if not known or (kinds[-1] is nn.Softmax and model[-1].dim not in (-1, 1)):
        raise TypeError(f"{name} must be Linear, Sigmoid, Linear and optionally Sigmoid or Softmax(-1), got {model}")
    output = outputs[tuple(kinds[3:])]
    parts = []
    for layer in (model[0], model[2]):
        weight = layer.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
        parts += [weight, bias]
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ValueError(f"{name} must have finite weights and biases, got infinite or NaN")
    if output == "softmax":  # invariant to a common shift of its inputs
        parts[2:] = [part - part.mean(0) for part in parts[2:]]
    return Layers(*parts), output


@dataclass(frozen=True, eq=False)
class _Affine:
    """Sum over j of w2_kj s_j (w1_j x + b1_j) + b2_k, affine in x for slopes s (P, h), or a difference of two sums."""

    tilt: Tensor  # (h, o, d)
    shift: Tensor  # (h, o)
    bias: Tensor  # (o,)

    @classmethod
    def from_layers(cls, net: Layers) -> "_Affine":
        return cls(net.w2.T[:, :, None] * net.w1[:, None], (net.w2 * net.b1).T, net.b2)

    def less(self, other: "_Affine") -> "_Affine":
        return _Affine(self.tilt - other.tilt, self.shift - other.shift, self.bias - other.bias)

    def range(self, slope: Tensor, boxes: Boxes) -> Range:
        rows = (slope @ self.tilt.flatten(1)).reshape(len(slope), *self.tilt.shape[1:])
        low, high = boxes.range(rows)
        constant = slope @ self.shift + self.bias
        return low + constant, high + constant


def largest_possible(f: Layers, g: Layers, *, output: str, radius: float, boxes: int) -> float:
    """Bound the distance by best-first branch and bound.

    The box with the largest bound is halved until `boxes` boxes have been bounded.
    """
    require_at_least(1, boxes=boxes)
    inputs, hidden = f.w1.shape[1], f.w1.shape[0]
    whole = f.w1.new_zeros(1, inputs)
    pieces = Boxes(whole, whole + radius, radius)
    bound = _bound(f, g, pieces, output)
    # The influence of an input is the sum of the absolute weight products on its paths to the outputs.
    scale = sum((net.w1.abs() * net.w2.abs().sum(0)[:, None]).sum(0) for net in (f, g))
    bounded, at_once = 1, max(1, _AT_ONCE // hidden // 2)
    while (count := min(len(pieces), at_once, (boxes - bounded) // 2)) and bool(bound.max() > 0):
        order = bound.argsort(descending=True)
        worst, rest = order[:count], order[count:]
        halves, parent = pieces.select(worst).halve(scale)
        bounds = torch.minimum(_bound(f, g, halves, output), bound[worst][parent])
        others = pieces.select(rest)
        pieces = Boxes(torch.cat([others.centre, halves.centre]), torch.cat([others.half, halves.half]), radius)
        bound = torch.cat([bound[rest], bounds])
        bounded += 2 * count
    return float(bound.max())


def _bound(f: Layers, g: Layers, boxes: Boxes, output: str) -> Tensor:
    """Return bounds (P,) of the outputs' distance on each part."""
    gap, of_f, of_g = _before_output(f, g, boxes)
    if output == "sigmoid":
        each = torch.maximum(_sigmoid_gap(gap[1], of_f[1], of_g), _sigmoid_gap(-gap[0], of_g[1], of_f))
        return each.norm(dim=1)
    distance = torch.maximum(-gap[0], gap[1]).norm(dim=1)
    # The rows of the Jacobian diag(p) - pp' have absolute sums 2 p_i (1 - p_i) <= 1/2, so softmax is 1/2-Lipschitz. The
    # distance of two distributions is at most sqrt(2).
    return (distance / 2).clamp_max(2**0.5) if output == "softmax" else distance


def _before_output(f: Layers, g: Layers, boxes: Boxes) -> tuple[Range, Range, Range]:
    """Return bounds (P, o) of f - g, f and g before the output unit."""
    z_f, z_g = (_plus(boxes.range(net.w1), net.b1) for net in (f, g))
    gap = _plus(boxes.range(f.w1 - g.w1), f.b1 - g.b1)
    steepness = _steepness(torch.minimum(z_f[0], z_g[0]), torch.maximum(z_f[1], z_g[1]))
    affine_f, affine_g = _Affine.from_layers(f), _Affine.from_layers(g)
    affine_gap = affine_f.less(affine_g)
    ranges = []
    for slope in (torch.zeros_like(steepness[0]), (steepness[0] + steepness[1]) / 2):
        rest_f, rest_g = _residual(z_f, slope), _residual(z_g, slope)
        out_f, out_g = _weighted_range(f.w2, rest_f), _weighted_range(g.w2, rest_g)
        bent = _product(_plus(steepness, -slope), gap)
        together = _sum(_weighted_range(f.w2 - g.w2, rest_f), _weighted_range(g.w2, bent))
        apart = _sum(out_f, (-out_g[1], -out_g[0]))
        rest = torch.maximum(together[0], apart[0]), torch.minimum(together[1], apart[1])
        parts = ((affine_gap, rest), (affine_f, out_f), (affine_g, out_g))
        ranges.append([_sum(affine.range(slope, boxes), part) for affine, part in parts])
    return tuple((torch.maximum(a[0], b[0]), torch.minimum(a[1], b[1])) for a, b in zip(*ranges, strict=True))


def _sigmoid_gap(gap: Tensor, top: Tensor, base: Range) -> Tensor:
    """Return the largest sigmoid(a) - sigmoid(b) with a - b <= gap, a <= top and b in base, at least 0.

    For a given b the best a is min(top, b + gap), and the only maximum of sigmoid(b + gap) - sigmoid(b) is at
    b = -gap / 2.
    """
    b = torch.maximum(base[0], torch.minimum(torch.minimum(base[1], top - gap), -gap / 2))
    return (torch.sigmoid(torch.minimum(top, b + gap)) - torch.sigmoid(b)).clamp_min(0)


def _residual(z: Range, slope: Tensor) -> Range:
    """Return the range of sigmoid(z) - slope z, attained at the ends or where the sigmoid's derivative is the slope."""
    root = (1 - 4 * slope).clamp_min(0).sqrt()
    turn = 2 * torch.log((1 + root) / 2) - torch.log(slope)
    at = torch.stack([*z, torch.clamp(turn, *z), torch.clamp(-turn, *z)])
    return tuple(torch.aminmax(torch.sigmoid(at) - slope * at, dim=0))


def _steepness(low: Tensor, high: Tensor) -> Range:
    """Return the range of the sigmoid's derivative on [low, high]; it decreases on both sides of 0."""
    ends = torch.stack([low, high, torch.zeros_like(low).clamp(low, high)])
    return tuple(torch.aminmax(torch.sigmoid(ends) * torch.sigmoid(-ends), dim=0))


def _weighted_range(weights: Tensor, values: Range) -> Range:
    """Return the range (P, o) of weighted sums, with weights (o, h), of values within ranges (P, h)."""
    up, down = weights.clamp_min(0).T, weights.clamp_max(0).T
    return values[0] @ up + values[1] @ down, values[1] @ up + values[0] @ down


def _product(a: Range, b: Range) -> Range:
    return tuple(torch.aminmax(torch.stack([x * y for x in a for y in b]), dim=0))


def _sum(a: Range, b: Range) -> Range:
    return a[0] + b[0], a[1] + b[1]


def _plus(a: Range, shift: Tensor) -> Range:
    return a[0] + shift, a[1] + shift
