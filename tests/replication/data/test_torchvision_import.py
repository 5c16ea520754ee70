"""torchvision can be used whatever build it is, by way of one module, and only by those who ask for it."""

import ast
import subprocess
import sys
from pathlib import Path

import torch

import replication
from replication.data._torchvision import torchvision

PACKAGE = Path(replication.__file__).parent


def imported(path: Path) -> set[str]:
    """Top-level names of all that a source file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def test_models_transforms_and_datasets_work():
    model = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    image = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(torchvision.transforms.functional.hflip(image), image.flip(-1))
    assert torchvision.datasets.FakeData(size=3, image_size=(3, 8, 8))[0][0].size == (8, 8)


def test_a_second_import_is_the_same_module():
    import torchvision as plain

    assert plain is torchvision


def test_no_other_module_imports_it():
    users = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "torchvision" in imported(path)}
    assert users == {"data/_torchvision.py"}


def test_modules_import_it_only_where_it_is_used():
    """It takes a second or two: neither `import ccprune` nor the command line shall wait for it."""
    eager = [
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module == "replication.data._torchvision"
    ]
    assert eager == []


def test_the_import_brings_no_large_package_along():
    code = (
        "import sys, torch, replication.data; old = set(sys.modules); "
        "import replication.data._torchvision; print(*(set(sys.modules) - old))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torchvision" in loaded
    assert not loaded & {"pandas", "scipy", "sklearn", "matplotlib", "numba", "pyarrow", "timm", "cv2", "av"}
