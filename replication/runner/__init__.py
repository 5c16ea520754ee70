"""The runner: runs notebooks with checked parameters, one process each, and stores their results and reports."""

from replication.runner.errors import SuiteError
from replication.runner.execution import Outcome, replicate
from replication.runner.folder import claim
from replication.runner.lock import locked
from replication.runner.pools import LocalPool
from replication.runner.spec import Run, find_root, plan

__all__ = ["LocalPool", "Outcome", "Run", "SuiteError", "claim", "find_root", "locked", "plan", "replicate"]
