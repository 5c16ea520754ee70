"""Released figures of paper B: read and checked, each in one row, with a reason and a cost."""

import json
from collections import Counter
from statistics import mean, median

import pytest

from replication.causal import released
from replication.causal.released import costs as released_costs
from replication.causal.released import counts as released_counts
from replication.causal.released import rows as released_rows
from replication.reporting.tables import gather_rows

FIGURES = released.load()


@pytest.fixture
def content():
    return json.loads(released.PATH.read_text(encoding="utf-8"))


def written(tmp_path, content):
    path = tmp_path / released.FILE
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_file_holds_1401_figures_in_23_groups(content):
    assert len(FIGURES.figures) == 1401 == len(content["cells"])
    assert len(FIGURES.settings) == 23 == len({figure.group for figure in FIGURES.figures})
    assert len({figure.identity for figure in FIGURES.figures}) == 1401
    assert {figure.origin for figure in FIGURES.figures} == {"released", "derived"}
    draws = [one for part in FIGURES.noise_draws.values() for levels in part.values() for one in levels]
    assert sum(map(len, draws)) == 1800 and sum(map(len, FIGURES.eigenvalues.values())) == 680


def test_a_figure_has_its_conditions():
    figure = FIGURES.one("resnet20_accuracy", method="causal", iterations=10, sparsity=0.9, repetition=2)
    assert (figure.network, figure.dataset, figure.quantity, figure.value) == (
        "resnet20",
        "cifar10",
        "test_accuracy",
        0.8655,
    )
    assert figure.source == "A@59e19d1a:results/scores_resnet20cifar10.csv" and figure.origin == "released"
    with pytest.raises(ValueError, match="must select one figure, got 2"):
        FIGURES.one("resnet20_accuracy", method="causal", iterations=10, sparsity=0.9)


def test_a_selection_can_be_read_more_than_once():
    """As lesson 18 does, for the two axes of a picture that only its run of hours draws."""
    found = FIGURES.select("noise_tolerance", network="lenet", method="causal", quantity="relative_test_loss_median")
    assert [one.details["level"] for one in found] == list(FIGURES.noise_levels)
    assert len([one.value for one in found]) == len(FIGURES.noise_levels)


def test_what_the_file_derives_follows_from_what_was_released():
    means = FIGURES.select("resnet20_accuracy_mean")
    for figure in means:
        wanted = {"method": figure.method, "sparsity": figure.sparsity, "iterations": figure.details["iterations"]}
        single = [one.value for one in FIGURES.select("resnet20_accuracy", **wanted)]
        assert len(single) == figure.n and figure.value == pytest.approx(mean(single))
    for figure in FIGURES.select("noise_tolerance", quantity="relative_test_loss_median"):
        at = FIGURES.noise_levels.index(figure.details["level"])
        draws = FIGURES.noise_draws[figure.network][figure.method][at]
        assert figure.value == pytest.approx(median(draws), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["cells"].pop(), "group 'synthetic_friedman' must have 2 figures, got 1"),
        (lambda c: c["cells"][0].update(group="other"), "must belong to a listed group, got 'other'"),
        (lambda c: c["cells"][0].update(value="0.9"), "value of figure 1 must be a finite number, got '0.9'"),
        (lambda c: c["cells"][0].pop("method"), "figure 1 must have .* got none named 'method'"),
        (lambda c: c["cells"][0].update(c["cells"][1]), "must differ in their conditions"),
        (lambda c: c["noise_draws"]["lenet"]["causal"].pop(), "noise_draws must hold 20 levels"),
        (lambda c: c["noise_draws"]["lenet"]["causal"][3].pop(), "noise_draws must hold 20 levels of equal size"),
        (lambda c: c["eigenvalues_all"]["lenet dense 0"].pop(), "eigenvalues_all must hold 40 values"),
        (lambda c: c.pop("groups"), "fields must include .* got none named 'groups'"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, content, change, message):
    change(content)
    with pytest.raises(ValueError, match=f"causal_released.json: .*{message}.*; restore the file"):
        released.load(written(tmp_path, content))


def test_every_figure_is_in_exactly_one_row():
    rows = released_rows.rows(FIGURES)
    covered = Counter(figure.number for row in rows for figure in row.figures)
    assert covered == Counter(range(1, 1402))
    assert len({row.cell.key for row in rows}) == len(rows)
    assert len(gather_rows([], declared=[row.cell for row in rows])) == len(rows)
    for row in rows:
        assert row.cell.kind == "figure" and row.cell.origin in ("released", "derived")
        assert row.cell.published in [figure.value for figure in row.figures]
        assert row.cell.verdict != "not_run" or "not run: " in row.cell.note


