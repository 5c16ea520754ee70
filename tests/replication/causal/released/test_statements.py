"""What the released figures show: rules with a known answer and a null, and sentences that follow the file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from replication.causal import released
from replication.causal.released import accuracy, checks, flatness, shape, statements
from replication.causal.released.text import CLAIMS, decimals, list_items, span

FIGURES = released.load()


def changed(change):
    """The released figures with each value passed through `change`, which gets the figure."""
    return replace(FIGURES, figures=tuple(replace(figure, value=change(figure)) for figure in FIGURES.figures))


def test_every_statement_has_a_caveat_and_one_title():
    found = statements.statements(FIGURES)
    assert len({one.title for one in found}) == len(found) == 9
    for one in found:
        assert one.text and one.caveat and all(len(line) == len(one.head) for line in one.lines)


@pytest.mark.parametrize("make", statements.STATEMENTS, ids=lambda make: make.__name__)
def test_a_changed_figure_in_the_file_changes_the_sentence(make, tmp_path):
    content = json.loads(released.PATH.read_text(encoding="utf-8"))
    cells, draws = content["cells"], content["noise_draws"]

    def first(**wanted):
        return next(cell for cell in cells if all(cell.get(name) == value for name, value in wanted.items()))

    changes = {
        "resnet20": lambda: first(group="resnet20_accuracy", method="causal", iterations=10).update(value=0.5),
        "lenet": lambda: first(group="lenet_cifar10_accuracy", method="causal").update(value=0.5),
        "ablation": lambda: first(group="resnet20_ablation", iterations=20).update(value=0.5),
        "drops": lambda: [
            cell.update(value=0.93 if cell["sparsity"] < 0.9 else 0.1)
            for cell in cells
            if cell["group"] == "vgg_cifar10_before_retraining"
        ],
        "eigenvalues": lambda: first(quantity="eigenvalue_1", method="causal").update(value=1.0),
        "noise": lambda: draws["lenet"].update(
            causal=[[0.5 + k / 100 for k in range(10)]] * len(draws["lenet"]["dense"])
        ),
        "shrinkbench": lambda: first(quantity="top5_before_retraining", method="causal").update(value=0.99),
        "schedules": lambda: content["schedule_evidence"]["rows"][1].update(zeros_reported=81_269),
        "names": lambda: first(group="resnet20_cifar10_filed_under_vgg").update(sparsity=0.0715),
    }
    changes[make.__name__]()
    path = tmp_path / released.FILE
    path.write_text(json.dumps(content), encoding="utf-8")
    assert make(released.load(path)).text != make(FIGURES).text


def test_pooled_test_finds_a_large_difference_and_keeps_its_level_without_one():
    rng = np.random.default_rng(0)
    rejected = {shift: 0 for shift in (0.0, 0.02)}
    for shift in rejected:
        for _ in range(400):
            runs = 0.9 + 0.002 * rng.standard_normal((12, 2))
            p = accuracy.pooled_p([runs[0].mean() + shift - runs[1].mean()], runs, runs=2)
            rejected[shift] += p[0] < 0.05
    assert rejected[0.02] == 400
    assert 8 <= rejected[0.0] <= 34, "5% of 400 is 20"


def test_pooled_test_of_two_runs_is_students_t():
    from scipy.stats import ttest_ind

    a, b = [0.91, 0.92], [0.90, 0.905]
    p = accuracy.pooled_p([np.mean(a) - np.mean(b)], [a, b], runs=2)
    assert p[0] == pytest.approx(ttest_ind(a, b).pvalue)


def test_methods_with_the_same_figures_are_not_told_apart():
    accuracies = {
        (f.method, f.sparsity, f.repetition): f.value for f in FIGURES.select("resnet20_accuracy", iterations=10)
    }

    def same(figure):
        other = accuracies.get(("causal", figure.sparsity, figure.repetition))
        return other if (figure.group, figure.method) == ("resnet20_accuracy", "magnitude") else figure.value

    assert "is that of magnitude pruning." in accuracy.resnet20(changed(same)).text


def test_a_plateau_with_a_cliff_is_abrupt_and_a_smooth_fall_is_not():
    rng = np.random.default_rng(0)
    group = "vgg_cifar10_before_retraining"

    def cliff(figure):
        start = -np.log10(0.2)  # the corner lies at sparsity 0.8
        fall = 0.9 * max(0.0, -np.log10(1 - figure.zeros) - start) if figure.group == group else 0.0
        return 0.93 - fall + 0.002 * rng.standard_normal() if figure.group == group else figure.value

    def smooth(figure):
        noise = 0.002 * rng.standard_normal()
        return 0.93 - 0.3 * figure.zeros**6 + noise if figure.group == group else figure.value

    known = shape.drops(changed(cliff))
    assert "is shown in 1 of them tested alone (VGG-like on CIFAR-10, causal (after each cut))" in known.text
    assert "is shown in 0 of them tested alone" in shape.drops(changed(smooth)).text


def test_networks_above_chance_are_not_called_faulty():
    text = checks.shrinkbench(FIGURES).text
    assert "fault of these runs" in text and "8 of 12 causal networks and 2 of 12 magnitude networks have" in text
    known = changed(lambda figure: 0.99 if figure.quantity == "top5_before_retraining" else figure.value)
    text = checks.shrinkbench(known).text
    assert text.startswith("Before retraining, 0 of 12 causal networks") and "fault" not in text


def test_noise_counts_only_levels_at_which_the_draws_are_told_apart(tmp_path):
    content = json.loads(released.PATH.read_text(encoding="utf-8"))
    rng = np.random.default_rng(0)
    levels = len(content["noise_levels"])
    same, lower = rng.normal(1, 0.01, (3, levels, 10)), rng.normal(0.9, 0.01, (levels, 10))
    for methods in content["noise_draws"].values():
        methods |= {name: draws.tolist() for name, draws in zip(methods, same, strict=True)}
    content["noise_draws"]["lenet"]["causal"] = lower.tolist()
    path = tmp_path / released.FILE
    path.write_text(json.dumps(content), encoding="utf-8")
    lines = {line[0]: line[1:3] for line in flatness.noise(released.load(path)).lines}
    assert lines["LeNet"] == (f"{levels}, 0", f"{levels}, 0")
    assert lines["ResNet-20"] == lines["ResNet-18"] == ("0, 0", "0, 0")


def test_a_curve_that_rises_again_is_fitted_to_its_lowest_and_one_that_starts_low_is_left_out():
    statement = shape.drops(FIGURES)
    states = {line[0]: line[1] for line in statement.lines if "VGG" in line[0]}
    assert states == {
        "VGG-like on CIFAR-10, causal": "after each cut, to its lowest",
        "VGG-like on Tiny ImageNet, causal": "retrained",
    }
    assert "0.8839 at 98%" in statement.text and "VGG-like on Tiny ImageNet, causal, after each cut, is left out" in (
        statement.text
    )
    assert "in 0 of 4 released curves of causal pruning" in statement.answer, "magnitude's is no claim"


def test_flatter_networks_are_called_flatter():
    assert "each of the 14 pruned networks, causal and magnitude," in flatness.eigenvalues(FIGURES).text
    top = lambda figure: figure.quantity == "eigenvalue_1" and figure.method == "causal"  # noqa: E731
    text = flatness.eigenvalues(changed(lambda figure: 1.0 if top(figure) else figure.value)).text
    assert (
        "of 7 of the 14 pruned networks, causal and magnitude, is larger" in text
        and "by this measure 7 of them are flatter" in text
    )


def test_numbers_in_sentences():
    assert decimals(0.00105) == "0.0011" and decimals(-0.01735, signed=True) == "-0.0174"
    assert span([0.0042, 0.00105]) == "0.0011 to 0.0042" and span([1.0, 1.0], 1) == "1.0"
    assert list_items([0.1, 0.3, 0.5]) == "0.1, 0.3 and 0.5" and list_items(["a"]) == "a"


def test_each_claim_of_the_paper_has_an_answer_that_follows_the_file():
    found = statements.statements(FIGURES)
    assert {one.claim for one in found} == {"", *CLAIMS}
    assert all(bool(one.claim) == bool(one.answer) for one in found)
    assert "0 of 7 causal" in flatness.eigenvalues(FIGURES).answer
    high = changed(lambda f: 1e9 if (f.quantity, f.method) == ("eigenvalue_1", "dense") else f.value)
    assert "7 of 7 causal" in flatness.eigenvalues(high).answer
    better = changed(lambda f: f.value + 0.1 * (f.method == "causal"))
    assert "better at 6 of 6 sparsities (significantly at 6)" in accuracy.resnet20(better).answer
    assert "better at 6" not in accuracy.resnet20(FIGURES).answer
