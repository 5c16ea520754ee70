"""What recording adds to a step of plain SGD (paper B, 2024): seconds, and numbers held per prunable weight.

One model, and one optimiser each for plain steps, "consecutive" and "same_batch" recording for `lasso.Screen`; the
three take turns, so that a busy machine slows all alike, and the medians are compared, of seconds and of the CPU's
seconds. A step is a forward pass, a backward pass and the update. The difference of two long times is a poor measure of
a short one, so the recorder's own time is measured alone, too: steps of an optimiser that has no gradients do nothing
but what the hooks do.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable

import _common
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ccprune import models
from ccprune.lasso import Screen
from ccprune.mask import prunable
from ccprune.recorder import Recorder

EPOCHS = 10  # of recorded steps in each of the 2024 protocol's iterations
CASES = {
    # model, (channels, size), training images: Fashion-MNIST, CIFAR-10
    "LeNet": (lambda: models.lenet(1, 28, 10, seed=0), (1, 28), 60_000),
    "ResNet-18": (lambda: models.resnet18(3, 10, seed=0), (3, 32), 50_000),
}


def held_bytes() -> int:
    """Bytes of all tensors alive, each storage once."""
    gc.collect()
    storages = [item.untyped_storage() for item in gc.get_objects() if issubclass(type(item), Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, recorder: Recorder | None, x: Tensor, y: Tensor) -> None:
    loss = cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    if recorder is not None:
        recorder.before(loss)
    optimizer.step()
    if recorder is not None and recorder.pairing == "same_batch":
        with torch.no_grad():
            recorder.after(cross_entropy(model(x), y))


def seconds(call: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds that the CPU's cores worked for this process."""
    begin, work = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - work


def medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    wall, work = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(work)


def numbers_per_weight(model: nn.Module, weights: int) -> float:
    """float32 numbers that recorder and store hold between two steps."""
    optimizer, loss = sgd(model), torch.tensor(1.0)
    optimizer.zero_grad()
    before = held_bytes()
    recorder = Recorder(model, optimizer, [Screen()], pairing="consecutive")
    for _ in range(2):
        recorder.before(loss)
        optimizer.step()
    numbers = (held_bytes() - before) / 4 / weights
    recorder.close()
    return numbers


def recording_alone(model: nn.Module, repeats: int) -> tuple[float, float]:
    optimizer, loss = sgd(model), torch.tensor(1.0)
    optimizer.zero_grad()
    with Recorder(model, optimizer, [Screen()], pairing="consecutive") as recorder:

        def once() -> None:
            recorder.before(loss)
            optimizer.step()

        once()
        return medians([seconds(once) for _ in range(repeats)])


def case(name: str, batch: int, repeats: int) -> list[dict]:
    make, (channels, size), images = CASES[name]
    model = make()
    weights = sum(weight.numel() for weight in prunable(model).values())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, size, size, generator=generator)
    y = torch.randint(10, (batch,), generator=generator)
    numbers = numbers_per_weight(model, weights)
    optimizers = [sgd(model) for _ in range(3)]
    kinds = ["plain", "consecutive", "same_batch"]
    recorders = [None] + [
        Recorder(model, optimizer, [Screen()], pairing=kind)
        for kind, optimizer in zip(kinds[1:], optimizers[1:], strict=True)
    ]
    times: list[list[tuple[float, float]]] = [[], [], []]
    for turn in range(repeats + 1):
        for took, optimizer, recorder in zip(times, optimizers, recorders, strict=True):
            took.append(seconds(lambda o=optimizer, r=recorder: step(model, o, r, x, y)))
        if not turn:
            times = [[], [], []]  # the first turn allocates
    for recorder in recorders[1:]:
        recorder.close()
    plain, consecutive, same_batch = (medians(took) for took in times)
    alone = recording_alone(model, max(repeats, 5))
    steps = EPOCHS * -(-images // batch)
    stored = 4 * weights * steps
    note = f"median of {repeats} turns, {torch.get_num_threads()} threads"
    task, text = f"SGD step of {name}", f"batch {batch} of {channels} x {size} x {size}, {weights} weights"
    held = numbers * weights * 4 / 2**20
    storage = (
        f"MB: {numbers:.2f} numbers per weight held; the authors' way stores {stored / 1e9:.1f} GB "
        f"({steps} steps x weights x 4 bytes)"
    )

    def added(found: tuple[float, float]) -> str:
        return f"{found[0] / plain[0] - 1:+.1%} of the step, {found[1] / plain[1] - 1:+.1%} of its CPU seconds"

    share = f"{alone[0] / plain[0]:.1%} of the step, {alone[1] / plain[1]:.1%} of its CPU seconds"
    rows = [
        ("plain", plain, None, note),
        ("ccprune, consecutive", consecutive, held, f"{added(consecutive)}; {note}; {storage}"),
        ("ccprune, recording alone", alone, None, f"{share}; consecutive, measured by itself"),
        ("ccprune, same_batch", same_batch, None, f"{added(same_batch)}, a forward pass among it"),
    ]
    return [_common.row(task, tool, text, took[0], peak, None, said) for tool, took, peak, said in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="models (all)")
    parser.add_argument("--batch", type=int, default=512, help="batch size (512)")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        rows += case(name, arguments.batch, repeats={"LeNet": 31, "ResNet-18": 4}[name])
    _common.save("recorder", rows)


if __name__ == "__main__":
    main()
