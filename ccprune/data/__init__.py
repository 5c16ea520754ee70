"""Data: where it comes from, checksums, preprocessing."""