def test_a_row_states_what_its_number_is_made_of():
    cells = {cell.key: cell for cell in released_rows.cells(FIGURES)}

    def cell(table, method, quantity, sparsity):
        return cells["causal", table, "cifar10", method, "", quantity, sparsity, "", ""]

    both = cell("released_resnet20_accuracy-resnet20", "causal", "accuracy, 10 iterations", "0.9")
    assert both.n is None and both.note.startswith("mean of 2 repetitions: 0.8616, 0.8655; not run: ")
    noise = cell(
        "released_noise_tolerance-lenet", "causal", "relative_test_loss_median, 5 iterations, noise 1e-05", "0.9"
    )
    assert noise.n is None and noise.note.startswith("median of 10 draws, from 0.9999")
    bench = cell("released_shrinkbench_resnet20-resnet20", "magnitude", "top5_before_retraining", "0.5")
    assert bench.published == 0.9962 and "in the file" in bench.note


def test_a_result_replaces_the_declared_row():
    declared = released_rows.cells(FIGURES)[0]
    values = {name: getattr(declared, name) for name in declared.__dataclass_fields__}
    answer = type(declared)(**values | {"verdict": "within_noise", "ours": 0.9, "n": 3, "profile": "paper"})
    content = {"notebook": "03.ipynb", "profile": "paper"}
    (row,) = gather_rows([("a.paper.json", content, [answer])], declared=[declared])
    assert (row["verdict"], row["notebook"]) == ("within_noise", "03.ipynb")
    (row,) = gather_rows([], declared=[declared])
    assert (row["verdict"], row["notebook"], row["profile"]) == ("not_run", "", "")


def test_costs_follow_from_epochs_and_timed_seconds():
    ten = FIGURES.one("resnet20_accuracy", method="causal", iterations=10, sparsity=0.9, repetition=1)
    assert released_costs.epochs(ten, FIGURES) == 400 + 10
    assert released_costs.hours(ten, FIGURES) == pytest.approx(410 * 60 / 3600)
    lenet = FIGURES.one("lenet_cifar10_accuracy", method="magnitude", sparsity=0.5)
    assert released_costs.hours(lenet, FIGURES) == pytest.approx(310 * 25 / 3600)
    cell = FIGURES.one("resnet20_ablation", iterations=20, pre_epochs=30, recorded_epochs=5, sparsity=0.9)
    assert released_costs.epochs(cell, FIGURES) == 30 + 10 * 19 + 300 + 5 * 20
    assert released_costs.epochs(FIGURES.one("lenet_mnist"), FIGURES) == 10 + 29 * 10 + 300 + 30
    assert released_costs.hours(FIGURES.one("mobilenet_imagenet"), FIGURES) is None
    unknown = FIGURES.one("lenet_cifar10_accuracy", method="dense")
    assert released_costs.cost_note(unknown, FIGURES) == "cost not stated: its epochs are not known"


def test_a_network_is_paid_for_once():
    wanted = {"method": "causal", "sparsity": 0.9}
    figures = [*FIGURES.select("hessian_eigenvalues", "noise_tolerance", network="lenet", **wanted)]
    figures += FIGURES.select("lenet_cifar10_accuracy", **wanted)
    assert len(figures) > 80
    assert released_costs.core_hours(figures, FIGURES) == {"lenet": (1, pytest.approx(355 * 25 / 3600))}


def test_counts_that_the_design_fixes():
    found = [(figure, released_counts.by_design(figure)) for figure in FIGURES.figures]
    apart = [abs(figure.value - count) for figure, count in found if count is not None]
    assert len(apart) == 30 and max(apart) <= 1 and apart.count(0) == 28
    one = FIGURES.one("fit_log_lenet_sklearn", quantity="weights_regressed")
    assert released_counts.by_design(one) == 656_500
    verdicts = Counter(cell.verdict for cell in released_rows.cells(FIGURES))
    assert verdicts == {"identical": 28, "underspecified": 4, "not_run": len(released_rows.rows(FIGURES)) - 32}


def test_zeros_are_those_that_the_file_computed_for_both_schedules():
    prunable = {("resnet20", "cifar10"): 270_896, ("lenet", "mnist"): 430_500}
    prunable |= {("vgg-like", "cifar10"): 14_977_728, ("vgg-like", "tinyimagenet"): 15_111_872}
    for row in FIGURES.schedule:
        for schedule in ("cubic", "geometric"):
            count = released_counts.zeros(
                prunable[row["model"], row["dataset"]],
                row["sparsity_asked"],
                cuts=row["after_iteration"],
                iterations=row["iterations"],
                schedule=schedule,
            )
            assert count == row[f"zeros_if_{schedule}"]
