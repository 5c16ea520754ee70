"""Oracles: the weighted sum over all records, written out; `SquaredUpdates` and `lasso.Screen`, where nothing fades."""

import math

import pytest
import small_models
import torch

from ccprune import lasso
from ccprune.online import STATISTICS, Forgetting
from ccprune.recording import Recorder, SquaredUpdates

SHAPES = {"a": (3, 4), "b": (5,)}


def records(count, seed=0, device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn((), generator=generator, dtype=torch.float64).to(device),
            {n: torch.randn(s, generator=generator).to(device, dtype) for n, s in SHAPES.items()},
        )
        for _ in range(count)
    ]


def weights(device="cpu"):
    return {name: torch.zeros(shape, device=device) for name, shape in SHAPES.items()}


def filled(found, **options):
    store = Forgetting(weights(found[0][1]["a"].device), **{"half_life": 7.0} | options)
    for loss, changes in found:
        store.update(loss, changes)
    return store


def by_hand(found, name, half_life, statistic, begin=0):
    """The definition: every record with its weight."""
    total = weight = 0.0
    for s, (loss, changes) in enumerate(found):
        if s >= begin:
            share = 0.5 ** ((len(found) - 1 - s) / half_life)
            factor = loss if statistic == "causal" else 1.0
            total, weight = total + share * factor * changes[name].double() ** 2, weight + share
    return total / weight


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_means_equal_the_weighted_sum_over_all_records(statistic, dtype, tolerance, device):
    found = records(60, device=device)
    store = filled(found, statistic=statistic, dtype=dtype)
    assert store.records == 60
    for name, mean in store.means.items():
        expected = by_hand(found, name, 7.0, statistic)
        assert mean.dtype == torch.float64 and mean.device.type == device
        torch.testing.assert_close(mean, expected, rtol=tolerance, atol=tolerance)
        assert torch.equal(store.scores[name], mean.abs())


def test_the_newest_record_counts_twice_as_much_as_one_of_half_a_life_ago():
    one, other = torch.zeros(3, 4), torch.zeros(3, 4)
    one[0, 0], other[1, 1] = 1.0, 1.0
    store = Forgetting({"a": one}, half_life=3)
    for change in (one, *3 * [torch.zeros(3, 4)], other):
        store.update(2.0, {"a": change})
    found = store.scores["a"]
    assert found[1, 1] / found[0, 0] == pytest.approx(2 ** (4 / 3), rel=1e-12)


def test_what_never_fades_is_the_screen_and_the_squared_updates():
    found = records(30, seed=1)
    screen, squares = lasso.Screen(), SquaredUpdates()
    for loss, changes in found:
        screen.update(loss, changes)
        squares.update(loss, changes)
    causal, plain = (filled(found, half_life=1e13, statistic=statistic) for statistic in STATISTICS)
    for name in SHAPES:
        torch.testing.assert_close(causal.scores[name], screen.scores[name], rtol=1e-10, atol=0)
        torch.testing.assert_close(plain.scores[name], squares.scores[name] / 30, rtol=1e-10, atol=0)


def test_forgotten_weights_begin_anew_and_are_not_known_before_their_first_record():
    found = records(20, seed=2)
    store = filled(found[:12])
    places = torch.zeros(3, 4, dtype=torch.bool)
    places[1] = True
    store.forget({"a": places})
    assert bool((store.scores["a"][1] == math.inf).all()) and bool(store.scores["a"][0].isfinite().all())
    assert bool((store.means["a"][1] == 0).all())
    for loss, changes in found[12:]:
        store.update(loss, changes)
    old, new = (by_hand(found, "a", 7.0, "causal", begin) for begin in (0, 12))
    torch.testing.assert_close(store.means["a"], torch.where(places, new, old), rtol=1e-12, atol=0)


def test_noise_in_the_loss_that_is_independent_of_the_updates_scores_nothing():
    """Under the null a sum is a weighted sum of independent zero-mean dL: its variance is sum w^2 dtheta^4 for unit dL.

    400 streams of the same updates with other losses: the mean of z lies within 4 / sqrt(400), that of z^2 within
    4 sqrt(2 / 400) of 1. The same losses made to follow one weight's updates are found at once.
    """
    generator, steps, streams = torch.Generator().manual_seed(3), 40, 400
    changes = torch.randn(steps, 6, generator=generator, dtype=torch.float64)
    losses = torch.randn(streams, steps, generator=generator, dtype=torch.float64)
    share = 0.5 ** (torch.arange(steps - 1, -1, -1) / 9)
    error = ((share[:, None] * changes**2) ** 2).sum(0).sqrt() / share.sum()

    def z(losses):
        store = Forgetting({"w": torch.zeros(6)}, half_life=9)
        for loss, change in zip(losses, changes, strict=True):
            store.update(loss, {"w": change})
        return store.means["w"] / error

    null = torch.stack([z(loss) for loss in losses])
    assert null.mean(0).abs().max() < 4 / math.sqrt(streams)
    assert (null.square().mean(0) - 1).abs().max() < 4 * math.sqrt(2 / streams)
    planted = torch.stack([z(loss - changes[:, 2] ** 2) for loss in losses[:20]])
    assert planted[:, 2].mean() < -3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pairing", ["same_batch", "consecutive"])
