"""Training with and without a recorder, and the memory of a process that does one of them; run by recorder.py."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import _common
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ccprune.lasso import Condition, Screen
from ccprune.mask import Mask, jaccard_kept
from ccprune.recording import Recorder
from replication.data import text
from replication.networks import models
from replication.networks.decoder import transformer

STEPS = 500  # recorded for a mask
SPARSITY = 0.9
KINDS = {  # pairing, momentum
    "consecutive": ("consecutive", False),
    "momentum": ("consecutive", True),
    "same_batch": ("same_batch", False),
}


@dataclass(frozen=True)
class Case:
    """A model, what it is trained on, and how often each kind takes its turn."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]  # of an image, or the length of a piece of text
    batch: int
    small: int  # batch of the processes whose memory is measured: a large one's activations would hide what is added
    turns: int
    kinds: tuple[str, ...]

    @property
    def of_text(self) -> bool:
        """Rather than of images."""
        return len(self.shape) == 1

    def data(self, batch: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of made-up images, or of text."""
        if self.of_text:
            tokens = text.python_topics().train
            yield from text.batches(tokens, length=self.shape[0], batch_size=batch, steps=steps, seed=0)
            return
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            x = torch.randn(batch, *self.shape, generator=generator)
            yield x, torch.randint(10, (batch,), generator=generator)

    def size(self, batch: int) -> str:
        """Of a step, in words."""
        return f"batch {batch} of {' x '.join(map(str, self.shape))}{' tokens' if self.of_text else ''}"


CASES = {
    "LeNet": Case(lambda: models.lenet(1, 28, 10, seed=0), (1, 28, 28), 512, 64, 21, tuple(KINDS)),
    "ResNet-18": Case(lambda: models.resnet18(3, 10, seed=0), (3, 32, 32), 512, 4, 3, ("consecutive", "momentum")),
    "transformer": Case(lambda: transformer(text.VOCABULARY, seed=0), (128,), 16, 4, 7, tuple(KINDS)),
}


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3)


def recording(model: nn.Module, optimizer: torch.optim.Optimizer, kind: str) -> tuple[Screen, Recorder]:
    pairing, momentum = KINDS[kind]
    screen = Screen(momentum=momentum, dtype=torch.float32)
    return screen, Recorder(model, optimizer, [screen], pairing=pairing)


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model(x).flatten(0, -2), y.flatten())


def step(model: nn.Module, optimizer: torch.optim.Optimizer, recorder: Recorder | None, x: Tensor, y: Tensor) -> None:
    loss = loss_of(model, x, y)
    optimizer.zero_grad()
    loss.backward()
    if recorder is not None:
        recorder.before_step(loss)
    optimizer.step()
    if recorder is not None and recorder.pairing == "same_batch":
        with torch.no_grad():
            recorder.after_step(loss_of(model, x, y))


def seconds(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def penalty(screen: Screen, condition: Condition) -> float:
    """The penalty whose mask prunes SPARSITY, by bisection: a mask takes a bit per weight, a sorted list 24 bytes."""
    low, high = -60.0, 20.0  # powers of 10
    for _ in range(40):
        middle = (low + high) / 2
        sparsity = screen.mask(10**middle, condition=condition).sparsity
        if abs(sparsity - SPARSITY) < 1e-4:
            break
        low, high = (middle, high) if sparsity < SPARSITY else (low, middle)
    return 10**middle


def process(name: str, kind: str, steps: int) -> dict[str, float]:
    """Trains in this process: seconds a step, and peak memory; of a long run also with a mask made."""
    case = CASES[name]
    model = case.make()
    optimizer = sgd(model)
    screen, recorder = (None, None) if kind == "plain" else recording(model, optimizer, kind)
    took = [seconds(lambda x=x, y=y: step(model, optimizer, recorder, x, y)) for x, y in case.data(case.small, steps)]
    answer = {"seconds": statistics.median(took), "total": sum(took), "peak_mb": _common.peak_mb()}
    if screen is None or screen.records < STEPS:
        return answer
    recorder.close()
    optimizer.zero_grad()
    condition = screen.condition()
    mask = screen.mask(penalty(screen, condition), condition=condition)
    answer |= {"records": screen.records, "ratio": condition.ratio, "sparsity": mask.sparsity}
    answer["mask_mb"] = _common.peak_mb()
    answer["overlap"] = jaccard_kept(mask, Mask.from_scores(screen.scores, sparsity=mask.sparsity))
    answer["sorted_mb"] = _common.peak_mb()
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CASES)
    parser.add_argument("kind", choices=("plain", *KINDS))
    parser.add_argument("steps", type=int)
    arguments = parser.parse_args()
    print(json.dumps(process(arguments.name, arguments.kind, arguments.steps)))


if __name__ == "__main__":
    main()
