"""Costs of both papers' scores for a billion weights and more; ``python -m replication.beyond.scale`` writes a page."""

from pathlib import Path
from textwrap import fill

import numpy as np
from scipy.stats import binom, quantile_test

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
#: Assumed accelerator, with round numbers of an H100 SXM that were not checked: bytes of memory; bytes and operations
#: a second; bytes a second that a rank sends, over NVLink within a node of 8 and over a 400 Gb/s adapter between nodes.
MEMORY, BANDWIDTH, OPERATIONS, NODE, NETWORK = 80e9, 3.35e12, 989e12, 450e9, 50e9
UTILISATION, TOKENS = 0.4, 2**20  # of the operations in training; tokens a step, over all ranks
WINDOW, STRIDE, WINDOWS = 25, 22, 20  # of LEGCNet's exponents; 17 windows are the least for 5 lags
MODELS = ((1e9, 8), (7e9, 8), (7e9, 64), (70e9, 64), (70e9, 512), (1e12, 4096))  # weights, ranks
TRAINING = 16  # bytes a weight: float32 weight and gradient, AdamW's two moments
#: Bytes a weight that a score holds beside training.
HELD = {
    "causal": 4 + 8,  # the weight before the step, and a float64 sum
    "LEGCNet": 4 + 4 * WINDOW + 8 * WINDOWS,  # the weight before the step, a float32 window, float64 exponents
    "LEGCNet, float16": 4 + 4 * WINDOW + 2 * WINDOWS,
    "LEGCNet, a tenth": 4 + (4 * WINDOW + 8 * WINDOWS) / 10,
}
_RECORDER = 2 * 4 + 3 * 4 + 2 * 4  # the copy, the difference and its sign: numbers read and written
_POINTS = WINDOW - 1 - 3  # of a window that have neighbours, in two dimensions and with three steps to follow
#: Bytes a weight that a recorded step moves in the accelerator's memory.
MOVED = {
    "causal": _RECORDER + 4 + 2 * 8,  # the change, and the sum read and written
    # The row is made and copied; the window's float64 distances of all pairs are written and read, once a stride.
    "LEGCNet": _RECORDER + 4 * 4 + (4 * WINDOW + 2 * 8 * _POINTS**2) / STRIDE,
}


def threshold_interval(scores: np.ndarray, sparsity: float) -> tuple[float, float, float]:
    """Return the threshold of a sparsity from a random sample of the scores, and its 95% interval.

    The bounds are order statistics of the sample, by the binomial distribution, so that they hold for scores of any
    distribution, also with ties (Conover 1999, Practical Nonparametric Statistics, section 3.2). For a sample without
    replacement, as of a tenth of the weights, they are wider than necessary.

    Parameters
    ----------
    scores : array (n,)
        Scores of randomly drawn weights.
    sparsity : float
        Pruned fraction of all weights, in (0, 1).

    Returns
    -------
    threshold, low, high : float
        A bound is NaN where the sample is too small for 95%.

    Raises
    ------
    ValueError
        For a sparsity outside (0, 1).
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity must lie in (0, 1), got {sparsity}")
    interval = quantile_test(scores, p=sparsity).confidence_interval(0.95)
    return float(np.quantile(scores, sparsity, method="inverted_cdf")), float(interval.low), float(interval.high)


def coverage(population: np.ndarray, sparsity: float, *, sample: int, draws: int, seed: int) -> float:
    """Return the share of random samples, without replacement, whose interval holds the population's threshold."""
    generator, truth = np.random.default_rng(seed), np.quantile(population, sparsity, method="inverted_cdf")
    hits = 0
    for _ in range(draws):
        _, low, high = threshold_interval(generator.choice(population, sample, replace=False), sparsity)
        hits += low <= truth <= high
    return hits / draws


