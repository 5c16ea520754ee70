"""The follow-up of paper B: the causal fits of its code, its protocol, and our runs of it."""
