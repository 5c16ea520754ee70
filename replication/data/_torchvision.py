"""The one place that imports torchvision: ``from replication.data._torchvision import torchvision``.

The wheel of torchvision that package indexes serve is linked to CUDA. Beside a CPU build of torch its compiled
operators cannot be loaded, and its import ends with "operator torchvision::nms does not exist", because it gives
that operator a shape function without having looked whether it is there. Declaring the two operators it asks for
lets it be imported: its models, transforms and datasets need none of them. Its box operators and its own image
codecs stay unavailable then, and say so when they are called. On any other install this is a plain import.
"""

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # a name, for its end would take them away again
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
