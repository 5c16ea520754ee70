"""Recording and masks for distributed training with DDP and FSDP2, where each rank has a part of the weights.

`Layout` describes the part of each rank, which `Recorder`, `Screen` and `WeightExponents` record. `ShardedMask` prunes
an exact number of weights over all ranks without gathering the scores. Use and costs are described in
docs/distributed.md.
"""

from ccprune.distributed.layout import Layout, Part
from ccprune.distributed.masks import ShardedMask
from ccprune.distributed.recording import Recorder, Screen, WeightExponents

__all__ = ["Layout", "Part", "Recorder", "Screen", "ShardedMask", "WeightExponents"]
