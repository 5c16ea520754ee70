"""Flatness in the released figures: Hessian eigenvalues and tolerance to noise, pruned against dense networks."""

from statistics import median

from replication.causal.released.figures import Released
from replication.causal.released.text import Statement, count, listed, span

_NAMES = {"lenet": "LeNet", "resnet20": "ResNet-20", "resnet18": "ResNet-18"}


def eigenvalues(released: Released) -> Statement:
    """Top eigenvalues of the pruned networks over that of their dense network."""
    top = {
        (figure.network, figure.method, figure.sparsity): figure.value
        for figure in released.select("hessian_eigenvalues", quantity="eigenvalue_1")
    }
    dense = {network: value for (network, method, _), value in top.items() if method == "dense"}
    ratios = {key: value / dense[key[0]] for key, value in top.items() if key[1] != "dense"}
    sharper = {key: ratio for key, ratio in ratios.items() if ratio > 1}
    flatter = len(ratios) - len(sharper)
    text = (
        f"The top Hessian eigenvalue of {'each' if not flatter else len(sharper)} of the {len(ratios)} pruned "
        f"networks, causal and magnitude, is larger than that of its dense network, "
        f"{span(list(sharper.values()), 1)} times as large; by this measure {flatter or 'none'} of them "
        f"{'is' if flatter < 2 else 'are'} flatter. The "
        f"paper claims flatter minima after pruning. {_against_magnitude(ratios)}"
        if sharper
        else f"No pruned network has a larger top eigenvalue than its dense network, of {len(ratios)} networks."
    )
    caveat = (
        "One network each, without an interval. The eigenvalues are over all parameters, pruned weights included, on "
        "the test images; they are not scale-free, and no weight norms are given. Training budgets differ: "
        f"{_budgets(released)}. The dense LeNet was probably trained with another learning rate."
    )
    lines = [
        (_NAMES[network], f"{sparsity:g}", *(_ratio(ratios, network, m, sparsity) for m in ("causal", "magnitude")))
        for network, sparsity in dict.fromkeys((network, sparsity) for network, _, sparsity in ratios)
    ]
    head = ("network", "sparsity", "causal / dense", "magnitude / dense")
    causal = [ratio for (_, method, _), ratio in ratios.items() if method == "causal"]
    less = sum(ratio <= 1 for ratio in causal)
    answer = (
        f"By the top eigenvalue {less} of {count(len(causal), 'causal network')} {'is' if less == 1 else 'are'} "
        "flatter than the dense one (one network each, trained for other numbers of epochs)."
    )
    return Statement("Flatness: the top eigenvalue", text.strip(), caveat, head, tuple(lines), "flatness", answer)


def noise(released: Released) -> Statement:
    """Median relative test loss under noise at each level: causal against magnitude pruning and dense."""
    levels, lines, parts, ahead = released.noise_levels, [], [], {}
    for network, methods in released.noise_draws.items():
        medians = {method: [median(one) for one in part] for method, part in methods.items()}
        better = {
            other: [level for level, a, b in zip(levels, medians["causal"], medians[other], strict=True) if a < b]
            for other in ("magnitude", "dense")
        }
        name = _NAMES.get(network, network)
        parts.append(f"{len(better['magnitude'])} and {len(better['dense'])} on {name}")
        ahead[name] = len(better["dense"])
        at = max(range(len(levels)), key=lambda i: levels[i] if levels[i] <= 0.01 else -1)
        lines.append((name, *(f"{medians[method][at]:.4f}" for method in ("causal", "magnitude", "dense"))))
    text = (
        "With noise on the weights, the median test loss of the causal network rises less than that of the magnitude "
        f"and of the dense network at this number of {len(levels)} levels (first against magnitude, then against "
        f"dense): {listed(parts)}."
    )
    sparsities = {figure.sparsity for figure in released.select("noise_tolerance", method="causal")}
    draws = {len(one) for part in released.noise_draws.values() for method in part.values() for one in method}
    caveat = (
        f"{listed(sorted(draws))} draws a level and one network each. The noise is absolute, so that networks with "
        "smaller weights are hurt more, and it reaches pruned weights too. At the smallest levels the differences "
        "are within the scatter of the draws. Training budgets differ as above."
    )
    head = ("network", *(f"{method}: loss at noise {levels[at]:.2g} / loss without" for method in _SHOWN))
    fewer = [name for name, count in ahead.items() if count > len(levels) / 2]
    answer = (
        "With absolute noise on the weights the loss rises less than the dense network's at most levels in "
        f"{len(fewer)} of {count(len(ahead), 'network')}{f' ({listed(fewer)})' if fewer else ''}."
    )
    title = f"Flatness: tolerance to noise at sparsity {listed(sorted(sparsities))}"
    return Statement(title, text, caveat, head, tuple(lines), "flatness", answer)


_SHOWN = ("causal", "magnitude", "dense")


def _against_magnitude(ratios: dict[tuple[str, str, float], float]) -> str:
    both = [
        (network, sparsity, ratio, ratios[network, "magnitude", sparsity])
        for (network, method, sparsity), ratio in ratios.items()
        if method == "causal" and (network, "magnitude", sparsity) in ratios
    ]
    flatter = [f"{_NAMES[network]} at {sparsity:g}" for network, sparsity, causal, other in both if causal < other]
    where = f" ({listed(flatter)})" if flatter else ""
    cases = count(len(both), "case")
    return f"Causal pruning has the smaller eigenvalue of the two methods in {len(flatter)} of {cases}{where}."


def _ratio(ratios: dict[tuple[str, str, float], float], network: str, method: str, sparsity: float) -> str:
    value = ratios.get((network, method, sparsity))
    return "–" if value is None else f"{value:.1f}"


def _budgets(released: Released) -> str:
    """The budgets as the file states them, in its caveats."""
    stated = next(text for text in released.caveats["hessian_eigenvalues"] if text.startswith("budgets differ: "))
    return stated.removeprefix("budgets differ: ")
