"""Gradual pruning in a loop without a trainer.

Oracle: the exact counts, masks that are computed from the scores of each pruning, and pruned weights after every step.
"""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_by_others import KEPT, SCHEDULE, OverflowingScaler, X, Y, loop, network, same, violations

from ccprune import Mask, criteria
from ccprune.trainers import GradualPruner

CRITERIA = [
    name for name, one in criteria.list_criteria().items() if one.pairing == "consecutive" and name != "legcnet"
]


def averaged(model):
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))


def train(pruner, model, optimizer, first, last, after=lambda: None):
    for step in range(first, last):
        batch = slice(16 * (step % 4), 16 * (step % 4) + 16)
        loss = nn.functional.cross_entropy(model(X[batch]), Y[batch])
        optimizer.zero_grad()
        loss.backward()
        pruner.before_step(loss)
        optimizer.step()
        after()


def parts(criterion="magnitude", **settings):
    model = network()
    optimizer, average = torch.optim.AdamW(model.parameters(), 0.01), averaged(model)
    pruner = GradualPruner(
        model, optimizer, **({"schedule": SCHEDULE, "criterion": criterion, "averaged": [average]} | settings)
    )
    return model, optimizer, average, pruner


@pytest.mark.parametrize("criterion", ["magnitude", *CRITERIA])
def test_counts_are_exact_and_a_resumed_loop_equals_an_uninterrupted_one(criterion, tmp_path):
    def whole(save=None, saved=None):
        model, optimizer, average, pruner = parts(criterion)
        held, kept = dict(model=model, optimizer=optimizer, average=average, pruner=pruner), []
        for name, part in held.items() if saved else ():
            part.load_state_dict(saved[name])

        def after():
            average.update_parameters(model)
            kept.append(int(sum((model[i].weight != 0).sum() for i in (0, 2))))
            assert not violations(pruner.mask, model) and not violations(pruner.mask, average.module)
            if pruner.steps == save:
                torch.save({name: part.state_dict() for name, part in held.items()}, tmp_path / "state.pt")

        with pruner:
            train(pruner, model, optimizer, pruner.steps, 24, after)
        return model, average, pruner, kept

    model, average, pruner, kept = whole(save=10)
    assert kept == KEPT and pruner.report().layers.loc["all", "kept"] == 13
    resumed, again, other, kept = whole(saved=torch.load(tmp_path / "state.pt", weights_only=True))
    assert kept == KEPT[10:] and same(model, resumed) and same(average, again)
    assert all(torch.equal(keep, other.mask.keep[name]) for name, keep in pruner.mask.keep.items())


def test_the_masks_are_those_of_the_scores_at_each_pruning():
    model, optimizer, _, pruner = parts()
    expected, mask = network(), None
    other = torch.optim.AdamW(expected.parameters(), 0.01)
    with pruner:
        train(pruner, model, optimizer, 0, 20)
    for step in range(20):
        batch = slice(16 * (step % 4), 16 * (step % 4) + 16)
        other.zero_grad()
        nn.functional.cross_entropy(expected(X[batch]), Y[batch]).backward()
        other.step()
        if step + 1 in SCHEDULE:
            scores = criteria.score("magnitude", expected)
            mask = Mask.from_scores(scores, sparsity=SCHEDULE[step + 1], previous=mask)
        for name, keep in {} if mask is None else mask.keep.items():
            expected.get_parameter(name).data.mul_(keep)
    assert same(model, expected)


def test_criteria_with_data_and_steps_that_a_scaler_omits():
    model, pruner = loop(criterion="snip", x=X, y=Y)
    assert pruner.mask.kept == 13 and not violations(pruner.mask, model)
    assert loop(criterion="snip", x=X, y=Y, schedule={24: 0.5})[1].mask.kept == 32
    _, pruner = loop(12, scaler=OverflowingScaler(3, 6))
    assert (pruner.steps, pruner._recorder.skipped, pruner.mask.kept) == (10, 2, 19)


