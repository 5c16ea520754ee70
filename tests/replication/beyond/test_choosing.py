"""Sentences on searches whose answer is known."""

import pandas as pd

from replication.beyond import knee_sentence, optimism_sentences, regret_sentences


def test_each_task_is_listed_by_the_interval_of_its_difference():
    rows = [
        (task, method, 0.1, repetition, regret + 0.01 * repetition * (method == "tpe"))
        for task, tpe in (("iris", 0.0), ("text", 0.9), ("digits", 0.49))
        for method, regret in (("grid", 0.0), ("tpe", tpe), ("random", 0.5))
        for repetition in range(3)
    ]
    means = pd.DataFrame(rows, columns=["task", "method", "share", "repetition", "regret"])
    (text,) = regret_sentences(means)
    assert text.startswith("**At 10% of the cost**")
    assert "Smaller: iris (-0.49," in text and "; larger: text (+0.41," in text
    assert "; not shown to differ: digits (+0.00," in text


def test_optimism_counts_the_choices_that_stay_within_the_margin():
    searches = pd.DataFrame(
        {"task": "iris", "method": "grid", "repetition": [0, 1, 2], "optimism": [0.1, 0.11, 0.12], "margin": 0.02}
        | {"chosen": [0.0, -0.01, -0.5], "within": [True, False, False]}
    )
    (text,) = optimism_sentences(searches, searches)
    assert "Above 0: iris (+0.110," in text and text.endswith(
        "Choices within the margin: 2, of which 1 still when reported."
    )


def test_a_score_without_a_knee_has_nothing_to_keep():
    table = pd.DataFrame({"paper": ["LEGCNet", "causal"], "way": "earlier stop", "knee": [float("nan"), 0.3]})
    nothing = "LEGCNet: the full score is not shown to be better than chance, and there is nothing to keep"
    assert knee_sentence(table) == f"{nothing}. causal: earlier stop 30%."
