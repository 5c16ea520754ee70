"""The callback for Lightning's Trainer, with the real library.

Oracle: the loop without a trainer, the exact counts, and pruned weights that are read after every batch.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_by_others import KEPT, SCHEDULE, OverflowingScaler, X, Y, loop, network, same, violations

pytest.importorskip("lightning", reason="needs lightning")
import lightning.pytorch as pl  # noqa: E402
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, StochasticWeightAveraging  # noqa: E402
from lightning.pytorch.plugins import MixedPrecision  # noqa: E402

from ccprune.trainers.lightning import PruningCallback  # noqa: E402

pytestmark = [
    # Lightning's advice on loading data faster, which is not about the callback.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning 2.6 uses what torch 2.13 will remove.
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning"),
]


class Classifier(pl.LightningModule):
    def __init__(self, without_loss=()):
        super().__init__()
        self.network, self.without_loss, self.number = network(), without_loss, 0

    def training_step(self, batch, index):
        self.number += 1
        loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
        return None if self.number - 1 in self.without_loss else loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.01)


class WithValidation(Classifier):
    def validation_step(self, batch, index):
        pass


class Watch(pl.Callback):
    """Reads the pruned weights after every batch."""

    def __init__(self, pruning):
        self.pruning, self.kept, self.violations = pruning, [], 0

    def on_train_batch_end(self, trainer, module, *_):
        mask = self.pruning.pruner.mask
        self.kept.append(mask.kept)
        self.violations += violations(mask, module)


def fit(tmp_path, *callbacks, module=None, epochs=6, checkpoint=None, options=None, **settings):
    pruning = PruningCallback(**({"schedule": SCHEDULE, "criterion": "causal_consecutive"} | settings))
    watch, module = Watch(pruning), module or Classifier()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        default_root_dir=tmp_path,
        callbacks=[pruning, watch, *callbacks],
        **(options or {}),
    )
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    validation = loader if isinstance(module, WithValidation) else None
    trainer.fit(module, loader, validation, ckpt_path=checkpoint)
    assert not watch.violations and not violations(pruning.pruner.mask, module)
    return module, pruning, watch


def test_it_trains_as_a_loop_with_exact_counts_and_reports(tmp_path):
    module, pruning, watch = fit(tmp_path)
    model, pruner = loop()
    assert same(module.network, model) and watch.kept == KEPT
    assert pruning.report.layers.loc["all", "kept"] == 13 and pruning.report.layers.loc["all", "violations"] == 0
    assert not module.trainer.optimizers[0]._optimizer_step_post_hooks


# The resumed trainings of this file save no checkpoints.
NOT_SAVED = pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path.*ModelCheckpoint")


@NOT_SAVED
@pytest.mark.parametrize("criterion", ["magnitude", "causal_consecutive", "movement", "squared_updates"])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, criterion):
    whole, full, _ = fit(tmp_path, EMAWeightAveraging(decay=0.5), criterion=criterion)
    keep = ModelCheckpoint(tmp_path, filename="part")
    _, first, _ = fit(tmp_path, EMAWeightAveraging(decay=0.5), keep, epochs=3, criterion=criterion)
    path = tmp_path / "part.ckpt"
    assert torch.load(path, weights_only=True)["callbacks"]["PruningCallback"]["steps"] == 12
    resumed, pruning, watch = fit(tmp_path, EMAWeightAveraging(decay=0.5), checkpoint=path, criterion=criterion)
    assert same(whole, resumed) and watch.kept == KEPT[12:]
    assert same_masks(full, pruning) and not same_masks(full, first)


def same_masks(first, second):
    return all(torch.equal(keep, second.pruner.mask.keep[name]) for name, keep in first.pruner.mask.keep.items())


@NOT_SAVED
def test_a_checkpoint_of_other_settings_or_without_a_mask_is_refused(tmp_path):
    fit(tmp_path, ModelCheckpoint(tmp_path, filename="part"), epochs=1)
    with pytest.raises(ValueError, match=r"state\['settings'\]\['unit'\] is 'step', here it is 'epoch'"):
        fit(tmp_path, checkpoint=tmp_path / "part.ckpt", unit="epoch")
    saved = torch.load(tmp_path / "part.ckpt", weights_only=True)
    del saved["callbacks"]["PruningCallback"]
    torch.save(saved, tmp_path / "none.ckpt")
    with pytest.raises(ValueError, match="checkpoint of step 4 must be from a training with this callback"):
        fit(tmp_path, checkpoint=tmp_path / "none.ckpt")


AVERAGES = {
    "exponential": lambda: EMAWeightAveraging(decay=0.9),
    "stochastic": lambda: StochasticWeightAveraging(0.01, 2, annealing_epochs=1),
}


@pytest.mark.parametrize("name", AVERAGES)
# Lightning's second callback for averages itself says that it swaps schedulers.
@pytest.mark.filterwarnings("ignore:Swapping scheduler")
def test_averaged_copies_follow_the_mask(tmp_path, name):
    module, pruning, _ = fit(tmp_path, AVERAGES[name]())
    assert sum(int(module.network[i].weight.count_nonzero()) for i in (0, 2)) == 13
    assert not same(module.network, loop()[0])  # the average is what is left at the end


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_that_a_scaler_omits_and_micro_batches(tmp_path, accumulate):
    plugin = MixedPrecision("16-mixed", "cpu", OverflowingScaler(3, 6))
    options = {"plugins": [plugin], "accumulate_grad_batches": accumulate}
    module, pruning, _ = fit(tmp_path, epochs=3 * accumulate, options=options)
    steps = 12 if accumulate == 1 else 18  # the last batch of an epoch is a step of its own
    assert pruning.pruner.steps == steps - 2 and pruning.pruner._recorder.skipped == 2
    if accumulate == 1:
        assert same(module.network, loop(12, scaler=OverflowingScaler(3, 6))[0])


def test_micro_batches_are_one_record(tmp_path):
    module, pruning, _ = fit(tmp_path, epochs=12, options={"accumulate_grad_batches": 2})
    model, pruner = loop(24, accumulate=2)
    assert same(module.network, model) and pruning.pruner.steps == 24


def test_a_batch_without_a_loss_is_a_step_without_a_record(tmp_path):
    with pytest.warns(UserWarning, match="returned `None`"):
        _, pruning, watch = fit(tmp_path, module=Classifier(without_loss=(1, 5)))
    assert pruning.pruner.steps == 24 and watch.kept == KEPT
    assert pruning.pruner._recorder.records == 24 - 1 - 2 * 2 - 4  # two around each, and one at each pruning


class Saving(pl.Callback):
    def __init__(self, path):
        self.path = path

    def on_validation_end(self, trainer, module):
        if trainer.global_step == 8:
            trainer.save_checkpoint(self.path)


def test_weights_are_pruned_at_the_end_of_epochs_also_after_a_checkpoint_of_the_validation(tmp_path):
    """Such a checkpoint is from before the end of its epoch."""
    settings = {"unit": "epoch", "schedule": {2: 0.5, 4: 0.75}}
    path = tmp_path / "middle.ckpt"
    whole, _, watch = fit(tmp_path, Saving(path), module=WithValidation(), **settings)
    assert watch.kept == [64] * 8 + [32] * 8 + [16] * 8
    resumed, _, watch = fit(tmp_path, module=WithValidation(), checkpoint=path, **settings)
    assert same(whole, resumed) and watch.kept == [32] * 8 + [16] * 8


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "trainers.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "lightning" in code]
    exec(compile(code, "docs/trainers.md", "exec"), {})
    assert "(90.0000% requested)" in capsys.readouterr().out


def test_a_mask_is_enforced_with_the_optimizer_of_a_module(tmp_path):
    """`self.optimizers()` returns a wrapper, which shares the hooks of the optimiser in it."""
    module, pruning, _ = fit(tmp_path, epochs=1)
    with pruning.pruner.mask.enforce(module, module.optimizers()):
        nn.functional.cross_entropy(module.network(X), Y).backward()
        module.trainer.optimizers[0].step()
        assert not violations(pruning.pruner.mask, module)
    module.trainer.optimizers[0].step()
    assert violations(pruning.pruner.mask, module)
