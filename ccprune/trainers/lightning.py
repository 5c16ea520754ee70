"""Callback for the Trainer of Lightning."""

from typing import Any

from torch import Tensor

from ccprune.trainers._adapter import Adapter, missing

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise missing("lightning", error) from error


class PruningCallback(Adapter, Callback):
    """Prunes a LightningModule by a schedule while a Trainer trains it.


    Gradient accumulation and all precisions are supported. The mask and the state of the schedule are in the Trainer's
    checkpoints, and a checkpoint without them is refused. The copies of Lightning's callbacks `WeightAveraging`,
    `EMAWeightAveraging` and `StochasticWeightAveraging` follow the mask.

    Parameters
    ----------
    averaged : iterable of Module
        Further copies of the model with averaged weights, which are pruned with it.
    example_input : Tensor (n, ...), tuple or mapping, optional
        Batch for the operations in the report.
    settings
        Other arguments of `GradualPruner` than model, optimizers and may_skip.

    Examples
    --------
    >>> callback = PruningCallback(schedule={1000: 0.5, 2000: 0.8}, criterion="causal_consecutive")
    >>> Trainer(callbacks=[callback]).fit(module, loader)  # doctest: +SKIP
    >>> print(callback.report)  # doctest: +SKIP
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, or resume from the checkpoint that the Trainer has loaded."""
        found = [getattr(callback, "_average_model", None) for callback in trainer.callbacks]  # has no public name
        averaged = [model for model in found if model is not None]
        self._begin(pl_module, trainer.optimizers, averaged, trainer.global_step)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Take the loss of a micro-batch, which the Trainer has scaled and divided by their number."""
        if self.pruner is not None and self.pruner.records_loss:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            scale = 1.0 if scaler is None else scaler.get_scale()
            self._losses.append(loss.detach() * trainer.accumulate_grad_batches / scale)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Record the losses of the step. There are none if `training_step` returned None."""
        if self.pruner is not None and optimizer is trainer.optimizers[0]:
            losses, self._losses = self._losses, []
            if losses:
                self.pruner.before_step(losses)
            else:
                self.pruner.restart()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune if the checkpoint is from after the last step of an epoch, but before its end."""
        if self.pruner is not None:
            self.pruner.end_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune if the schedule has this epoch."""
        if self.pruner is not None:
            self.pruner.end_epoch(trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the mask and report."""
        self._end()
