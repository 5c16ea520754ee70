"""Noise and drift: criteria under disturbed training, and tests on disturbed series whose answer is known."""

from replication.beyond.drift.chaos import DYNAMICS, chaos_cells, chaos_tests
from replication.beyond.drift.networks import (
    ANOTHER_ORDER,
    DISTURBANCES,
    Disturbance,
    disturbed_scores,
    drift_cells,
    drift_effects,
    drift_runs,
    halved,
    stable_noise,
)
from replication.beyond.drift.series import FORMS, SERIES_KINDS, disturbed_series, granger_cells, granger_rates

__all__ = [
    "ANOTHER_ORDER",
    "DISTURBANCES",
    "DYNAMICS",
    "Disturbance",
    "FORMS",
    "SERIES_KINDS",
    "chaos_cells",
    "chaos_tests",
    "disturbed_scores",
    "disturbed_series",
    "drift_cells",
    "drift_effects",
    "drift_runs",
    "granger_cells",
    "granger_rates",
    "halved",
    "stable_noise",
]
