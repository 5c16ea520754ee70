"""The callback for the Trainer of transformers, with the real library.

Oracle: the loop without a trainer, the exact counts, and pruned weights that are read after every step.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from training_by_others import KEPT, SCHEDULE, OverflowingScaler, X, Y, loop, network, same, violations

pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("accelerate", reason="needs accelerate")
from transformers import Trainer, TrainerCallback, TrainingArguments  # noqa: E402

from ccprune.trainers.transformers import PruningCallback  # noqa: E402


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x, labels=None):
        scores = self.network(x)
        return {"loss": nn.functional.cross_entropy(scores, labels), "scores": scores}


class WithoutLoss(Classifier):
    def forward(self, x, labels=None):
        return {"scores": self.network(x)}


class Shared(Classifier):
    """Its loss is a share of that of all micro-batches, as of the language models of transformers."""

    def forward(self, x, labels=None, **given):
        scores = self.network(x)
        loss = nn.functional.cross_entropy(scores, labels, reduction="sum") / given["num_items_in_batch"]
        return {"loss": loss, "scores": scores}


class InOrder(Trainer):
    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Watch(TrainerCallback):
    """Reads the pruned weights after every step."""

    def __init__(self, pruning):
        self.pruning, self.kept, self.violations = pruning, [], 0

    def on_step_end(self, args, state, control, model=None, **_):
        mask = self.pruning.pruner.mask
        self.kept.append(mask.kept)
        self.violations += violations(mask, model)


def fit(tmp_path, *, model=None, epochs=6, resume=None, scaler=None, loss=None, options=None, **settings):
    pruning = PruningCallback(**({"schedule": SCHEDULE, "criterion": "causal_consecutive"} | settings))
    watch, model = Watch(pruning), model or Classifier()
    arguments = TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=16,
        num_train_epochs=epochs,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        **({"save_strategy": "no"} | (options or {})),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    trainer = InOrder(
        model,
        arguments,
        train_dataset=data,
        callbacks=[pruning, watch],
        compute_loss_func=loss,
        optimizers=(optimizer, None),
    )
    trainer.accelerator.scaler = scaler  # Accelerate makes none on a CPU
    trainer.train(resume_from_checkpoint=resume)
    assert not watch.violations and not violations(pruning.pruner.mask, model)
    return model, pruning, watch


def test_it_trains_as_a_loop_with_exact_counts_and_reports(tmp_path):
    model, pruning, watch = fit(tmp_path)
    expected, pruner = loop()
    assert same(model.network, expected) and watch.kept == KEPT
    assert pruning.report.layers.loc["all", "kept"] == 13 and pruning.report.layers.loc["all", "violations"] == 0
    assert not model._forward_hooks


@pytest.mark.parametrize("criterion", ["magnitude", "causal_consecutive"])  # without and with a recording
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, criterion):
    whole, full, _ = fit(tmp_path, criterion=criterion)
    fit(tmp_path, epochs=3, criterion=criterion, options={"save_strategy": "steps", "save_steps": 10})
    path = tmp_path / "checkpoint-10"
    assert torch.load(path / "ccprune.pt", weights_only=True)["steps"] == 10
    resumed, pruning, watch = fit(tmp_path, resume=str(path), criterion=criterion)
    assert same(whole, resumed) and watch.kept == KEPT[10:]
    assert all(torch.equal(keep, pruning.pruner.mask.keep[name]) for name, keep in full.pruner.mask.keep.items())
    (path / "ccprune.pt").unlink()
    with pytest.raises(ValueError, match="checkpoint of step 10 must be from a training with this callback"):
        fit(tmp_path, resume=str(path), criterion=criterion)


def test_weights_are_pruned_at_the_end_of_epochs_also_after_a_checkpoint_of_the_last_step(tmp_path):
    settings = {"unit": "epoch", "schedule": {2: 0.5, 4: 0.75}}
    whole, _, watch = fit(tmp_path, options={"save_strategy": "steps", "save_steps": 8}, **settings)
    assert watch.kept == [64] * 8 + [32] * 8 + [16] * 8
    resumed, _, watch = fit(tmp_path, resume=str(tmp_path / "checkpoint-8"), **settings)
    assert same(whole, resumed) and watch.kept == [32] * 8 + [16] * 8


def test_steps_that_a_scaler_omits(tmp_path):
    # In float32, because Accelerate refuses half precision on a CPU.
    model, pruning, watch = fit(tmp_path, epochs=3, scaler=OverflowingScaler(3, 6))
    expected, pruner = loop(12, scaler=OverflowingScaler(3, 6), half=False)
    assert same(model.network, expected) and pruning.pruner.steps == pruner.steps == 10
    assert pruning.pruner._recorder.skipped == 2


@pytest.mark.parametrize("kind", [Classifier, Shared])
def test_micro_batches_are_one_record(tmp_path, kind):
    model, pruning, watch = fit(tmp_path, model=kind(), epochs=12, options={"gradient_accumulation_steps": 2})
    expected, pruner = loop(24, accumulate=2)
    assert pruning.pruner.steps == 24 and watch.kept == KEPT
    first, second = pruning.pruner._store.scores, pruner._store.scores
    for (name, score), other in zip(first.items(), second.values(), strict=True):
        torch.testing.assert_close(score, other, rtol=1e-3, atol=0.0, msg=name)


def own_loss(outputs, y, **_):
    return nn.functional.cross_entropy(outputs["scores"], y)


def test_what_cannot_be_recorded_or_enforced_is_refused(tmp_path):
    with pytest.raises(ValueError, match="model must return its loss"):
        fit(tmp_path, model=WithoutLoss(), loss=own_loss)
    _, _, watch = fit(tmp_path, model=WithoutLoss(), loss=own_loss, criterion="magnitude")
    assert watch.kept == KEPT
    options = {"load_best_model_at_end": True, "save_strategy": "epoch", "eval_strategy": "epoch"}
    with pytest.raises(ValueError, match="load_best_model_at_end must be False"):
        PruningCallback(schedule=SCHEDULE).on_train_begin(TrainingArguments(str(tmp_path), **options), None, None)


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "trainers.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "transformers" in code]
    exec(compile(code, "docs/trainers.md", "exec"), {})
    assert "(90.0000% requested)" in capsys.readouterr().out
