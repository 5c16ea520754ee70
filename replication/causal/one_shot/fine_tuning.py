"""Fine-tuning after one cut, as in the released runs of ShrinkBench: plain epochs under the mask at a small rate."""

import copy
from dataclasses import replace
from typing import Any

from torch import nn

from ccprune.mask import Mask
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.procedure import train_stage
from replication.causal.one_shot.measures import top_accuracies
from replication.causal.setting import Setting
from replication.data.images import Images

#: Learning rate of the released runs, constant.
RATE = 1e-3


def fine_tune(
    model: nn.Module, images: Images, setting: Setting, mask: Mask, *, epochs: int, seed: int, checkpoint: Checkpoint
) -> dict[str, Any]:
    """Train a copy of the network under a mask, and return what `top_accuracies` gives after the last epoch.

    With it comes `best_top1`, the highest accuracy of any epoch on the test images, the one before training included:
    what the released figures are, biased upwards. An interrupted training resumes from the checkpoint.
    """
    setting = replace(setting, lr=RATE)
    model = setting.place(copy.deepcopy(model), images)
    optimizer, found = setting.sgd(model), checkpoint.read()
    if found is None:
        mask.apply_(model)
        done, best = 0, top_accuracies(model, images)["top1"]
    else:
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        done, best = found["done"], found["best"]

    def after_epoch(done: int) -> None:
        nonlocal best
        best = max(best, top_accuracies(model, images)["top1"])
        checkpoint.write(done=done, best=best, model=model.state_dict(), optimizer=optimizer.state_dict())

    options = {"first": 0, "done": done, "lr_min": None, "seed": seed, "mask": mask, "after_epoch": after_epoch}
    train_stage(model, optimizer, images, setting, epochs=epochs, **options)
    return top_accuracies(model, images) | {"best_top1": best}
