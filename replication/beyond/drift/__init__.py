"""Noise and drift: criteria under disturbed training, and tests on disturbed series whose answer is known."""

from replication.beyond.drift.chaos import DYNAMICS, chaos_tests
from replication.beyond.drift.lesson import (
    best_criteria,
    best_sentence,
    chaos_sentence,
    cost_sentence,
    lesson_cells,
    measure_sentence,
    overlap_sentence,
)
from replication.beyond.drift.networks import (
    ANOTHER_ORDER,
    DISTURBANCES,
    Disturbance,
    disturbed_scores,
    drift_cells,
    drift_effects,
    drift_runs,
    halve_resolution,
    stable_noise,
)
from replication.beyond.drift.series import FORMS, SERIES_KINDS, disturbed_series, granger_rates

__all__ = [
    "ANOTHER_ORDER",
    "DISTURBANCES",
    "DYNAMICS",
    "Disturbance",
    "FORMS",
    "SERIES_KINDS",
    "best_criteria",
    "best_sentence",
    "chaos_sentence",
    "chaos_tests",
    "cost_sentence",
    "disturbed_scores",
    "disturbed_series",
    "drift_cells",
    "drift_effects",
    "drift_runs",
    "granger_rates",
    "halve_resolution",
    "lesson_cells",
    "measure_sentence",
    "overlap_sentence",
    "stable_noise",
]
