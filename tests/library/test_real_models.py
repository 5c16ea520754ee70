"""The architectures of `real_models`.

For each: every criterion leaves the model bit for bit as it was, masks have their exact count, the report answers, and
the mask holds for ten steps of AdamW under autocast.
"""

import re

import pytest
import torch
from real_models import MODELS
from same_model import assert_same
from torch import nn

import ccprune
from ccprune import criteria
from ccprune.mask import ALLOCATIONS, prunable

#: What a criterion cannot score, and the message.
CANNOT = (
    r"wanda cannot score weights of layers that are not linear|not used by calling|no second derivative|finite scores"
    r"|weights must be used in linear layers and convolutions only"
)
LOOKS = [name for name, criterion in criteria.list_criteria().items() if criterion.store is None]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_is_scored_masked_reported_and_trained(name):
    torch.manual_seed(0)
    model, x, loss = MODELS[name]()
    y = None
    if loss is None:
        loss = nn.functional.cross_entropy
        y = x % 4 if x.ndim == 2 and not x.is_floating_point() else torch.tensor([1, 3])
    weights, served = prunable(model), []

    def score_all(_):
        for criterion in LOOKS:
            try:
                scores = ccprune.score(criterion, model, x=x, y=y, loss=loss)
            except ValueError as error:
                assert re.search(CANNOT, str(error)), (criterion, error)
                continue
            served.append(criterion)
            assert {key: value.shape for key, value in scores.items()} == {key: w.shape for key, w in weights.items()}
            mask = ccprune.Mask.from_scores(scores, sparsity=0.7)
            assert mask.total - mask.kept == int(0.7 * mask.total + 0.5)

    assert_same(model.train(), score_all)
    assert {"magnitude", "magnitude_layer", "lamp", "random", "snip", "fisher", "obd"} <= set(served), served
    mask = ccprune.Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.7)
    reports = []
    assert_same(model, lambda _: reports.append(ccprune.report(model, mask, x)))
    assert reports[0].layers.loc["all", "kept"] == mask.kept
    assert reports[0].forms["macs"]["masked"] <= reports[0].forms["macs"]["dense"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with mask.enforce(model, optimizer):
        for _ in range(10):
            with torch.autocast("cpu", torch.bfloat16):
                outputs = model(**x) if isinstance(x, dict) else model(x)
            value = loss(outputs.float() if isinstance(outputs, torch.Tensor) else outputs, y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    assert mask.check(model).loc["all", "violations"] == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_every_allocation_to_a_real_model_is_exact(name):
    model = MODELS[name]()[0]
    scores = ccprune.score("magnitude", model)
    total = sum(score.numel() for score in scores.values())
    for allocation in ALLOCATIONS:
        mask = None
        for sparsity in (0.2, 0.7, 0.9):
            mask = ccprune.Mask.from_scores(
                scores, sparsity=sparsity, allocation=allocation, min_per_layer=2, previous=mask
            )
            wanted = [score.numel() for score in scores.values()] if allocation == "uniform" else [total]
            assert total - mask.kept == sum(int(sparsity * n + 0.5) for n in wanted), (allocation, sparsity)
            assert all(mask.counts[key] >= min(2, score.numel()) for key, score in scores.items())
    parts = {key.split(".")[0]: 0.1 * (i % 9) for i, key in enumerate(scores)}
    mask = ccprune.Mask.from_scores(scores, sparsity=parts)
    for part, sparsity in parts.items():
        names = [key for key in scores if key.split(".")[0] == part]
        size = sum(scores[key].numel() for key in names)
        assert size - sum(mask.counts[key] for key in names) == int(sparsity * size + 0.5), part
