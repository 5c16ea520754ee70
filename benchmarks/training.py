"""Per-sample SGD of the cancer network (9-6-1, 546 samples an epoch), beside a plain NumPy loop written from the paper.

Seconds are per network and epoch.
"""

import _common
import numba
import numpy as np

from ccprune.ensemble import Ensemble, initialise
from ccprune.train import advance

EPOCHS = 5


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def plain_loop(network: list[np.ndarray], x: np.ndarray, y: np.ndarray, rate: float, epochs: int) -> list[np.ndarray]:
    """Paper A, section 4: one sample at a time, in file order, squared error, sigmoids everywhere."""
    w1, b1, w2, b2 = (part.copy() for part in network)
    for _ in range(epochs):
        for sample, target in zip(x, y, strict=True):
            hidden = sigmoid(w1 @ sample + b1)
            out = sigmoid(w2 @ hidden + b2)
            delta = 2 * (out - target) * out * (1 - out) / len(target)
            back = (w2.T @ delta) * hidden * (1 - hidden)
            w2 -= rate * np.outer(delta, hidden)
            b2 -= rate * delta
            w1 -= rate * np.outer(back, sample)
            b1 -= rate * back
    return [w1, b1, w2, b2]


def parts(ensemble: Ensemble, index: int) -> list[np.ndarray]:
    return [getattr(ensemble, name)[index].numpy() for name in ("w1", "b1", "w2", "b2")]


def main() -> None:
    data, settings, first = _common.cancer()
    x, y = data.x_train, data.y_train
    size = f"1 network, 1 epoch of {len(x)} samples"
    rows = []
    with _common.threads(1):  # products this small lose by more
        expected, seconds, peak = _common.measure(
            lambda: plain_loop(parts(first, 0), x.numpy(), y.numpy(), settings.rate, EPOCHS), repeats=5
        )
    slow = seconds / EPOCHS
    rows.append(_common.row("training", "NumPy loop", size, slow, peak, None, f"{1 / slow:.0f} networks per second"))
    cores = numba.get_num_threads()
    for count, batch in [(1, 1), (1, 16), (cores, 16), (cores, 256)]:
        numba.set_num_threads(count)
        start = initialise(first.sizes, batch, seed=0)
        answers = []

        def ours(start: Ensemble = start, batch: int = batch, answers: list[Ensemble] = answers) -> None:
            answers.append(start.select(range(batch)))
            advance(answers[-1], x, y, rate=settings.rate, first=0, steps=EPOCHS * len(x))

        _, seconds, peak = _common.measure(ours, repeats=7)
        error = max(float(np.abs(a - b).max()) for a, b in zip(parts(answers[-1], 0), expected, strict=True))
        if error > 1e-10:
            raise SystemExit(f"ccprune and the NumPy loop differ by {error}")
        each = seconds / EPOCHS / batch
        note = f"{1 / each:.0f} networks per second; error: largest difference of a weight from the NumPy loop"
        tool = f"ccprune, batch {batch}, {count} thread(s)"
        rows.append(_common.row("training", tool, size, each, peak, error, note))
    _common.save("training", rows)


if __name__ == "__main__":
    main()
