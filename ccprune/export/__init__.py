"""Export of masked models to faster models, and files that store a model with its mask.

A mask alone saves no time. The right export depends on the pruned structure and on the device. `to_structured` removes
whole channels and works with any kernel. `to_semi_structured` uses CUDA kernels for 2:4 masks. `to_csr` multiplies
only the kept weights on the CPU. Each returns an `Exported`: a copy for inference with the outputs of the masked model,
and a table of the changes to each layer and their reasons.
"""

from ccprune.export._csr import to_csr
from ccprune.export._deployed import deploy, load_deployed
from ccprune.export._exported import Exported
from ccprune.export._file import load, save
from ccprune.export._semi_structured import to_semi_structured
from ccprune.export._structured import to_structured

__all__ = ["Exported", "deploy", "load_deployed", "load", "save", "to_csr", "to_semi_structured", "to_structured"]
