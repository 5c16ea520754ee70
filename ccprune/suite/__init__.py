"""The runner: notebooks with checked parameters, one process each, into result files and reports."""

from ccprune.suite.lock import locked
from ccprune.suite.runner import Outcome, replicate
from ccprune.suite.spec import Run, SuiteError, find_root, plan

__all__ = ["Outcome", "Run", "SuiteError", "find_root", "locked", "plan", "replicate"]
