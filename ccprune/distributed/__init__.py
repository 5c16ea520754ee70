"""Recording and masks where several processes train one model: DDP and FSDP2, each rank with its part of the weights.

`Layout` says who holds what; `Recorder` and `Screen` record each rank's part; `ShardedMask` prunes an exact number over
all of them without bringing the scores together. How to use it, and what it costs: docs/distributed.md.
"""

from ccprune.distributed.layout import Layout, Part
from ccprune.distributed.masks import ShardedMask
from ccprune.distributed.recording import Recorder, Screen

__all__ = ["Layout", "Part", "Recorder", "Screen", "ShardedMask"]
