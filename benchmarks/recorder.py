"""What recording for `lasso.Screen` adds to a step of plain SGD: seconds, numbers held per weight, and peak memory.

One model, and one optimiser each for plain steps and every way of recording; they take turns, so that a busy machine
slows all alike, and medians are compared. A step is a forward pass, a backward pass and the update. The difference of
two long times is a poor measure of a short one, so the recorder's own time is measured alone, too: steps of an
optimiser that has no gradients do nothing but what the hooks do. Peak memory is that of a process of its own, beyond a
process that trains the same without recording, of either the lowest of three. Sums are float32.
"""

import argparse
import gc
import statistics

import _common
import torch
from _recording import CASES, SPARSITY, STEPS, Case, recording, seconds, sgd, step
from torch import Tensor, nn

from ccprune.lasso import Screen
from ccprune.mask import Mask, prunable
from ccprune.recording import Recorder
from replication.data import text

MB, PERCENT, NUMBERS = 100, 10, 2  # claims for ResNet-18
# Numbers read and written per weight: a copy, a difference, and what the screen adds.
MOVED = {"consecutive": 2 + 3 + 3, "same_batch": 2 + 3 + 3, "momentum": 2 + 3 + 9}
PROCESSES = 3  # whose lowest peak is remark


def held_bytes() -> int:
    """Bytes of all tensors alive, each storage once."""
    gc.collect()
    storages = [item.untyped_storage() for item in gc.get_objects() if issubclass(type(item), Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def alone(model: nn.Module, kind: str, repeats: int) -> tuple[float, float]:
    """Seconds of a step's hooks, and numbers that recorder and store hold per weight, in float32's bytes."""
    optimizer, loss = sgd(model), torch.tensor(1.0)
    optimizer.zero_grad()
    before = held_bytes()
    screen, recorder = recording(model, optimizer, kind)

    def once() -> None:
        recorder.before_step(loss)
        optimizer.step()
        if recorder.pairing == "same_batch":
            recorder.after_step(loss)

    for _ in range(3):
        once()
    held = held_bytes() - before
    took = statistics.median(seconds(once) for _ in range(repeats))
    recorder.close()
    return took, held / 4 / sum(score.numel() for score in screen.scores.values())


def turns(case: Case, model: nn.Module, batch: int) -> dict[str, float]:
    """Median seconds of a step of each kind."""
    optimizers = {kind: sgd(model) for kind in ("plain", *case.kinds)}
    recorders = {kind: recording(model, optimizers[kind], kind)[1] for kind in case.kinds}
    took: dict[str, list[float]] = {kind: [] for kind in optimizers}
    for x, y in case.data(2, 3):  # allocates what is held
        for kind, optimizer in optimizers.items():
            step(model, optimizer, recorders.get(kind), x, y)
    for x, y in case.data(batch, case.turns):
        for kind, optimizer in optimizers.items():
            took[kind].append(seconds(lambda o=optimizer, k=kind, x=x, y=y: step(model, o, recorders.get(k), x, y)))
    for recorder in recorders.values():
        recorder.close()
    return {kind: statistics.median(times) for kind, times in took.items()}


def in_a_process(name: str, kind: str, steps: int, peak: str = "peak_mb") -> dict[str, float]:
    """The answer with the lowest peak: it differs by some MB between processes that do the same."""
    answers = [_common.alone("_recording.py", name, kind, str(steps)) for _ in range(PROCESSES)]
    return min(answers, key=lambda answer: answer[peak] or 0.0)


def added_memory(answer: dict[str, float], plain: dict[str, float], peak: str = "peak_mb") -> float | None:
    return None if plain["peak_mb"] is None else round(answer[peak] - plain["peak_mb"], 1)


def compare(name: str, batch: int) -> tuple[list[dict], list[dict]]:
    case = CASES[name]
    model = case.make()
    weights = sum(weight.numel() for weight in prunable(model).values())
    medians = turns(case, model, batch)
    lone = {kind: alone(model, kind, max(case.turns, 9)) for kind in case.kinds}
    del model
    plain = in_a_process(name, "plain", 6)
    task, size = f"SGD step of {name}", f"{case.size(batch)}, {weights} weights"
    note = f"median of {case.turns} turns, {torch.get_num_threads()} threads"
    if case.of_text:
        note += f"; Python's help pages, SHA-256 {text.python_topics().checksum[:12]}, which differs by Python version"
    rows, claims = [_common.row(task, "plain", size, medians["plain"], note=note)], []
    for kind in case.kinds:
        forward = ", a forward pass among it" if kind == "same_batch" else ""
        took, numbers = lone[kind]
        remark = (
            f"{medians[kind] / medians['plain'] - 1:+.1%} of the step{forward}; MB: peak beyond training at "
            f"{case.size(case.small)}; {numbers:.2f} float32 numbers per weight held"
        )
        peak = added_memory(in_a_process(name, kind, 6), plain)
        rows.append(_common.row(task, f"ccprune, {kind}", size, medians[kind], peak, note=remark))
        limit = _common.share(took, torch.get_num_threads(), moved=4 * weights * MOVED[kind])
        remark = f"{took / medians['plain']:.2%} of the step; without forward passes, measured by itself; {limit}"
        rows.append(_common.row(task, f"ccprune, {kind}, recording alone", size, took, note=remark))
    if name == "ResNet-18":
        more = mask_of(name, weights)
        share = 100 * lone["consecutive"][0] / medians["plain"]
        sentence = f"ResNet-18, batch {batch}, recording consecutive steps alone, % of an SGD step"
        difference = 100 * (medians["consecutive"] / medians["plain"] - 1)
        claims = [
            _common.claim(sentence, share, most=PERCENT),
            _common.claim(sentence.replace("alone", "as the difference of two steps"), difference, most=PERCENT),
            _common.claim("ResNet-18, numbers held per weight", lone["consecutive"][1], most=NUMBERS + 0.01),
            *more[1],
        ]
        rows += more[0]
    return rows, claims


def mask_of(name: str, weights: int) -> tuple[list[dict], list[dict]]:
    """A mask from STEPS records, from beginning to end, in a process of its own."""
    case = CASES[name]
    # Against as many plain steps: a process that trains grows for some hundred of them.
    plain = in_a_process(name, "plain", STEPS + 1)
    found = in_a_process(name, "consecutive", STEPS + 1, "mask_mb")
    if found["records"] != STEPS or found["overlap"] < 0.99:
        raise SystemExit(f"the mask is not that of the scores: {found}")
    stored = 4 * weights * STEPS
    size = f"{STEPS} records at {case.size(case.small)}, {weights} weights"
    beyond = added_memory(found, plain, "mask_mb")
    note = (
        f"{found['seconds'] / plain['seconds'] - 1:+.1%} of a step at this batch; MB: beyond training, mask included; "
        f"{found['sparsity']:.2%} pruned, predictions within {found['ratio']:.1e} of dL"
    )
    rows = [
        _common.row(f"mask of {name}", "ccprune, Screen.mask", size, found["total"], beyond, note=note),
        _common.row(
            f"mask of {name}",
            "ccprune, Mask.from_scores",
            size,
            found["total"],
            added_memory(found, plain, "sorted_mb"),
            note="the same with an exact count: all scores sorted, after training, in float64",
        ),
        _common.row(
            f"mask of {name}",
            "the authors' way",
            size,
            None,
            round(stored / 2**20),
            note=f"not run: it stores {stored / 1e9:.1f} GB, {STEPS} steps x weights x 4 bytes",
        ),
    ]
    sentence = f"{name}, a mask from {STEPS} recorded steps, MB beyond training"
    return rows, [] if beyond is None else [_common.claim(sentence, beyond * 2**20 / 1e6, most=MB)]


def precision() -> dict:
    """Masks from float32 and from float64 sums of the same records."""
    case = CASES["LeNet"]
    model = case.make()
    optimizer, screens = sgd(model), [Screen(dtype=dtype) for dtype in (torch.float32, torch.float64)]
    with Recorder(model, optimizer, screens, pairing="consecutive") as recorder:
        took = sum(
            seconds(lambda x=x, y=y: step(model, optimizer, recorder, x, y))
            for x, y in case.data(case.small, STEPS + 1)
        )
    narrow, wide = (torch.cat([score.flatten() for score in screen.scores.values()]) for screen in screens)
    ours, theirs = (Mask.from_scores(screen.scores, sparsity=SPARSITY).keep for screen in screens)
    other = sum(int((ours[name] & ~theirs[name]).sum()) for name in ours)
    if other > 1e-5 * len(wide):
        raise SystemExit(f"masks from float32 and float64 sums differ in {other} of {len(wide)} weights")
    note = (
        f"{other} of {len(wide)} weights change places in a mask of {SPARSITY:.0%}; error: largest difference of a "
        "score from float64's, of the largest score"
    )
    size = f"{STEPS} records at {case.size(case.small)}, {len(wide)} weights"
    error = float(((narrow - wide).abs() / wide.max()).max())
    return _common.row("mask of LeNet", "ccprune, float32 sums", size, took, None, error, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES), help="models (all)")
    parser.add_argument("--batch", type=int, help="batch size (512 images, 16 texts)")
    arguments = parser.parse_args()
    rows, claims = [], []
    for name in arguments.only:
        found = compare(name, arguments.batch or CASES[name].batch)
        rows, claims = rows + found[0], claims + found[1]
    if "LeNet" in arguments.only:
        rows.append(precision())
    _common.save("recorder", rows, claims)


if __name__ == "__main__":
    main()