def test_a_recorder_fills_it(pairing, dtype):
    model = small_models.mlp((6, 5, 3), seed=0).to(dtype)
    optimizer = torch.optim.SGD(
        [{"params": model.fc1.parameters(), "lr": 0.0}, {"params": model.fc2.parameters()}], lr=0.1
    )
    store = Forgetting({"fc1.weight": model.fc1.weight, "fc2.weight": model.fc2.weight}, half_life=5)
    x, y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)).to(dtype), torch.arange(8) % 3
    with Recorder(model, optimizer, [store], pairing=pairing) as recorder:
        for _ in range(6):
            loss = torch.nn.functional.cross_entropy(model(x).float(), y)
            optimizer.zero_grad()
            loss.backward()
            recorder.before_step(loss)
            optimizer.step()
            if pairing == "same_batch":
                recorder.after_step(torch.nn.functional.cross_entropy(model(x).float(), y))
    assert store.records == recorder.records
    assert not store.scores["fc1.weight"].any() and bool((store.means["fc2.weight"] < 0).any())


def test_a_state_is_gone_on_with(device):
    found = records(20, device=device)
    whole, first = filled(found), filled(found[:9])
    state = first.state_dict()
    later = Forgetting(weights(device), half_life=7)
    later.load_state_dict(state)
    for store in (first, later):
        for loss, changes in found[9:]:
            store.update(loss, changes)
    assert state["records"] == 9, "a copy"
    for store in (first, later):
        assert all(torch.equal(store.scores[name], score) for name, score in whole.scores.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half_life": 0}, "half_life must be positive and finite, got 0"),
        ({"half_life": math.nan}, "half_life"),
        ({"half_life": math.inf}, "half_life"),
        ({"half_life": True}, "half_life"),
        ({"half_life": 1, "statistic": "causa"}, r"statistic must be one of .*, got 'causa'"),
        ({"half_life": 1, "dtype": torch.float16}, "dtype must be torch.float64 or torch.float32, got torch.float16"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Forgetting(weights(), **options)


def test_no_weights():
    with pytest.raises(ValueError, match="weights must name at least one tensor"):
        Forgetting({}, half_life=1)


@pytest.mark.parametrize(
    ("loss", "change", "message"),
    [
        (math.nan, {}, "delta_loss must be finite, got nan"),
        (torch.zeros(2), {}, r"delta_loss must be a number or a 0-d Tensor, got shape \(2,\)"),
        (1.0, {"b": torch.tensor([0.0, 0.0, math.inf, 0.0, 0.0])}, r"delta_weights\['b'\] must be finite"),
        (1.0, {"b": torch.zeros(4)}, "delta_weights must have the names and shapes"),
        (1.0, {"c": torch.zeros(4)}, "delta_weights must have the names and shapes"),
    ],
)
def test_a_bad_record_is_refused_and_changes_nothing(loss, change, message):
    store = filled(records(3))
    before = store.state_dict()
    with pytest.raises(ValueError, match=message):
        store.update(loss, {name: torch.ones(shape) for name, shape in SHAPES.items()} | change)
    after = store.state_dict()
    assert after["records"] == 3
    assert all(torch.equal(after["sums"][name], before["sums"][name]) for name in SHAPES)


def test_nothing_recorded_and_sums_too_large():
    store = Forgetting(weights(), half_life=1, dtype=torch.float32)
    with pytest.raises(ValueError, match="no record yet"):
        _ = store.scores
    store.update(1e30, {name: torch.full(shape, 1e10) for name, shape in SHAPES.items()})
    with pytest.raises(ValueError, match=r"the sums of 'a' are not finite: .* torch.float32 was too short"):
        _ = store.scores


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_an_accelerator_a_bad_record_is_found_when_scores_are_read():
    store = filled(records(3, device="cuda"))
    store.update(1.0, {name: torch.full(shape, math.nan, device="cuda") for name, shape in SHAPES.items()})
    with pytest.raises(ValueError, match="the sums of 'a' are not finite"):
        _ = store.scores


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"records": -1}, r"state\['records'\]"),
        ({"settings": {"half_life": 8.0, "statistic": "causal"}}, r"state\['settings'\]\['half_life'\] is 8.0, here"),
        ({"sums": {"a": torch.zeros(3, 4)}}, r"state\['sums'\] must have the parts \['a', 'b'\], missing \['b'\]"),
        ({"sums": {"a": torch.zeros(3, 4), "b": torch.zeros(5)}}, r"state\['sums'\]\['a'\] must have shape \(3, 4\)"),
        ({"sums": {"a": torch.full((3, 4), math.nan).double(), "b": 0}}, r"state\['sums'\]\['a'\] must be finite"),
        ({"sums": 3}, r"state\['sums'\] must be what state_dict gave, got int"),
        ({"since": {"a": torch.full((3, 4), 5), "b": torch.zeros(5).long()}}, r"since'\]\['a'\] must lie in 0..3"),
        ({"more": 1}, "state must have the parts"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    store = filled(records(3))
    state, scores = store.state_dict(), store.scores
    with pytest.raises((TypeError, ValueError), match=message):
        store.load_state_dict(state | change)
    assert store.records == 3 and all(torch.equal(store.scores[name], score) for name, score in scores.items())