def populations(size: int, *, seed: int) -> dict[str, np.ndarray]:
    """Return scores of three kinds: 1 - p without an effect, with a tenth of ties at 1; magnitudes; heavy tails."""
    generator = np.random.default_rng(seed)
    uniform = generator.random(size)
    uniform[: size // 10] = 1.0
    return {
        "LEGCNet without an effect": uniform,
        "magnitudes": np.abs(generator.standard_normal(size)),
        "causal, heavy tails": generator.standard_cauchy(size) ** 2,
    }


def costs() -> tuple[list[list[str]], list[list[str]]]:
    """Return rows of memory a rank in GB with a mark where it does not fit, and rows of milliseconds a step."""
    memory, time = [], []
    for weights, ranks in MODELS:
        share = weights / ranks
        held = [f"{weights:.0e}".replace("e+0", "e").replace("e+", "e"), f"{ranks:,}", f"{TRAINING * share / 1e9:.1f}"]
        for held_bytes in HELD.values():
            total = (TRAINING + held_bytes) * share
            held.append(f"{total / 1e9:.1f}" + ("" if total <= MEMORY else " (too much)"))
        memory.append(held)
        computed = 6 * weights * TOKENS / (ranks * UTILISATION * OPERATIONS)
        sent = 8 * weights * (ranks - 1) / ranks
        ms = [1e3 * computed, 1e3 * sent / (NODE if ranks <= 8 else NETWORK)]
        ms += [1e3 * moved * share / BANDWIDTH for moved in MOVED.values()]
        time.append(
            [*held[:2], *(f"{moved * share / 1e9:.1f}" for moved in MOVED.values()), f"{sent / 1e9:.1f}"]
            + [f"{value:.1f}" for value in ms]
        )
    return memory, time


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def page(*, draws: int = 400) -> str:
    """Return docs/scale.md."""
    memory, time = costs()
    names = ["weights", "ranks"]
    heads = ["causal GB", "LEGCNet GB", "sent GB", "operations ms", "messages ms", "causal ms", "LEGCNet ms"]
    simulated = [
        [name, f"{sparsity:g}", f"{coverage(scores, sparsity, sample=2000, draws=draws, seed=1):.3f}"]
        for name, scores in populations(20_000, seed=0).items()
        for sparsity in (0.5, 0.9, 0.99)
    ]
    precise = []
    for weights, _ in (MODELS[0], MODELS[1], MODELS[3]):
        count = int(weights / 10)
        low, high = (binom.ppf(level, count, 0.9) / count for level in (0.025, 0.975))
        precise.append([f"{count:,}", f"{100 * low:.4f}% to {100 * high:.4f}%"])
    text = f"""# A billion weights and more

`python -m replication.beyond.scale` calculates this page; nothing on it was measured on such models. The assumed
accelerator has {MEMORY / 1e9:.0f} GB of memory, {BANDWIDTH / 1e12:g} TB/s and {OPERATIONS / 1e12:.0f} TFLOP/s
(round numbers of an H100 SXM in bfloat16, an assumption that was not checked). A rank sends
{NODE / 1e9:.0f} GB/s within a node of 8 and
{NETWORK / 1e9:.0f} GB/s between nodes. Training is FSDP2 with AdamW in float32, {TOKENS:,} tokens a step over all
ranks, at {100 * UTILISATION:.0f}% of the peak. Memory for activations is needed in addition.

## Memory of a rank

GB, including training. Paper B's score needs {HELD["causal"]} bytes a weight. LEGCNet stores one window of {WINDOW} and
{WINDOWS} finished windows, {HELD["LEGCNet"]} bytes a weight, or {HELD["LEGCNet, float16"]} with exponents in float16.

{table([*names, "training", *HELD], memory)}

## Bytes and time of a recorded step

The table lists the GB that the recorder and the score move in a rank's memory, the GB that training sends (recording
sends 8 bytes), and the milliseconds of training's operations, of its messages and of the recorded step, which memory
bandwidth limits. LEGCNet's exponents are spread over the {STRIDE} steps of a stride.

{table([*names, *heads], time)}

## What is exact, and what is sampled

Paper B's score is exact for every weight, and so is the mask: its count is that of one process ([distributed
training](distributed.md)). LEGCNet is exact as well where it fits into memory (first table). Where it does not, record
a random tenth of the weights. The sample gives an interval for the threshold of a sparsity, and the share of weights
pruned in each layer. It does not determine which of the other weights are pruned. These need their own scores, for
example from nine further recordings of a tenth each, pruned by the threshold of the first. The library has no option
for this yet, because `only` and `skip` choose layers and not weights.

The interval lies between two order statistics of the sample, by the binomial distribution. With a sample of a tenth
and a sparsity of 90%, its bounds are these quantiles of the scores at a confidence level of 95%:

{table(["weights in the sample", "quantiles"], precise)}

Coverage is the share of {draws:,} simulated samples (2,000 of 20,000 weights) whose interval contains the threshold of
all weights. It is nominally 0.95. Sampling without replacement and ties make it higher:

{table(["scores", "sparsity", "coverage"], simulated)}

## Which engine

`torch.distributed` carries one model on many ranks: `ccprune.distributed` with `Screen` for paper B and
`WeightExponents` for LEGCNet. Dask carries many small runs, the suite of this replication ([on a
cluster](cluster.md)). It never holds a part of a model.
"""
    blocks = (part if part[0] in "#|" else fill(part, 130, break_on_hyphens=False) for part in text.split("\n\n"))
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
