"""One-shot pruning of trained networks, measured before fine-tuning, and what the causal fits rank."""
