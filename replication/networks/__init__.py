"""The papers' networks, and trainers for many small ones at once."""
