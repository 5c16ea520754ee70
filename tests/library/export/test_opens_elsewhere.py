"""Files of pruned models and of masks open in a process that cannot import this package."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import ccprune
from ccprune import export
from ccprune.mask import Mask

# The first statement makes every import of this package fail.
BLOCKED = "import sys; sys.modules['ccprune'] = None\nimport json\n"


def _elsewhere(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def pruned():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    mask = ccprune.prune(model, ccprune.score("magnitude", model), sparsity=0.5)
    mask.apply_(model)
    return model, mask, torch.randn(5, 1, 4, 4)


def test_the_block_works(tmp_path):
    with pytest.raises(AssertionError, match="ModuleNotFoundError|ImportError"):
        _elsewhere("import ccprune", tmp_path)


def test_weights_and_mask_open_with_safetensors_alone(pruned, tmp_path):
    model, mask, _ = pruned
    export.save(tmp_path / "model.safetensors", model, mask)
    code = """
import numpy as np
from safetensors import safe_open
with safe_open("model.safetensors", framework="numpy") as file:
    shapes = json.loads(file.metadata()["mask"])
    for name, shape in shapes.items():
        keep = np.unpackbits(file.get_tensor("ccprune.mask/" + name))[: np.prod(shape)].reshape(shape).astype(bool)
        assert not file.get_tensor(name)[~keep].any()
        print(name, int(keep.sum()))
"""
    found = dict(line.split() for line in _elsewhere(code, tmp_path).splitlines())
    assert {name: int(kept) for name, kept in found.items()} == mask.counts


def test_a_mask_opens_with_torch_alone(pruned, tmp_path):
    _, mask, _ = pruned
    torch.save(mask.state_dict(), tmp_path / "mask.pt")
    code = """
import torch
state = torch.load("mask.pt", weights_only=True)
print(sum(int(keep.sum()) for name, keep in state.items() if not name.startswith(".")))
"""
    assert int(_elsewhere(code, tmp_path)) == mask.kept


def test_an_exported_program_opens_with_torch_alone(pruned, tmp_path):
    model, _, x = pruned
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
    np.save(tmp_path / "x.npy", x.numpy())
    code = """
import numpy as np, torch
model = torch.export.load("model.pt2").module()
np.save("y.npy", model(torch.from_numpy(np.load("x.npy"))).detach().numpy())
"""
    _elsewhere(code, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x).detach().numpy(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_onnx_file_opens_with_onnxruntime_alone(pruned, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    model, mask, x = pruned
    torch.onnx.export(model, (x,), tmp_path / "model.onnx", dynamo=True, external_data=False, verbose=False)
    np.save(tmp_path / "x.npy", x.numpy())
    code = """
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
np.save("y.npy", session.run(None, {session.get_inputs()[0].name: np.load("x.npy")})[0])
"""
    _elsewhere(code, tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x).detach().numpy(), rtol=1e-4, atol=1e-6)
    assert Mask.ones_like(model).total > mask.kept
