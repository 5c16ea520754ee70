"""The runner: notebooks with checked parameters, one process each, into result files and reports."""

from ccprune.suite.errors import SuiteError
from ccprune.suite.lock import locked
from ccprune.suite.pools import LocalPool
from ccprune.suite.runner import Outcome, replicate
from ccprune.suite.spec import Run, find_root, plan

__all__ = ["LocalPool", "Outcome", "Run", "SuiteError", "find_root", "locked", "plan", "replicate"]