def test_copies_of_timm_follow_the_mask():
    timm = pytest.importorskip("timm.utils", reason="needs timm")
    model = network()
    average, optimizer = timm.ModelEmaV3(model, decay=0.5), torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="model has no parameter '0.weight'; pass its attribute module"):
        Mask.ones_like(model).apply_(average)
    with GradualPruner(model, optimizer, schedule=SCHEDULE, averaged=[average.module]) as pruner:
        train(pruner, model, optimizer, 0, 20, lambda: average.update(model))
    assert not violations(pruner.mask, average.module) and not same(model, average.module)


def test_a_copy_that_does_not_follow_is_an_error():
    model, optimizer, average, pruner = parts(averaged=[copied := copy.deepcopy(network())])
    with pytest.raises(ValueError, match="pruned weights must be zero"):
        with pruner:
            train(pruner, model, optimizer, 0, 5)
            nn.init.ones_(copied[0].weight)


REFUSED = {
    "schedule must be a mapping": {"schedule": [0.5]},
    "must be an integer of at least 1, got 0": {"schedule": {0: 0.5}},
    r"schedule\[3\] must lie in": {"schedule": {3: 50}},
    "sparsities that do not decrease": {"schedule": {3: 0.5, 6: 0.4}},
    "unit must be one of": {"unit": "steps"},
    "'causal_consecutive' is the causal score without it": {"criterion": "causal"},
    r"\['x'\] must be given: the criterion 'wanda' needs them": {"criterion": "wanda"},
    r"given must be arguments of criteria.score, got \['data'\]": {"data": X},
    "allocation must be one of": {"allocation": "layer"},
    "protect must name parameters": {"protect": ["head"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_wrong_arguments_are_refused_before_the_training(message):
    with pytest.raises((TypeError, ValueError), match=message):
        parts(**REFUSED[message])


def test_a_state_that_does_not_fit_is_refused():
    model, optimizer, _, pruner = parts()
    with pruner:
        train(pruner, model, optimizer, 0, 5)
        state = pruner.state_dict()
    with pytest.raises(ValueError, match="load the model's state first"):
        parts()[3].load_state_dict(state)
    with pytest.raises(ValueError, match=r"state\['settings'\]\['criterion'\] is 'magnitude', here it is 'movement'"):
        parts("movement")[3].load_state_dict(state)


def test_a_step_without_its_loss_is_an_error():
    model, optimizer, _, pruner = parts("movement")
    with pytest.raises(RuntimeError, match=r"before_step\(loss\) was not called for step 1"):
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    pruner.close()


def test_a_loss_may_be_given_in_the_closure_of_a_step():
    expected, _ = loop()
    model, optimizer, _, pruner = parts("causal_consecutive")
    with pruner:
        for step in range(24):
            batch = slice(16 * (step % 4), 16 * (step % 4) + 16)

            def closure(batch=batch):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(X[batch]), Y[batch])
                loss.backward()
                pruner.before_step(loss)
                return loss

            optimizer.step(closure)
    assert same(model, expected)


def test_the_package_imports_no_trainer_and_a_missing_one_is_named_with_its_extra():
    code = """
import sys, ccprune.trainers
print(*{name.split(".")[0] for name in sys.modules})
for package in ("lightning", "transformers"):
    sys.modules[package] = None
    try:
        __import__("ccprune.trainers." + package)
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported, *errors = done.stdout.splitlines()
    assert not {"lightning", "transformers", "accelerate", "timm", "torchvision"} & set(imported.split())
    for package, error in zip(("lightning", "transformers"), errors, strict=True):
        assert f"ccprune.trainers.{package} needs {package}: pip install '.[trainers]' in a clone" in error


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "trainers.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "GradualPruner" in code]
    exec(compile(code, "docs/trainers.md", "exec"), {})
    assert "(90.0000% requested)" in capsys.readouterr().out and (tmp_path / "checkpoint.pt").exists()
