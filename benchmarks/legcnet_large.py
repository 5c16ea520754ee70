"""LEGCNet's mask on a ResNet-18 and a transformer: what recording adds to training's seconds and peak memory.

The network is recorded for the smallest number of windows that a test with 5 lags takes. The risk is the loss on
mini-batches (ResNet-18) or on held-out text (transformer). Seconds are those of two windows at a usual batch size.
Those of recording are the seconds of recorder and optimiser less those of the optimiser in a process that does not
record. Peak memory and the mask are those of a process with small batches, whose activations do not hide what is added.
"""

import argparse
import json
import time
from itertools import chain, islice

import _common
import torch
from _recording import CASES, SPARSITY, loss_of, sgd

from ccprune.mask import Mask, prunable
from ccprune.recording import Recorder
from ccprune.scores import WeightExponents, legcnet_of_exponents
from ccprune.scores.series import stride_of
from replication.data import text

BATCH = {"ResNet-18": 128, "transformer": 16}
WINDOW, WINDOWS, LAGS = 25, 17, 5
STRIDE = stride_of(WINDOW)
FIRST = 1 + WINDOW  # steps until the first window ends; the first one only gives a loss
STEPS = {"plain": 40, "mask": FIRST + (WINDOWS - 1) * STRIDE, "time": FIRST + 2 * STRIDE}
GIGABYTES, PERCENT = 3, 15  # claims


def process(name: str, kind: str) -> dict[str, float | None]:
    """Train in this process: plain, recorded until there is a mask, or recorded with large batches for its time."""
    case = CASES[name]
    model = case.make()
    optimizer, risk = sgd(model), None
    if case.of_text:
        tokens = text.python_topics().test
        (held_out,) = text.batches(tokens, length=case.shape[0], batch_size=case.batch, steps=1, seed=1)
        risk = lambda model: loss_of(model, *held_out)  # noqa: E731
    store = WeightExponents(model, window=WINDOW, risk=risk)
    recorder = None if kind == "plain" else Recorder(model, optimizer, [store], pairing="consecutive")

    batches = case.data(case.small, STEPS[kind])
    if kind == "time":
        batches = chain(islice(batches, FIRST), case.data(BATCH[name], STEPS[kind] - FIRST))
    took = []
    for x, y in batches:
        begin = time.perf_counter()
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        passed = time.perf_counter()
        if recorder is not None:
            recorder.before_step(loss)
        optimizer.step()
        took.append((passed - begin, time.perf_counter() - passed))
    passes, updates = map(sum, zip(*took[FIRST:], strict=True))
    answer = {"passes": passes, "update": updates, "peak_mb": _common.peak_mb()}
    if kind == "mask":
        recorder.close()
        optimizer.zero_grad()
        begin = time.perf_counter()
        scores = legcnet_of_exponents(store, max_lag=LAGS)
        answer["tests"] = time.perf_counter() - begin
        mask = Mask.from_scores(scores, sparsity=SPARSITY)
        answer["weights"] = sum(weight.numel() for weight in prunable(model).values())
        answer |= {"kept": sum(mask.counts.values()), "windows": len(store.windows()[1]), "peak_mb": _common.peak_mb()}
    return answer


def measure(name: str) -> tuple[list[dict], list[dict]]:
    """Rows and claims of one model."""
    plain, made, timed = (_common.alone("legcnet_large.py", "--process", name, kind) for kind in STEPS)
    weights, threads = made["weights"], torch.get_num_threads()
    if made["kept"] != weights - int(SPARSITY * weights + 0.5) or made["windows"] != WINDOWS:
        raise SystemExit(f"the mask has a wrong count: {made}")
    case, task, count = CASES[name], f"LEGCNet on {name}", f"{weights} weights"
    optimizer = 2 * STRIDE * plain["update"] / (STEPS["plain"] - FIRST)
    training, recording = timed["passes"] + optimizer, timed["update"] - optimizer
    share = 100 * recording / training
    beyond = None if plain["peak_mb"] is None else round(made["peak_mb"] - plain["peak_mb"])
    size = f"{2 * STRIDE} steps at {case.size(BATCH[name])}, {count}"
    windows = f"{WINDOWS} windows of {WINDOW}, {count}"
    risk = "the loss on held-out text" if case.of_text else "the loss on mini-batches"
    rows = [
        _common.row(task, "training", size, training, note=f"{threads} threads"),
        _common.row(task, "ccprune, recording", size, recording, note=f"{share:.1f}% of training"),
        _common.row(
            task,
            "ccprune, tests",
            windows,
            made["tests"],
            beyond,
            note=f"{LAGS} lags; exactly {SPARSITY:.0%} pruned; risk: {risk}; MB: peak beyond training at "
            f"{case.size(case.small)}, recording and mask included",
        ),
        _common.row(
            task,
            "series of all steps",
            windows,
            None,
            note=f"not run: it stores {4 * weights * STEPS['mask'] / 1e9:.1f} GB in float32",
        ),
    ]
    claims = [_common.claim(f"{task}, recording, % of the training steps' time", share, most=PERCENT)]
    if beyond is not None:
        sentence = f"{task}, GB beyond training, mask included"
        claims.append(_common.claim(sentence, beyond * 2**20 / 1e9, most=GIGABYTES))
    return rows, claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=BATCH, default=list(BATCH), help="models (all)")
    parser.add_argument("--process", nargs=2, metavar=("NAME", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.process:
        print(json.dumps(process(*arguments.process)))
        return
    rows, claims = [], []
    for name in arguments.only:
        found = measure(name)
        rows, claims = rows + found[0], claims + found[1]
    _common.save("legcnet_large", rows, claims)


if __name__ == "__main__":
    main()
