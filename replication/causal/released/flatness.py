"""Flatness in the released figures: Hessian eigenvalues and tolerance to noise, pruned against dense networks."""

from collections.abc import Sequence
from statistics import median

from replication.causal.released.figures import ReleasedFigures
from replication.causal.released.text import Statement, count, extent, list_items, span
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.paired import holm

_NAMES = {"lenet": "LeNet", "resnet20": "ResNet-20", "resnet18": "ResNet-18"}


def eigenvalues(released: ReleasedFigures) -> Statement:
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
        f"{span(list(sharper.values()), 1)} times as large (the largest: {_largest(released, sharper)}); by this "
        f"measure {flatter or 'none'} of them {'is' if flatter < 2 else 'are'} flatter. The "
        f"paper claims flatter minima after pruning. {_against_magnitude(ratios)}"
        if sharper
        else f"No pruned network has a larger top eigenvalue than its dense network, of {len(ratios)} networks."
    )
    caveat = (
        "One network each, without an interval. The eigenvalues are over all parameters, pruned weights included, on "
        "the test images; they are not scale-free, and no weight norms are given. The networks were cut different "
        f"numbers of times: {_cuts(released)}; the script for LeNet has no training between magnitude's cuts. Training "
        f"budgets differ: {_budgets(released)}. The dense LeNet was probably trained with another learning rate."
    )
    lines = [
        (_NAMES[network], f"{sparsity:g}", *(_ratio(ratios, network, m, sparsity) for m in ("causal", "magnitude")))
        for network, sparsity in dict.fromkeys((network, sparsity) for network, _, sparsity in ratios)
    ]
    head = ("network", "sparsity", "causal / dense", "magnitude / dense")
    causal = [ratio for (_, method, _), ratio in ratios.items() if method == "causal"]
    less = sum(ratio <= 1 for ratio in causal)
    answer = (
        f"{extent(less, len(causal))} by the top eigenvalue: {less} of {count(len(causal), 'causal network')} "
        f"{'is' if less == 1 else 'are'} flatter than the dense one (one network each, with other numbers of epochs)."
    )
    return Statement("Flatness: the top eigenvalue", text.strip(), caveat, head, tuple(lines), "flatness", answer)


def noise(released: ReleasedFigures) -> Statement:
    """Relative test loss under noise at each level: causal against magnitude pruning and dense, by their draws."""
    levels, lines, ahead = released.noise_levels, [], []
    at = max(range(len(levels)), key=lambda i: levels[i] if levels[i] <= 0.01 else -1)
    for network, methods in released.noise_draws.items():
        name = _NAMES.get(network, network)
        beside = {other: _distinct_levels(methods["causal"], methods[other]) for other in ("magnitude", "dense")}
        ahead += [name] if beside["dense"][0] > beside["dense"][1] else []
        counts = [f"{lower}, {higher}" for lower, higher in beside.values()]
        lines.append((name, *counts, *(f"{median(methods[method][at]):.4f}" for method in _SHOWN)))
    text = (
        "With noise on the weights, the test loss of the causal network rises by less than that of another network at "
        f"some of {len(levels)} levels and by more at others. The table counts the levels at which the draws of the "
        "two networks are told apart. Compared with the dense network, the loss rises less at more levels than it "
        f"rises more in {len(ahead)} of {count(len(lines), 'network')}{f' ({list_items(ahead)})' if ahead else ''}."
    )
    sparsities = {figure.sparsity for figure in released.select("noise_tolerance", method="causal")}
    draws = {len(one) for part in released.noise_draws.values() for method in part.values() for one in method}
    caveat = (
        f"{list_items(sorted(draws))} draws a level and one network each, so that the tests (rank sums, exact but for "
        f"ties, with Holm's correction over levels, {100 * SIGNIFICANCE:g}%) tell two networks apart and not two "
        "methods. The noise is absolute, so that networks with smaller weights are hurt more, and it reaches pruned "
        "weights too; biases, and weights and statistics of batch norm, are multiplied by 1 + level. Cuts and training "
        "budgets differ as above."
    )
    head = (
        "network",
        *(f"levels with less and more than {other}" for other in ("magnitude", "dense")),
        *(f"{method}: loss at noise {levels[at]:.2g} / loss without" for method in _SHOWN),
    )
    answer = (
        "With absolute noise on the weights, the loss rises less than the dense network's at more levels than it rises "
        f"more in {len(ahead)} of {count(len(lines), 'network')}{f' ({list_items(ahead)})' if ahead else ''}."
    )
    title = f"Flatness: tolerance to noise at sparsity {list_items(sorted(sparsities))}"
    return Statement(title, text, caveat, head, tuple(lines), "flatness", answer)


_SHOWN = ("causal", "magnitude", "dense")


def _distinct_levels(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Count the levels at which the draws of the first network are lower, and higher, than those of the second."""
    from scipy.stats import mannwhitneyu  # slow to import

    corrected = holm(
        [mannwhitneyu(one, other, method="exact").pvalue for one, other in zip(first, second, strict=True)]
    )
    signs = [
        (median(one) > median(other)) - (median(one) < median(other)) if p < SIGNIFICANCE else 0
        for one, other, p in zip(first, second, corrected, strict=True)
    ]
    return signs.count(-1), signs.count(1)


def _against_magnitude(ratios: dict[tuple[str, str, float], float]) -> str:
    both = [
        (network, sparsity, ratio, ratios[network, "magnitude", sparsity])
        for (network, method, sparsity), ratio in ratios.items()
        if method == "causal" and (network, "magnitude", sparsity) in ratios
    ]
    flatter = [f"{_NAMES[network]} at {sparsity:g}" for network, sparsity, causal, other in both if causal < other]
    where = f" ({list_items(flatter)})" if flatter else ""
    cases = count(len(both), "case")
    return f"Causal pruning has the smaller eigenvalue of the two methods in {len(flatter)} of {cases}{where}."


def _ratio(ratios: dict[tuple[str, str, float], float], network: str, method: str, sparsity: float) -> str:
    value = ratios.get((network, method, sparsity))
    return "–" if value is None else f"{value:.1f}"


def _largest(released: ReleasedFigures, ratios: dict[tuple[str, str, float], float]) -> str:
    """Return the network with the largest ratio, with the number of its cuts."""
    network, method, sparsity = max(ratios, key=ratios.get)
    wanted = {"quantity": "eigenvalue_1", "network": network, "method": method, "sparsity": sparsity}
    cuts = released.one("hessian_eigenvalues", **wanted).details["iterations"]
    return f"{_NAMES[network]} at {sparsity:g}, {method}, {count(cuts, 'cut')}"


def _cuts(released: ReleasedFigures) -> str:
    """Return the cuts of each network and method, as in "ResNet-20 causal 1, magnitude 10"."""
    cuts: dict[str, dict[str, None]] = {}
    for figure in released.select("hessian_eigenvalues", quantity="eigenvalue_1"):
        if figure.method != "dense":
            named = f"{figure.method} {figure.details['iterations']}"
            cuts.setdefault(_NAMES[figure.network], {})[named] = None
    return "; ".join(f"{network} {', '.join(named)}" for network, named in cuts.items())


def _budgets(released: ReleasedFigures) -> str:
    """The budgets as the file states them, in its caveats."""
    stated = next(text for text in released.caveats["hessian_eigenvalues"] if text.startswith("budgets differ: "))
    return stated.removeprefix("budgets differ: ")
