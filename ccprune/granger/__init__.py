"""Granger tests of many candidate causes against one effect (LEGCNet, section 3.5)."""

from ccprune.granger._tests import MAX_BYTES, GrangerResult, benjamini_hochberg, granger_test

__all__ = [
    "GrangerResult",
    "MAX_BYTES",
    "benjamini_hochberg",
    "granger_test",
]
