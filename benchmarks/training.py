"""Per-sample SGD of the cancer network (9-6-1, 546 samples an epoch), beside a plain NumPy loop written from the paper
and plain torch, which is slower still: each of its small operations costs microseconds.

Seconds are per network and epoch. On a GPU all networks of a batch take each update together.
"""

import _common
import numpy as np
import torch

from replication.networks.ensemble import MLPBatch, initialise
from replication.networks.models import from_ensemble
from replication.networks.training import advance

EPOCHS, CLAIMED = 5, 100  # times the NumPy loop's throughput
BATCHES = (1, 16, 256, 4096)
TASK = "training"


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def plain_loop(network: list[np.ndarray], x: np.ndarray, y: np.ndarray, lr: float, epochs: int) -> list[np.ndarray]:
    """Paper A, section 4: one sample at a time, in file order, squared error, sigmoids everywhere."""
    w1, b1, w2, b2 = (part.copy() for part in network)
    for _ in range(epochs):
        for sample, target in zip(x, y, strict=True):
            hidden = sigmoid(w1 @ sample + b1)
            out = sigmoid(w2 @ hidden + b2)
            delta = 2 * (out - target) * out * (1 - out) / len(target)
            back = (w2.T @ delta) * hidden * (1 - hidden)
            w2 -= lr * np.outer(delta, hidden)
            b2 -= lr * delta
            w1 -= lr * np.outer(back, sample)
            b1 -= lr * back
    return [w1, b1, w2, b2]


def parts(ensemble: MLPBatch, index: int) -> list[np.ndarray]:
    return [getattr(ensemble, name)[index].numpy() for name in ("w1", "b1", "w2", "b2")]


def plain_torch(start: MLPBatch, x: torch.Tensor, y: torch.Tensor, lr: float) -> list[np.ndarray]:
    """The same by autograd and `torch.optim.SGD`, one epoch."""
    model = from_ensemble(start, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for sample, target in zip(x, y, strict=True):
        optimizer.zero_grad()
        (model(sample) - target).square().mean().backward()
        optimizer.step()
    return [parameter.detach().numpy() for parameter in model.parameters()]


def measure_ours(start: MLPBatch, x: torch.Tensor, y: torch.Tensor, lr: float) -> tuple[MLPBatch, float, float | None]:
    """Networks after `EPOCHS` epochs, seconds per network and epoch, and MiB."""
    answers = []

    def train() -> None:
        answers[:] = [start.select(torch.arange(len(start), device=start.w1.device))]
        advance(answers[0], x, y, lr=lr, first=0, steps=EPOCHS * len(x))
        if x.is_cuda:
            torch.cuda.synchronize()

    _, seconds, peak = _common.measure(train, repeats=5)
    return answers[0], seconds / EPOCHS / len(start), peak


def main() -> None:
    data, settings, first = _common.cancer()
    x, y, lr = data.x_train, data.y_train, settings.lr
    size = f"1 network, 1 epoch of {len(x)} samples"

    def one_row(tool: str, each: float, peak: float | None, error: float | None = None) -> dict:
        note = f"{1 / each:.0f} networks per second"
        note += "" if error is None else "; error: largest difference of a weight from the NumPy loop"
        return _common.row(TASK, tool, size, each, peak, error, note)

    with _common.threads(1):  # products this small lose by more
        expected, seconds, peak = _common.measure(
            lambda: plain_loop(parts(first, 0), x.numpy(), y.numpy(), lr, EPOCHS), repeats=5
        )
        once, by_torch, torch_peak = _common.measure(lambda: plain_torch(first, x, y, lr), repeats=3)
    slow = seconds / EPOCHS
    error = _differ(once, plain_loop(parts(first, 0), x.numpy(), y.numpy(), lr, 1))
    rows = [one_row("NumPy loop", slow, peak), one_row("plain torch", by_torch, torch_peak, error)]
    claims, cores = [], torch.get_num_threads()
    for count in sorted({1, cores}):
        for batch in BATCHES:
            with _common.threads(count):
                found, each, peak = measure_ours(initialise(first.sizes, batch, seed=0), x, y, lr)
            rows.append(
                one_row(f"ccprune, batch {batch}, {count} thread(s)", each, peak, _differ(parts(found, 0), expected))
            )
            if batch == 256 and count == cores:
                text = f"training, networks per second, batch {batch}, {count} thread(s), times the NumPy loop"
                claims.append(_common.claim(text, slow / each, least=CLAIMED))
    for batch in BATCHES:
        if torch.cuda.is_available():
            start = initialise(first.sizes, batch, seed=0).to("cuda")
            found, each, peak = measure_ours(start, x.cuda(), y.cuda(), lr)
            error = _differ(parts(found.to("cpu"), 0), expected)
            rows.append(one_row(f"ccprune, batch {batch}, CUDA", each, peak, error))
        else:
            rows.append(_common.row(TASK, f"ccprune, batch {batch}, CUDA", size, None, note="no CUDA device here"))
    _common.save("training", rows, claims)


def _differ(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(_common.agree(a.reshape(b.shape), b, within=1e-9, what="the NumPy loop") for a, b in pairs)


if __name__ == "__main__":
    main()
