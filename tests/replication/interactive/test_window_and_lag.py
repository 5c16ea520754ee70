"""Window and lag against the mask: what is shown is what LEGCNet's own steps give."""

from dataclasses import replace

import pytest
import torch

from ccprune.granger import granger_test
from replication.data import load
from replication.figures.interactive import window_and_lag
from replication.legcnet import procedure as legcnet
from replication.legcnet.settings import SETTINGS, WindowSettings, with_recording
from replication.networks import trajectory
from replication.networks.ensemble import initialise

RECORDING = WindowSettings(epochs=12, window=40, steps=3, max_lag=3, left_out=1)
WINDOWS, LAGS = [25, 40, 400], [1, 3, 5]


@pytest.fixture(scope="module")
def iris():
    data = load("iris", preprocessing="authors", source="packaged")
    settings = SETTINGS["iris"]
    start = initialise((4, settings.hidden, 3), 1, seed=0, scale=settings.scale)
    return start, data, settings


@pytest.fixture(scope="module")
def recorded(iris):
    """Weights and risk after every update."""
    start, data, settings = iris
    stream = trajectory.windows(
        start,
        data.x_train,
        data.y_train,
        epochs=RECORDING.epochs,
        lr=settings.lr,
        window=1,
        stride=1,
        risk={"test": (data.x_test, data.y_test)},
    )
    rows = [(row.weights[0, 0], row.risk["test"][0]) for row in stream]
    return torch.stack([weights for weights, _ in rows]), torch.stack([risk for _, risk in rows])


@pytest.fixture
def figure(recorded):
    return window_and_lag(*recorded, recording=RECORDING, windows=WINDOWS, lags=LAGS)


@pytest.mark.parametrize("window", WINDOWS[:2])
@pytest.mark.parametrize("lag", LAGS)
def test_shows_what_the_library_computes(iris, figure, points, window, lag):
    """Against a mask made from recording to test by `legcnet.masks`, and a test of the exponents themselves."""
    start, data, settings = iris
    chosen = with_recording(replace(settings, ft=RECORDING), "ft", window=window, max_lag=lag)
    (keep,) = legcnet.masks(start, data, chosen, method="ft")
    found = legcnet.exponents_and_risk(start, data, settings, chosen.ft)
    result = granger_test(found.risk[0], found.exponents[0], max_lag=lag)
    figure.turn(window=window, lag=lag)
    upper, lower = figure.figure.axes
    middle = found.exponents[0].quantile(0.5, dim=0)
    for marker, mask in (("o", keep), ("X", ~keep)):
        at = mask.nonzero()[:, 0].tolist()
        assert points(upper, marker=marker) == pytest.approx({m: float(middle[m]) for m in at}, abs=1e-12)
        p = result.min_p.clamp_min(1e-5)
        assert points(lower, marker=marker) == pytest.approx({m: float(p[m]) for m in at}, rel=1e-9)
    count, weights = found.exponents.shape[1:]
    pruned = int((~keep).sum())
    title = f"window {window} steps, lags 1 to {lag}: {count} windows, {pruned} of {weights} weights pruned"
    assert figure.figure.get_suptitle() == title


def test_the_knobs_change_the_mask(figure):
    """Else the figure would teach nothing."""
    pruned = set()
    for window in WINDOWS[:2]:
        for lag in LAGS:
            figure.turn(window=window, lag=lag)
            pruned.add(figure.figure.get_suptitle().split(", ")[-1])
    assert len(pruned) > 3


def test_begins_at_the_recording_and_a_moved_knob_changes_the_picture(figure):
    assert figure.settings == {"window": 40, "lag": 3}
    before = figure.png
    figure.knobs["lag"].value = 5
    assert figure.png != before


def test_too_few_windows_for_the_lag_are_no_test_and_keep_all(figure):
    figure.turn(window=400, lag=5)  # 3 windows, one left out
    assert figure.figure.get_suptitle().endswith("2 windows, 0 of 42 weights pruned, for want of a test")
    assert [text.get_text() for text in figure.figure.axes[1].texts] == [
        "no test: 2 windows\nlags up to 5 need more than 16"
    ]


def test_a_risk_that_never_changes_is_no_test(recorded):
    weights, risk = recorded
    figure = window_and_lag(weights, torch.full_like(risk, 0.5), recording=RECORDING, windows=WINDOWS, lags=LAGS)
    assert [text.get_text() for text in figure.figure.axes[1].texts] == ["no test: the risk never changes"]


def test_unrelated_risk_and_weights_are_mostly_pruned():
    """Null: independent noise. Of 60 weights about 5% are called causal at one lag."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3000, 60, generator=generator, dtype=torch.float64)
    risk = torch.rand(3000, generator=generator, dtype=torch.float64)
    recording = replace(RECORDING, window=30, max_lag=1, left_out=0)
    figure = window_and_lag(weights, risk, recording=recording, windows=[30], lags=[1])
    pruned = int(figure.figure.get_suptitle().split(", ")[2].split(" of ")[0])
    assert 50 <= pruned <= 60


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"windows": [40, 25]}, "windows must hold at least one value, in increasing order"),
        ({"windows": [5, 40]}, "windows must be an integer of at least 6, got 5"),
        ({"windows": [40, 1e9]}, "windows must be an integer"),
        ({"windows": [40, 2000]}, "windows must fit into the 1441 rows of weights, got 2000"),
        ({"windows": [25, 50]}, "windows must include the recording's 40, the initial value"),
        ({"lags": [0, 3]}, "lags must be an integer of at least 1, got 0"),
        ({"lags": [1, 2]}, "lags must include the recording's 3"),
        ({"lags": []}, "lags must hold at least one value"),
    ],
)
def test_bad_knob_values(recorded, changed, message):
    with pytest.raises(ValueError, match=message):
        window_and_lag(*recorded, **{"recording": RECORDING, "windows": WINDOWS, "lags": LAGS, **changed})


def test_bad_data(recorded):
    weights, risk = recorded
    options = {"recording": RECORDING, "windows": WINDOWS, "lags": LAGS}
    with pytest.raises(ValueError, match="risk must have one value for each of the 1441 rows of weights"):
        window_and_lag(weights, risk[:-1], **options)
    with pytest.raises(TypeError, match="weights must be a Tensor, got list"):
        window_and_lag([1.0], risk, **options)
    with pytest.raises(ValueError, match="weights must"):
        window_and_lag(weights[:, 0], risk, **options)
