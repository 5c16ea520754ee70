"""Models that are faster for what a mask pruned, and files that hold a model with its mask.

A mask on its own saves no time. What does depends on what is pruned, and where it runs: `structured` removes whole
channels, for any kernel; `semi_structured` has CUDA kernels for 2:4 masks; `csr` multiplies by single kept weights on
the CPU. Each returns an `Exported`: a copy, for inference, with the outputs of the masked model, and what was done to
each layer and why.
"""

from ccprune.export._csr import csr
from ccprune.export._exported import Exported
from ccprune.export._file import load, save
from ccprune.export._semi_structured import semi_structured
from ccprune.export._structured import structured

__all__ = ["Exported", "csr", "load", "save", "semi_structured", "structured"]
