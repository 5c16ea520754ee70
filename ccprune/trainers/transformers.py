"""Callback for the Trainer of Hugging Face's transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ccprune.trainers._adapter import Adapter, missing

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise missing("transformers", error) from error

FILE = "ccprune.pt"


class PruningCallback(Adapter, TrainerCallback):
    """Prunes a model by a schedule while a Trainer trains it.


    Gradient accumulation and mixed precision are supported. The mask and the state of the schedule are in the file
    ccprune.pt of each checkpoint, and a training resumes with the `output_dir` in which it was interrupted.

    A criterion that uses the training takes the loss from the model's outputs, "loss" or the first one. A Trainer that
    computes the loss outside of the model is refused, and so is `load_best_model_at_end`, because the best model may be
    from before the last pruning.

    Parameters
    ----------
    averaged : iterable of Module
        Copies of the model with averaged weights, which are pruned with it.
    example_input : Tensor (n, ...), tuple or mapping, optional
        Batch for the operations in the report.
    settings
        Other arguments of `GradualPruner` than model, optimizers and may_skip.

    Examples
    --------
    >>> callback = PruningCallback(schedule={1000: 0.5, 2000: 0.8}, criterion="causal_consecutive")
    >>> Trainer(model, args, train_dataset=data, callbacks=[callback]).train()  # doctest: +SKIP
    >>> print(callback.report)  # doctest: +SKIP
    """

    _shares = False  # whether losses are those of shares of a batch, which are summed
    _hook: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **found: Any
    ) -> None:
        """Begin, or resume from the checkpoint that the Trainer has loaded."""
        if args.load_best_model_at_end:
            raise ValueError("load_best_model_at_end must be False: the best model may be from before the last pruning")
        self._state, saved = None, _folder(args, state) / FILE
        if state.global_step and saved.exists():
            self._state = torch.load(saved, map_location="cpu", weights_only=True)
        model, optimizer = found["model"], found["optimizer"]
        inner = getattr(optimizer, "optimizer", optimizer)  # without the wrapper of Accelerate
        pruner = self._begin(model, [inner], (), state.global_step)
        if self._hook is not None:
            self._hook.remove()
        if pruner.records_loss:
            # A function is shared by copies of the model; a method would be copied with the pruner and the optimizer.
            self._hook = model.register_forward_hook(lambda *call: self._take_loss(*call), with_kwargs=True)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record the losses of the step."""
        if self.pruner is not None and self.pruner.records_loss:
            losses, self._losses = self._losses, []
            if not losses:
                raise ValueError("model must return its loss, which the criterion needs: the Trainer computed another")
            self.pruner.before_step(torch.stack(losses).sum() if self._shares else losses)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Prune if the checkpoint is from after the last step of an epoch, but before its end."""
        self.on_epoch_end(args, state, control)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Prune if the schedule has this epoch."""
        if self.pruner is not None:
            self.pruner.end_epoch(int((state.epoch or 0) + 1e-6))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the state into the checkpoint."""
        if state.is_world_process_zero:
            torch.save(self.state_dict(), _folder(args, state) / FILE)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Check the mask and report."""
        if self._hook is not None:
            self._hook.remove()
        self._end()

    def _take_loss(self, model: nn.Module, _: Any, arguments: Mapping[str, Any], outputs: Any) -> None:
        if model.training:
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs[0]
            if loss is not None:
                self._losses.append(loss.detach().mean())
            # With the number of items of all micro-batches, each loss is its share of their mean.
            self._shares = arguments.get("num_items_in_batch") is not None


def _folder(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
