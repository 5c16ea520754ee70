"""What counts and quotients in the released files show about how the figures were made."""

from fractions import Fraction

from replication.causal.released.counts import zeros
from replication.causal.released.figures import Figure, Released
from replication.causal.released.text import Statement, count, listed, span
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.paired import holm

_SHRINKBENCH = ("shrinkbench_resnet20", "shrinkbench_resnet56")
_IMAGES, _CLASSES = 10_000, 10
_NAMES = {"resnet20": "ResNet-20", "resnet56": "ResNet-56", "vgg-like": "VGG-like", "mobilenet_v1": "MobileNet V1"}
# Entries of all tensors called weight: what the released shares of zeros are shares of.
_ENTRIES = {"resnet20": 271_680, "vgg-like": 14_981_952, "mobilenet_v1": 4_220_032, "resnet50": 25_529_472}
# A share of zeros with 16 digits times the right number of entries is whole but for rounding.
_WHOLE = 1e-6
_PACE = (
    "So causal and magnitude pruning were cut at a different pace wherever the counts show it, and a difference "
    "between them may come from the pace. "
)
_FAULT = (
    "Accuracy at chance at so small a compression, in both networks, is as well explained by a fault of these runs, "
    "such as a network state that was not put back, as by the masks; the files cannot show which. "
)


def at_chance(correct: int, images: int, chance: float) -> float:
    """Two-sided p-value of a number of correct answers if every answer is a guess (exact binomial test)."""
    from scipy.stats import binomtest  # slow to import

    return float(binomtest(correct, images, chance).pvalue)


#: Title of the statement to which our own run of the design is added.
SHRINKBENCH = "ShrinkBench: before and after retraining"


def shrinkbench(released: Released) -> Statement:
    """ShrinkBench: causal networks before retraining against chance, and both methods after it."""
    p_values, before, lines = [], {}, []
    for figure in released.select(*_SHRINKBENCH, quantity="top5_before_retraining"):
        before[figure.network, figure.method, figure.details["compression_asked"]] = figure.value
        p_values.append(at_chance(round(figure.value * _IMAGES), _IMAGES, 5 / _CLASSES))
    guesses = {key: p >= SIGNIFICANCE for key, p in zip(before, holm(p_values), strict=True)}
    after = {
        (figure.network, figure.method, figure.details["compression_asked"]): figure.value
        for figure in released.select(*_SHRINKBENCH, quantity="top1_after")
    }
    parts = []
    for method in ("causal", "magnitude"):
        chosen = [key for key in guesses if key[1] == method]
        chance = [key for key in chosen if guesses[key]]
        parts.append(f"{len(chance)} of {len(chosen)} networks with {method} masks")
    least = min(key[2] for key in before)
    first = [before[key] for key in before if key[1:] == ("causal", least)]
    other = [before[key] for key in before if key[1:] == ("magnitude", least)]
    at_least = [guesses[key] for key in guesses if key[1:] == ("causal", least)]
    behind = []
    for network in dict.fromkeys(key[0] for key in after):
        ratios = [key[2] for key in after if key[:2] == (network, "causal")]
        gaps = [after[network, "causal", ratio] - after[network, "magnitude", ratio] for ratio in ratios]
        points = [-100 * gap for gap in gaps if gap < 0]
        behind.append(
            f"{len(points)} of {len(gaps)} compressions on {_NAMES[network]}"
            + (f" (by {span(points, 1)} percentage points)" if points else "")
        )
        for ratio, gap in zip(ratios, gaps, strict=True):
            values = (*(before[network, m, ratio] for m in ("causal", "magnitude")),)
            lines.append((_NAMES[network], f"{ratio:g}×", *(f"{value:.4f}" for value in values), f"{100 * gap:+.1f}"))
    text = (
        f"Before retraining, the top-5 accuracy cannot be distinguished from guessing for {listed(parts)}. Already at "
        f"{least:g}×, causal networks have {span(first)} where magnitude networks have {span(other)}; "
        f"{5 / _CLASSES:g} is chance with {_CLASSES} classes. {_FAULT if all(at_least) else ''}After retraining causal "
        f"pruning is behind magnitude pruning at {listed(behind)}."
    )
    caveat = (
        "One seed, one-shot pruning; the flags of the causal runs were not released. Exact binomial tests on "
        f"{_IMAGES:,} images with Holm's correction, {100 * SIGNIFICANCE:g}%. Causal pruning keeps "
        f"{_more_weights(released)}% more weights than magnitude pruning, because its share is of the convolutions "
        "only. Accuracy after retraining is that of the best test epoch."
    )
    head = (
        "network",
        "compression",
        "top-5 before, causal",
        "top-5 before, magnitude",
        "top-1 after, difference, points",
    )
    return Statement(SHRINKBENCH, text, caveat, head, tuple(lines))


