"""What counts and quotients in the released files show about how the figures were made."""

from collections.abc import Mapping
from fractions import Fraction

from replication.causal.released.counts import zeros
from replication.causal.released.figures import Figure, ReleasedFigures
from replication.causal.released.text import Statement, count, decimals, list_items, span

_SHRINKBENCH = ("shrinkbench_resnet20", "shrinkbench_resnet56")
_IMAGES, _CLASSES = 10_000, 10
_NAMES = {"resnet20": "ResNet-20", "resnet56": "ResNet-56", "vgg-like": "VGG-like", "mobilenet_v1": "MobileNet V1"}
# Entries of all tensors called weight: what the released shares of zeros are shares of.
_ENTRIES = {"resnet20": 271_680, "vgg-like": 14_981_952, "mobilenet_v1": 4_220_032, "resnet50": 25_529_472}
# A share of zeros with 16 digits times the right number of entries is whole but for rounding.
_WHOLE = 1e-6
_FAULT = (
    "A fault of these runs, such as a network state that was not put back, would explain so low an accuracy after so "
    "few cuts. The masks would, too, and the files cannot show which. "
)


#: Title of the statement to which our own run of the design is added.
SHRINKBENCH = "ShrinkBench: before and after retraining"


def shrinkbench(released: ReleasedFigures) -> Statement:
    """ShrinkBench: networks before retraining that may have one output for all images, and both methods after it."""
    before, after = (
        {
            (figure.network, figure.method, figure.details["compression_asked"]): figure.value
            for figure in released.select(*_SHRINKBENCH, quantity=quantity)
        }
        for quantity in ("top5_before_retraining", "top1_after")
    )
    constant = {key for key, value in before.items() if round(value * _IMAGES) == 5 * _IMAGES // _CLASSES}
    numbers = {
        method: f"{sum(key[1] == method for key in constant)} of {sum(key[1] == method for key in before)}"
        for method in ("causal", "magnitude")
    }
    others = [value for key, value in before.items() if key[1] == "causal" and key not in constant]
    least = min(key[2] for key in before)
    first, other = ([before[key] for key in before if key[1:] == (m, least)] for m in ("causal", "magnitude"))
    behind, ahead, worse, lines = [], 0, 0, []
    networks = list(dict.fromkeys(key[0] for key in after))
    for network in networks:
        ratios = [key[2] for key in after if key[:2] == (network, "causal")]
        gaps = [after[network, "causal", ratio] - after[network, "magnitude", ratio] for ratio in ratios]
        points = [-100 * gap for gap in gaps if gap < 0]
        ahead += sum(gap > 0 for gap in gaps)
        worse += len(points)
        behind.append(
            f"{len(points)} of {len(gaps)} compressions on {_NAMES[network]}"
            + (f" (by {span(points, 1)} percentage points)" if points else "")
        )
        for ratio, gap in zip(ratios, gaps, strict=True):
            values = (*(before[network, m, ratio] for m in ("causal", "magnitude")),)
            shown = decimals(100 * gap, 1, signed=True)
            lines.append((_NAMES[network], f"{ratio:g}×", *(f"{value:.4f}" for value in values), shown))
    fault = all(key in constant for key in before if key[1:] == ("causal", least))
    text = (
        f"Before retraining, {numbers['causal']} causal networks and {numbers['magnitude']} magnitude networks have "
        f"exactly {5 / _CLASSES:.0%} of the test images right in the top 5, as every network with one output for all "
        f"images has{f'; the other causal networks have {span(others)}' if others else ''}. Already at {least:g}×, "
        f"causal networks have {span(first)} where magnitude networks have {span(other)}. {_FAULT if fault else ''}"
        f"After retraining causal pruning is behind magnitude pruning at {list_items(behind)}."
    )
    epochs = [released.settings[group]["retraining"]["epochs"] for group in _SHRINKBENCH]
    caveat = (
        "One seed, one-shot pruning; the flags of the causal runs were not released. "
        f"{' and '.join(_NAMES[network] for network in networks)} were retrained for {list_items(epochs)} epochs at a "
        "small learning rate, and their accuracy is that of the best test epoch. The two methods are not at equal "
        f"counts: causal pruning keeps {_weights(released)}% more weights than magnitude pruning, "
        f"because its share is of the convolutions only, but {_operations(released)}."
    )
    head = (
        "network",
        "compression",
        "top-5 before, causal",
        "top-5 before, magnitude",
        "top-1 after, difference, points",
    )
    cases = len(lines)
    answer = (
        f"ShrinkBench, cut once, one seed: better at {ahead} of {cases} compressions and worse at {worse}"
        f"{'; a fault of these causal runs is possible' if fault else ''}."
    )
    return Statement(SHRINKBENCH, text, caveat, head, tuple(lines), "accuracy", answer)


def schedules(released: ReleasedFigures) -> Statement:
    """Which schedule the exact counts of zeros show, for settings in which cubic and geometric cuts differ."""
    decided, lines, gaps = {"causal": {}, "magnitude": {}}, [], []
    for row in released.schedule:
        prunable = _prunable(row)
        cuts = {"cuts": row["after_iteration"], "iterations": row["iterations"]}
        expected = {
            name: zeros(prunable, row["sparsity_asked"], schedule=name, **cuts) for name in ("cubic", "geometric")
        }
        if expected["cubic"] == expected["geometric"]:
            continue
        matches = [name for name, value in expected.items() if value == row["zeros_reported"]]
        gaps.append(abs(expected["cubic"] - expected["geometric"]))
        numbers = (row["zeros_reported"], expected["cubic"], expected["geometric"])
        network = f"{_NAMES.get(row['model'], row['model'])} on {row['dataset']}"
        cut = f"{row['after_iteration']} of {row['iterations']}"
        setting = (network, row["sparsity_asked"], cut)
        decided[row["method"]][setting] = (matches[0] if matches else "neither", gaps[-1])
        case = f"{network}, {row['method']}, {row['sparsity_asked']:g}"
        lines.append((case, cut, *(f"{number:,}" for number in numbers)))
    fitting = [
        f"{sum(one == name for one, _ in found.values())} of {len(found)} {method} settings fit the {name} schedule"
        for method, name in (("causal", "cubic"), ("magnitude", "geometric"))
        if (found := decided[method])
    ]
    text = (
        f"The released shares of zeros are exact counts. In {len(gaps)} of {len(released.schedule)} settings the two "
        f"schedules give different counts: {list_items(fitting)}. In the other {len(released.schedule) - len(gaps)} "
        f"they give the same count. {_pace(decided)}"
    )
    caveat = (
        "The counts show the schedule and not the fit behind the scores, which is not recorded. Both schedules end "
        f"at the same sparsity. The two schedules' counts differ by {min(gaps):,} to {max(gaps):,} weights; the "
        "smallest differences are rounding."
    )
    head = ("setting", "cut", "zeros released", "cubic", "geometric")
    return Statement("The schedule that the counts of zeros show", text.strip(), caveat, head, tuple(lines))


def _pace(decided: Mapping[str, Mapping[tuple, tuple[str, int]]]) -> str:
    """What the settings say whose counts tell the schedules of both methods."""
    both = [setting for setting in decided["causal"] if setting in decided["magnitude"]]
    unlike = [one for one in both if decided["causal"][one][0] != decided["magnitude"][one][0]]
    if not unlike:
        return ""
    named = list_items(
        f"{network} at {sparsity:g} ({decided['causal'][network, sparsity, cut][1]} weights apart)"
        for network, sparsity, cut in unlike
    )
    return (
        f"In {count(len(both), 'setting')} the counts identify both methods' schedules. Causal and magnitude pruning "
        f"were cut at a different pace on {named}, so that a difference between them may come from the pace."
    )


def names(released: ReleasedFigures) -> Statement:
    """Networks that the counts of zeros show under another name, and accuracies with another divisor."""
    filed = released.select("resnet20_cifar10_filed_under_vgg", quantity="test_accuracy_last_epoch")
    fits = [figure for figure in filed if _is_whole(figure, "resnet20") and not _is_whole(figure, "vgg-like")]
    mobile = released.one("mobilenet_imagenet")
    quotients = [
        (_printed_value(released, figure), figure.value)
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
        f"In a file named after the VGG-like network, {count(len(filed), 'row')} have another number of cuts than the "
        f"rest. Shares of zeros that are whole counts for ResNet-20 and not for the VGG-like network: {len(fits)}. The "
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


def _excess(released: ReleasedFigures, quantity: str) -> dict[float, list[float]]:
    """By how many per cent the causal networks of ShrinkBench have more of something than magnitude's, by ratio."""
    left = {
        (figure.network, figure.details["compression_asked"], figure.method): figure.value
        for figure in released.select(*_SHRINKBENCH, quantity=quantity)
    }
    found: dict[float, list[float]] = {}
    for (network, ratio, method), value in left.items():
        if method == "causal":
            found.setdefault(ratio, []).append(100 * (value / left[network, ratio, "magnitude"] - 1))
    return found


def _weights(released: ReleasedFigures) -> str:
    return span([one for values in _excess(released, "weights_left").values() for one in values], 1)


def _operations(released: ReleasedFigures) -> str:
    """At which compressions the causal networks have fewer operations than the magnitude networks, and how many."""
    excess = _excess(released, "flops_left")
    fewer = [ratio for ratio, values in excess.items() if max(values) < 0]
    less = [-one for ratio in fewer for one in excess[ratio]]
    more = [one for ratio, values in excess.items() if ratio not in fewer for one in values]
    parts = [f"{span(less, 0)}% fewer operations at {list_items(f'{ratio:g}×' for ratio in fewer)}"] if less else []
    parts += [f"{span(more, 0)}% more {'at the others' if less else 'operations'}"] if more else []
    return f"it needs {' and '.join(parts)}"


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


def _printed_value(released: ReleasedFigures, figure: Figure) -> float:
    wanted = {"method": figure.method, "compression_asked": figure.details["compression_asked"]}
    return released.one(figure.group, quantity=f"{figure.quantity}_as_printed", **wanted).value
