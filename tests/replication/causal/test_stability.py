import numpy as np
import pytest
import torch

from ccprune.lasso import problem
from replication.causal import stability
from replication.causal.stability import select


def planted(records, weights, causes, seed, strength=1.0):
    """Squared changes on training's scale; the first `causes` columns move the loss, the others do not."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(records, weights, generator=generator) ** 2 * 1e-12
    y = torch.randn(records, generator=generator, dtype=torch.float64)
    if causes:
        y -= strength * (X[:, :causes].double() * 1e12 - 1).sum(1)
    return X, y - y.mean()


@pytest.mark.parametrize("rule", ["count", "alpha"])
@pytest.mark.parametrize("statistic", ["covariance", "correlation"])
def test_frequencies_are_those_of_single_choices(device, rule, statistic, monkeypatch):
    """Each half by itself, from the halves that were drawn."""
    X, y = planted(41, 30, 3, seed=0)
    y += 0.5
    X[1:, 4] = 3e-13  # does not vary in half of the halves: without a correlation there
    monkeypatch.setattr(problem, "_BLOCK", 41 * 7)
    members = stability._halves(41, 6, seed=3)
    if statistic == "covariance":
        statistics = torch.stack([(X[rows].double().T @ y[rows]).abs() / 20 for rows in members])
    else:
        with np.errstate(invalid="ignore"):
            both = [np.corrcoef(X[rows].double().numpy().T, y[rows].numpy())[-1, :-1] for rows in members]
        statistics = torch.from_numpy(np.abs(np.stack(both)))
        statistics[~members[:, 0], 4] = 0
    if rule == "count":
        chosen = torch.zeros(12, 30).scatter_(1, statistics.topk(5).indices, 1.0)
        found = select(X.to(device), y.to(device), count=5, pairs=6, threshold=0.6, seed=3, statistic=statistic)
        assert found.chosen == 5
    else:
        alpha = float(statistics.flatten().quantile(0.5))  # between two values: no tie
        chosen = (statistics > alpha).double()
        found = select(X.to(device), y.to(device), alpha=alpha, pairs=6, threshold=0.6, seed=3, statistic=statistic)
        assert found.chosen == pytest.approx(float(chosen.sum(1).mean()))
    assert found.frequency.device.type == device
    torch.testing.assert_close(found.frequency.cpu(), chosen.double().mean(0), rtol=0, atol=1e-15)
    assert torch.equal(found.stable.cpu(), found.frequency.cpu() >= 0.6)
    assert found.expected_false == pytest.approx(min(found.chosen**2 / (0.2 * 30), found.chosen / 0.6))


def test_halves_are_complementary_random_and_seeded():
    members = stability._halves(21, 200, seed=1)
    assert (members.sum(1) == 10).all()
    assert not (members[::2] & members[1::2]).any()
    # Every record is in a half with probability 10 / 21; 400 rows, in dependent pairs.
    share = members.double().mean(0)
    assert (share - 10 / 21).abs().max() < 0.03
    assert torch.equal(members, stability._halves(21, 200, seed=1))
    assert not torch.equal(members, stability._halves(21, 200, seed=2))


def test_planted_causes_are_found_with_no_more_false_ones_than_the_bound():
    found_causes, false, bounds = [], [], []
    for seed in range(15):
        X, y = planted(300, 300, 5, seed)
        found = select(X, y, count=15, threshold=0.75, seed=seed)
        found_causes.append(int(found.stable[:5].sum()))
        false.append(int(found.stable[5:].sum()))
        bounds.append(found.expected_false)
    assert np.mean(found_causes) > 4.5
    assert np.mean(false) < np.mean(bounds) == pytest.approx(15**2 / (0.5 * 300))


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_null_noise_gives_no_more_stable_weights_than_the_bound(threshold):
    found = [select(*planted(100, 400, 0, seed), count=20, threshold=threshold, seed=seed) for seed in range(30)]
    bound = found[0].expected_false
    assert bound == pytest.approx(400 / ((2 * threshold - 1) * 400))
    false = np.mean([int(result.stable.sum()) for result in found])
    assert false < bound
    assert np.mean([float(result.frequency.mean()) for result in found]) == pytest.approx(20 / 400)


def test_null_only_the_correlation_keeps_the_bound_when_weights_move_by_different_amounts():
    false = {"covariance": [], "correlation": []}
    sizes = 10.0 ** torch.linspace(-6, 0, 400)
    for seed in range(20):
        X, y = planted(100, 400, 0, seed)
        for statistic, found in false.items():
            result = select(X * sizes, y, count=40, seed=seed, statistic=statistic)
            found.append(int(result.stable.sum()))
    bound = result.expected_false
    assert np.mean(false["correlation"]) < bound
    assert np.mean(false["covariance"]) > bound


def test_a_file_mapped_into_memory_is_read(tmp_path):
    X, y = planted(40, 50, 3, seed=0)
    held = np.memmap(tmp_path / "X", np.float32, "w+", shape=(40, 52))
    held[:, 2:] = X.numpy()
    mapped = torch.from_numpy(held[:, 2:].view(np.ndarray))
    ours, expected = select(mapped, y, count=5, seed=0), select(X, y, count=5, seed=0)
    assert torch.equal(ours.frequency, expected.frequency)


def test_same_seed_same_answer_and_records_in_another_order_another_draw():
    X, y = planted(40, 200, 0, seed=0)
    one, again, other = (select(X, y, count=20, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.frequency, again.frequency) and not torch.equal(one.frequency, other.frequency)


X, Y = planted(12, 6, 1, seed=0)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: select(X.numpy(), Y, count=2, seed=0), TypeError, "X must be a Tensor"),
        (lambda: select(X, Y[1:], count=2, seed=0), ValueError, "y must have one value per row"),
        (lambda: select(X[:3], Y[:3], count=2, seed=0), ValueError, "X must have at least 4 records .* got 3"),
        (lambda: select(X, Y, seed=0), ValueError, "give either count or alpha, got count=None and alpha=None"),
        (lambda: select(X, Y, count=2, alpha=0.1, seed=0), ValueError, "give either count or alpha"),
        (lambda: select(X, Y, count=6, seed=0), ValueError, r"count must be an integer in 1\.\.5, got 6"),
        (lambda: select(X, Y, alpha=-1.0, seed=0), ValueError, "alpha must be a finite number of at least 0"),
        (lambda: select(X, Y, count=2, seed=0, statistic="z"), ValueError, r"statistic must be one of .*, got 'z'"),
        (lambda: select(X, Y, count=2, pairs=0, seed=0), ValueError, "pairs must be an integer of at least 1, got 0"),
        (lambda: select(X, Y, count=2, threshold=0.5, seed=0), ValueError, r"threshold must lie above 0\.5"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
