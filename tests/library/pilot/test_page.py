"""Sentences and pictures of a pilot's page, from runs whose truth is known."""

from types import SimpleNamespace

import pandas as pd
import pytest

from ccprune._pilot import Recommendation, _page


@pytest.mark.parametrize(("low", "sentence"), [(0.9, "not faster"), (1.1, "takes 80%")])
def test_an_exported_form_is_faster_only_if_it_is_in_three_quarters_of_the_repeats(low, sentence):
    runs = pd.DataFrame({"seconds_dense": [1.25, 1.0], "seconds_exported": [1.0, 1.0], "price": [None, None]})
    runs = runs.assign(speed=[1.25, 1.0], speed_low=[low, 0.5])
    result = SimpleNamespace(recommendation=Recommendation("unknown"), runs=runs)
    assert sentence in _page._costs(None, result, _page._texts()["en"])[0]


def test_the_map_of_120_layers_names_each_of_them_without_overlap():
    names = [f"encoder.layers.{place}.weight" for place in range(120)]
    layers = pd.DataFrame([{"layer": n, "sparsity": s, "validation": 0.9 - s} for n in names for s in (0.5, 0.95)])
    (ax,) = _page._layers(layers, pd.DataFrame([{"before": [0.9]}]), 1).axes
    labels = ax.get_yticklabels()
    assert [label.get_text() for label in labels] == names
    points_a_row = 72 * ax.figure.get_size_inches()[1] / len(names)
    assert points_a_row > 1.2 * labels[0].get_fontsize()


def test_both_languages_have_the_same_texts_with_the_same_places():
    english, japanese = (_page._texts()[language] for language in _page.LANGUAGES)
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        other = japanese[key]
        assert type(text) is type(other)
        if isinstance(text, str):
            assert sorted(_places(text)) == sorted(_places(other)), key
        else:
            assert len(text) == len(other), key


def _places(text):
    return [part.partition("}")[0].partition(":")[0] for part in text.split("{")[1:]]