def schedules(released: Released) -> Statement:
    """Which schedule the exact counts of zeros show, for settings in which cubic and geometric cuts differ."""
    decided, lines, gaps = {"causal": [], "magnitude": []}, [], []
    for row in released.schedule:
        prunable = _prunable(row)
        cuts = {"cuts": row["after_iteration"], "iterations": row["iterations"]}
        expected = {
            name: zeros(prunable, row["sparsity_asked"], schedule=name, **cuts) for name in ("cubic", "geometric")
        }
        if expected["cubic"] == expected["geometric"]:
            continue
        matches = [name for name, value in expected.items() if value == row["zeros_reported"]]
        decided[row["method"]].append(matches[0] if matches else "neither")
        gaps.append(abs(expected["cubic"] - expected["geometric"]))
        numbers = (row["zeros_reported"], expected["cubic"], expected["geometric"])
        case = (
            f"{_NAMES.get(row['model'], row['model'])} on {row['dataset']}, {row['method']}, {row['sparsity_asked']:g}"
        )
        cut = f"{row['after_iteration']} of {row['iterations']}"
        lines.append((case, cut, *(f"{number:,}" for number in numbers)))
    fitting = [
        f"{sum(one == name for one in found)} of {len(found)} {method} settings fit the {name} schedule"
        for method, name in (("causal", "cubic"), ("magnitude", "geometric"))
        if (found := decided[method])
    ]
    differ = set(decided["causal"]) == {"cubic"} and set(decided["magnitude"]) == {"geometric"}
    text = (
        f"The released shares of zeros are exact counts. In {len(gaps)} of {len(released.schedule)} settings the two "
        f"schedules give different counts: {listed(fitting)}. In the other {len(released.schedule) - len(gaps)} they "
        f"give the same count. {_PACE if differ else ''}"
    )
    caveat = (
        "The counts show the schedule and not the fit behind the scores, which is not recorded. Both schedules end "
        f"at the same sparsity. The two schedules' counts differ by {min(gaps):,} to {max(gaps):,} weights; the "
        "smallest differences are rounding."
    )
    head = ("setting", "cut", "zeros released", "cubic", "geometric")
    return Statement("The schedule that the counts of zeros show", text.strip(), caveat, head, tuple(lines))


def names(released: Released) -> Statement:
    """Networks that the counts of zeros show under another name, and accuracies with another divisor."""
    filed = released.select("resnet20_cifar10_filed_under_vgg", quantity="test_accuracy_last_epoch")
    fits = [figure for figure in filed if _is_whole(figure, "resnet20") and not _is_whole(figure, "vgg-like")]
    mobile = released.one("mobilenet_imagenet")
    quotients = [
        (_printed(released, figure), figure.value)
        for figure in released.select(*_SHRINKBENCH)
        if figure.quantity in ("top5_before_retraining", "top1_after", "top5_after")
    ]
    batch = released.settings[_SHRINKBENCH[0]]["retraining"]["batch"]
    batches = -(-_IMAGES // batch)
    # The file prints six decimals, so that a whole number of images is met to within half a unit of the last one.
    whole = [abs(batches * batch * one - round(batches * batch * one)) < 0.01 for one, _ in quotients]
    factors = [printed / value for printed, value in quotients]
    mobile_only = "is" if _is_whole(mobile, "mobilenet_v1") and not _is_whole(mobile, "resnet50") else "is not"
    text = (
        f"In a file named after the VGG-like network, {len(fits)} of {count(len(filed), 'row')} with another number "
        "of cuts have shares of zeros that are whole counts for ResNet-20 and not for the VGG-like network. The "
        "figure for ImageNet is a remark without a model name at the end of a script whose last function for "
        f"ImageNet is ResNet-50; its share of zeros {mobile_only} a whole count for MobileNet V1 and not for "
        f"ResNet-50. ShrinkBench's accuracies are printed as {span(factors)} of their value, "
        f"{100 * (1 - sum(factors) / len(factors)):.1f}% too low: {sum(whole)} of {len(whole)} are whole numbers of "
        f"images when multiplied by {batches * batch:,}, {batches} full batches of {batch}, where the test set has "
        f"{_IMAGES:,} images."
    )
    caveat = (
        "These concern filing and averaging and change no comparison between the methods: all networks of "
        "ShrinkBench have the same divisor. The rows here bear the inferred names and the corrected accuracies, with "
        "the printed ones in their notes."
    )
    return Statement("Names and divisors", text, caveat)


def _more_weights(released: Released) -> str:
    """By how many per cent the causal networks of ShrinkBench keep more weights than the magnitude networks."""
    left = {
        (figure.network, figure.details["compression_asked"], figure.method): figure.value
        for figure in released.select(*_SHRINKBENCH, quantity="weights_left")
    }
    pairs = [(value, left[*key[:2], "magnitude"]) for key, value in left.items() if key[2] == "causal"]
    return span([100 * (causal / magnitude - 1) for causal, magnitude in pairs], 1)


def _prunable(row: dict) -> int:
    """Prunable weights of a network of the file's list of counts, as its groups state them."""
    return {
        ("resnet20", "cifar10"): 270_896,
        ("vgg-like", "cifar10"): 14_977_728,
        ("vgg-like", "tinyimagenet"): 15_111_872,
        ("lenet", "mnist"): 430_500,
    }[row["model"], row["dataset"]]


def _is_whole(figure: Figure, network: str) -> bool:
    product = float(Fraction(figure.zeros) * _ENTRIES[network])
    return abs(product - round(product)) < _WHOLE


def _printed(released: Released, figure: Figure) -> float:
    wanted = {"method": figure.method, "compression_asked": figure.details["compression_asked"]}
    return released.one(figure.group, quantity=f"{figure.quantity}_as_printed", **wanted).value
