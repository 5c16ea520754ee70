"""The only import of torchvision. Elsewhere, use ``from replication.data._torchvision import torchvision``.

The wheel of torchvision on package indexes is linked to CUDA. With a CPU build of torch its compiled operators cannot
be loaded, and its import fails with "operator torchvision::nms does not exist", because it registers a shape function
for this operator without a check that it exists. This module declares the two missing operators, so that the import
succeeds. Models, transforms and data sets do not need them. Box operators and torchvision's image codecs then raise
errors when they are called. In all other installations this is a plain import.
"""

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    _OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # a global, because its deletion would remove them
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
