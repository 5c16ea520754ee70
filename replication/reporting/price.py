"""Tables of what scoring costs and what sparse networks save, in the words of one language."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.reporting.counts import Row
from replication.reporting.markdown import number, table

_MEASURED = ("legcnet_mnist", "pipeline", "recorder")
#: Claims of these benchmarks on the costs of scoring, by their texts in benchmarks/.
COSTS = {
    "seconds for 41,000 weights, training included": "paper A, MNIST, scores of 41,000 weights with their training (s)",
    "and GB of memory for them": "its memory (GB)",
    "minutes for 200 networks x 6 datasets": "paper A, replication of 6 datasets with 200 networks each (min)",
    "ResNet-18, batch 512, recording consecutive steps alone, % of an SGD step": (
        "ResNet-18, batch 512, recording alone (% of a training step)"
    ),
    "ResNet-18, numbers held per weight": "ResNet-18, numbers held for each weight",
    "ResNet-18, a mask from 500 recorded steps, MB beyond training": (
        "ResNet-18, memory beyond training for a mask from 500 recorded steps (MB)"
    ),
}
COSTS_HEAD = ("measured", "goal", "found", "")
COSTS_WORDS = ("at most {}", "at least {}", "met", "missed")
OPERATIONS_HEAD = ("sparsity", "inference: mask only", "inference: CSR", "training: mask only", "training: CSR")


def costs(
    benchmarks: Mapping[str, Mapping[str, Any]],
    *,
    texts: Mapping[str, str] = COSTS,
    head: Sequence[str] = COSTS_HEAD,
    words: Sequence[str] = COSTS_WORDS,
) -> str:
    """Return a table in Markdown of the costs of scoring and recording: the benchmarks' goals and what was measured.

    Parameters
    ----------
    benchmarks : mapping
        Contents of the benchmarks' results by name.
    texts
        What was measured, by the claims' texts.
    head, words
        Headings, and the words for an upper goal, a lower goal, a goal that is met, and one that is not.
    """
    most, least, met, missed = words
    claims = [claim for name in _MEASURED for claim in benchmarks.get(name, {}).get("claims", ())]
    lines = [
        [
            texts[claim["text"]],
            most.format(number(claim["most"])) if claim["most"] is not None else least.format(number(claim["least"])),
            number(claim["measured"]),
            met if claim["holds"] else missed,
        ]
        for claim in claims
        if claim["text"] in texts
    ]
    return table(head, lines)


def operations(rows: Sequence[Row], *, head: Sequence[str] = OPERATIONS_HEAD) -> str:
    """Return a table of the times of masked and sparse networks relative to dense, paper A's network for MNIST."""
    chosen = [row for row in rows if row["table"] == "operations" and row["quantity"] == "time_over_dense"]
    data = sorted({row["dataset"] for row in chosen}, key=lambda name: name != "mnist")[:1]
    times = {(row["method"], row["sparsity"]): number(row["ours"]) for row in chosen if row["dataset"] in data}
    levels = sorted({sparsity for _, sparsity in times})
    forms = [f"{form}, {what}" for what in ("inference", "training step") for form in ("masked", "sparse")]
    lines = [[number(level), *(times.get((form, level), "–") for form in forms)] for level in levels]
    return table(head, lines)
