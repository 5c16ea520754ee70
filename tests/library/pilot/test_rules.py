"""The rules that turn a pilot's runs into a recommendation, on rows whose truth is known."""

import numpy as np
import pytest

from ccprune._pilot._rules import recommend, tabulate

GRID = (0.5, 0.8, 0.9)


def _rows(truth, *, seeds=5, noise=0.002, dense=0.9, generator=None):
    """Rows of networks whose metric falls short of dense by truth[method][place in the grid], plus noise."""
    generator = generator or np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        base = dense + 0.02 * generator.standard_normal()
        cells = [("dense", "", 0.0, 0.0)]
        cells += [(m, "one_shot", s, drop) for m, drops in truth.items() for s, drop in zip(GRID, drops, strict=False)]
        for method, schedule, sparsity, drop in cells:
            value = base - drop + (noise * generator.standard_normal() if method != "dense" else 0)
            rows.append(
                {
                    "seed": seed,
                    "method": method,
                    "schedule": schedule,
                    "sparsity": sparsity,
                    "validation": value,
                    "test": None,
                    "macs": 100 * (1 - sparsity),
                    "file_bytes": 1000 * (1 - sparsity) + 50,
                    "epochs_to_dense": 1 if drop < 0.01 else None,
                    "seconds_to_dense": 0.5 if drop < 0.01 else None,
                    "importance": None,
                    "before": [value] if method == "dense" else None,
                    "shuffled": list(np.linspace(0.4, 0.6, 39)) if method == "dense" else None,
                }
            )
    return rows


def _answer(truth, *, margin=0.01, sign=1, layers=(), **options):
    rows = _rows(truth, **options)
    return recommend(tabulate(rows, margin=margin, sign=sign), rows, layers, margin=margin, sign=sign)


def test_the_largest_sparsity_that_is_as_good_at_all_smaller_ones_is_recommended():
    found = _answer({"causal": (0, 0, 0.2), "magnitude": (0, 0.1, 0.2), "random": (0.1, 0.2, 0.3)})
    assert (found.answer, found.method, found.sparsity, found.as_good) == ("prune", "causal", 0.8, ())
    # Good again at 90% after a failure at 80% is luck, or at least not understood.
    found = _answer({"causal": (0, 0.1, 0), "random": (0.1, 0.2, 0.3)})
    assert (found.method, found.sparsity) == ("causal", 0.5)


def test_magnitude_is_preferred_among_equals_and_the_others_are_named():
    found = _answer({"causal": (0, -0.005, 0.2), "magnitude": (0, 0, 0.2), "random": (0, 0, 0.2)})
    assert (found.method, found.sparsity, set(found.as_good)) == ("magnitude", 0.8, {"causal", "random"})


def test_nothing_is_recommended_without_evidence():
    bad = {"causal": (0.1, 0.2, 0.3), "magnitude": (0.1, 0.2, 0.3)}
    found = _answer(bad)
    assert (found.answer, found.worse) == ("do_not_prune", (6, 6))
    assert _answer(bad, seeds=1).answer == "unknown"
    good = {"causal": (0, 0, 0), "magnitude": (0, 0, 0)}
    assert _answer(good, dense=0.5).answer == "nothing_learned"
    # The largest of 39 orders reaches 0.6: all of them and one more are 40, and p = 1/40 above, 3/40 below.
    assert _answer(good, dense=0.65).answer == "prune"
    assert _answer(good, dense=0.59).answer == "nothing_learned"


def test_a_metric_of_which_smaller_is_better_is_judged_the_other_way_round():
    worse = {"causal": (-0.1, -0.2, -0.3)}  # "falls short" by a negative amount: the value rises
    assert _answer(worse, sign=1).answer == "prune"
    assert _answer(worse, sign=-1, dense=0.2).answer == "do_not_prune"


def test_layers_that_cost_more_than_the_margin_are_named():
    layers = [
        {"layer": name, "sparsity": sparsity, "validation": value}
        for name, values in {"first": (0.2, 0.1), "last": (0.92, 0.1)}.items()
        for sparsity, value in zip((0.5, 0.8), values, strict=True)
    ]
    assert _answer({"magnitude": (0, 0, 0)}, layers=layers).protected == ("first",)


def _called(drop, seeds, noise=0.01):
    """Share of 400 networks that are called as good as dense, each of which falls short by `drop`."""
    rows = _rows({f"method {place}": (drop,) for place in range(400)}, seeds=seeds, noise=noise)
    return tabulate(rows, margin=0.01, sign=1).drop("dense", level="method")["as_good"].mean()


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_network_that_is_worse_by_the_margin_is_called_as_good_in_2_5_percent_of_cases(seeds):
    assert 0.002 < _called(0.01, seeds) < 0.06  # the standard deviation of the share is 0.8 percentage points


def test_the_power_to_see_an_equal_network_grows_with_the_seeds():
    assert _called(0, 3) < 0.35 < 0.7 < _called(0, 10)


def test_the_best_of_several_is_recommended_falsely_more_often_than_the_corrected_verdict():
    # All networks are worse by the margin, so that every recommendation is false.
    generator = np.random.default_rng(3)
    truth = {f"method {place}": (0.01, 0.012, 0.015) for place in range(8)}
    found = [_answer(truth, noise=0.01, generator=generator) for _ in range(120)]
    assert np.mean([one.answer == "prune" for one in found]) > 0.1  # 8 looks at 2.5% each: 18%
    # At most 2.5%, and 2.5 standard deviations of 120 cases.
    assert np.mean([one.simultaneous is not None for one in found]) <= 0.025 + 2.5 * 0.0143
    good = _answer({"causal": (0, 0, 0.1), "magnitude": (0, 0, 0.1)})
    assert good.simultaneous == ("magnitude", "one_shot", 0.8) == (good.method, good.schedule, good.sparsity)


def test_better_than_dense_is_said_with_a_correction_for_the_number_of_networks():
    generator = np.random.default_rng(2)
    null = {"causal": (0, 0, 0), "magnitude": (0, 0, 0), "random": (0, 0, 0)}
    called = [bool(_answer(null, noise=0.01, generator=generator).better) for _ in range(100)]
    assert np.mean(called) <= 0.11  # at most 5% and, of 100 cases, nearly 3 standard deviations
    found = _answer({"causal": (-0.05, -0.05, 0.1), "random": (0.1, 0.1, 0.1)})
    assert {key[0] for key in found.better} == {"causal"} and len(found.better) == 2


def test_equal_gains_of_few_seeds_are_no_evidence_of_a_better_network():
    assert not _answer({"causal": (-0.01, -0.01, -0.01)}, noise=0.0, seeds=2).better
