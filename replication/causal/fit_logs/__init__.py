"""The released logs of causal fits, and a network that was cut once, made again several times."""

from replication.causal.fit_logs.cut import cut_runs
from replication.causal.fit_logs.runs import STARTS, friedman_records, friedman_runs, log_runs
from replication.causal.fit_logs.verdicts import released_cells

__all__ = ["STARTS", "released_cells", "cut_runs", "friedman_records", "friedman_runs", "log_runs"]
