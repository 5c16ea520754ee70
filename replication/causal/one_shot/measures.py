"""What the one-shot study measures of a network."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune._util.modes import eval_mode
from replication.data.images import Images


@torch.no_grad()
def top_accuracies(model: nn.Module, images: Images, *, batch_size: int = 1000) -> dict[str, float]:
    """Return top1, top5 and mean cross-entropy (loss) on the test images; top5 needs at least five classes."""
    totals = torch.zeros(3, dtype=torch.float64)
    with eval_mode(model):
        for x, y in zip(images.x_test.split(batch_size), images.y_test.split(batch_size), strict=True):
            outputs = model(images.normalise(x))
            right = outputs.topk(min(5, images.classes), 1).indices == y[:, None]
            loss = cross_entropy(outputs, y, reduction="sum")
            totals += torch.stack([right[:, 0].sum().double(), right.sum().double(), loss.double()]).cpu()
    top1, top5, loss = (totals / len(images.y_test)).tolist()
    return {"top1": top1, "top5": top5, "loss": loss}
