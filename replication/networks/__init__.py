"""The papers' networks, and the joint training of many small networks."""
