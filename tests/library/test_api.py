"""The names that `ccprune` offers by itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_models
import torch
from torch.nn.functional import cross_entropy

import ccprune
from ccprune import criteria
from ccprune.mask import prunable


@pytest.fixture
def trained():
    """A model, its optimiser, and the recording of ten steps."""
    model = small_models.mlp((6, 10, 3), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    with ccprune.record(model, optimizer) as recording:
        for _ in range(10):
            x, y = torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            recording.before_step(loss)
            optimizer.step()
    return model, optimizer, recording


def test_record_score_prune_report(trained):
    model, optimizer, recording = trained
    scores = ccprune.score("causal_consecutive", model, recording=recording)
    store = recording.stores["causal_consecutive"]
    assert store.records == 9
    for name, value in criteria.score("causal_consecutive", model, store=store).items():
        assert torch.equal(scores[name], value)
    mask = ccprune.prune(model, scores, sparsity=0.75)
    assert isinstance(mask, ccprune.Mask) and mask.kept == 90 - 68  # 67.5 is rounded up
    assert sum(int((parameter != 0).sum()) for parameter in model.parameters() if parameter.ndim == 2) == mask.kept
    report = ccprune.report(model, mask, torch.randn(2, 6))
    assert report.achieved == mask.sparsity and report.requested == 0.75
    assert not report.layers.violations.any()


def test_scores_that_need_a_recording_say_so(trained):
    model, _, recording = trained
    for given in (None, recording):  # it recorded the other pairing
        with pytest.raises(ValueError, match="recording must be of the criterion 'causal', which uses the training"):
            ccprune.score("causal", model, recording=given)
    assert ccprune.score("magnitude", model).keys() == prunable(model).keys()


def test_every_name_is_there_and_importing_the_package_imports_none_of_it():
    for name in ccprune.__all__:
        assert getattr(ccprune, name).__module__.startswith("ccprune.")
    with pytest.raises(AttributeError, match="module 'ccprune' has no attribute 'prune_all'"):
        ccprune.prune_all  # noqa: B018
    code = "import sys, ccprune; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'ccprune.mask')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_module_takes_the_place_of_a_name():
    folder = Path(ccprune.__file__).parent
    modules = {path.stem for path in folder.iterdir()}
    assert modules.isdisjoint(ccprune.__all__)  # importing a module sets the package's attribute of its name
