"""Scoring and pruning of neural networks by chaos and causality.

Importing the package imports none of its modules, so that the command line starts quickly; import the one you
need, as in ``from ccprune import lyapunov``.
"""

__version__ = "0.1.0"
