"""Data: where it comes from, checksums, preprocessing."""

from ccprune.data.authors import CorruptData, DataUnavailable
from ccprune.data.images import Images
from ccprune.data.tabular import NAMES, Dataset, load

__all__ = ["NAMES", "CorruptData", "DataUnavailable", "Dataset", "Images", "load"]
