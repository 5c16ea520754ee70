"""Paper A's released files, downloaded if necessary and checked before they are read.

R. Sahu et al., "To prune or not to prune" (arXiv:2308.09955) released data, initial weights and some masks at
github.com/RAJAN13-blip/chaotic-pruning, without a licence. The files are therefore downloaded from a pinned commit and
never copied into this project. The first of these places that has a file is used:

1. ``$CCPRUNE_DATA/chaotic-pruning``, if it is set (the folder may be read-only);
2. the user's cache folder (``pooch.os_cache("ccprune")``);
3. the repository, from which the file is downloaded into the first of these two folders that can be written.

The SHA-256 of every file is compared with the one in ``files/authors_registry.txt`` before the file is used, because
the initial weights are pickles, which run code when they are loaded.
"""

import hashlib
import io
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pooch

from replication.ledger.errors import CorruptData, DataUnavailable, suggestion
from replication.ledger.reading import InvalidFile, read_bytes, read_json

if TYPE_CHECKING:
    import torch

# Its log lines contain folders of this machine, which do not belong into a report.
pooch.get_logger().setLevel("WARNING")

COMMIT = "25a1d8ed96c74a13165ce1b9e270fbdd3b541548"
BASE_URL = f"https://raw.githubusercontent.com/RAJAN13-blip/chaotic-pruning/{COMMIT}/"
FOLDER = "chaotic-pruning"
TIMEOUT = (4, 15)  # seconds to connect, and between two parts of an answer
INITIAL_WEIGHTS = {
    "cancer": "init/cancer2.npy",
    "titanic": "init/titanic2.npy",
    "banknote": "init/bank_note.npy",
    "iris": "init/iris.npy",
    "iris3f": "init/iris3f.npy",
    "vowel": "init/vowel.npy",
}
PUBLISHED = Path(__file__).resolve().parents[2] / "replication" / "paper" / "legcnet_tables.json"

Weights = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"]


@cache
def registry() -> dict[str, str]:
    """Return the SHA-256 in hex of each of the authors' files, by its path in their repository.

    Returns
    -------
    dict of str
    """
    text = (resources.files("replication.data") / "files" / "authors_registry.txt").read_text()
    return dict(line.split() for line in text.splitlines())


def available(relative: str) -> bool:
    """Return whether one of the authors' files is on this machine.

    The network is not used, and the content is not checked.

    Parameters
    ----------
    relative : str
        Path in the authors' repository.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If `relative` is not one of the authors' files.
    """
    return _find(relative) is not None


def paths(relative: str) -> list[Path]:
    """Return a list of the file's path if it is on this machine, otherwise an empty list.

    Parameters
    ----------
    relative : str
        Path in the authors' repository.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If `relative` is not one of the authors' files.
    """
    file = _find(relative)
    return [] if file is None else [file]


def path(relative: str) -> Path:
    """Return the path of one of the authors' files, after a download if necessary and a check of its SHA-256.

    Parameters
    ----------
    relative : str
        Path in the authors' repository, such as ``"data/vowel.csv"``.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If ``relative`` is not one of the authors' files.
    DataUnavailable
        If it is not on this machine and cannot be downloaded.
    CorruptData
        If it is not a regular file, or its SHA-256 differs from the pinned one. The file is not changed.
    """
    return _fetch(relative)[0]


def read(relative: str) -> bytes:
    """Return the content of one of the authors' files, as it was checked.

    Parameters
    ----------
    relative : str
        Path in the authors' repository.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError, DataUnavailable, CorruptData
        As `path`.
    """
    return _fetch(relative)[1]


def initial_weights(name: str) -> list[Weights]:
    """Return the ten released initialisations of a data set, in the order of the paper's trials.

    Parameters
    ----------
    name : str
        One of `INITIAL_WEIGHTS`.

    Returns
    -------
    list of (W1, b1, W2, b2)
        Tensors (hidden, features), (hidden,), (outputs, hidden) and (outputs,), float64.

    Raises
    ------
    ValueError
        If none were released for ``name``.
    DataUnavailable, CorruptData
        As `path`.
    """
    if name not in INITIAL_WEIGHTS:
        raise ValueError(f"name must be one of {', '.join(INITIAL_WEIGHTS)} for initial weights, got {name!r}")
    import torch  # not needed by the rest of this module

    # An object array is a pickle; `read` has checked its SHA-256.
    trials = np.load(io.BytesIO(read(INITIAL_WEIGHTS[name])), allow_pickle=True)
    return [
        tuple(torch.tensor(array).squeeze(1) if i % 2 else torch.tensor(array) for i, array in enumerate(trial))
        for trial in trials
    ]


def released_masks() -> tuple[str, ...]:
    """Return the names of the data sets with released masks (all but vowel).

    Returns
    -------
    tuple of str

    Raises
    ------
    FileNotFoundError
        As `masks`.
    """
    return tuple(_published_masks()["ft"])


def masks(name: str, method: Literal["ft", "pt"]) -> list[tuple[int, ...]]:
    """Return the weights that the authors pruned in trials 1 to 5 of a data set.

    The masks are from the authors' notebook and stored in replication/paper/legcnet_tables.json with the paper's
    tables.

    Parameters
    ----------
    name : str
        One of `released_masks`.
    method : str
        "ft" or "pt".

    Returns
    -------
    list of tuple of int
        Sorted indices of each trial, which count from 0 through W1 row by row, then through W2.

    Raises
    ------
    ValueError
        If ``method`` is neither "ft" nor "pt", or no masks were released for ``name``.
    FileNotFoundError
        If the package is used without the folder ``replication`` of its source tree.
    """
    if method not in ("ft", "pt"):
        raise ValueError(f"method must be 'ft' or 'pt', got {method!r}")
    released = _published_masks()[method]
    if name not in released:
        raise ValueError(f"name must be one of {', '.join(released)} for {method} masks, got {name!r}")
    return [tuple(sorted(trial)) for trial in released[name]]


def _published_masks() -> dict[str, dict[str, list[list[int]]]]:
    if not PUBLISHED.is_file():
        raise FileNotFoundError(
            f"{PUBLISHED} is missing: the published figures are part of the clone, not of the installed package; "
            "clone the repository and install it with `pip install -e .`"
        )
    return read_json(PUBLISHED)["authors_masks"]


def _folders() -> list[Path]:
    """Return the folders that may hold the files, the preferred one first."""
    given = os.environ.get("CCPRUNE_DATA")
    folders = [Path(given).expanduser()] if given else []
    return [folder / FOLDER for folder in (*folders, Path(pooch.os_cache("ccprune")))]


def _find(relative: str) -> Path | None:
    if relative not in registry():
        raise ValueError(
            f"relative must be one of the authors' files, got {relative!r}{suggestion(relative, registry())}"
        )
    return next((folder / relative for folder in _folders() if (folder / relative).exists()), None)


def _fetch(relative: str) -> tuple[Path, bytes]:
    file = _find(relative) or _download(relative)
    try:
        content = read_bytes(file)
    except InvalidFile as error:
        raise CorruptData(str(error)) from error
    actual, expected = hashlib.sha256(content).hexdigest(), registry()[relative]
    if actual != expected:
        raise CorruptData(
            f"{file} is not the authors' {relative}: its SHA-256 is {actual}, expected {expected}. "
            "It was not changed; move it away and try again."
        )
    return file, content


def _writable(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)


def _download(relative: str) -> Path:
    # If no folder can be written, the user's cache raises the error.
    folder = next((f for f in _folders() if _writable(f)), _folders()[-1])
    store = pooch.create(path=folder, base_url=BASE_URL, registry=registry())
    try:
        return Path(store.fetch(relative, downloader=pooch.HTTPDownloader(timeout=TIMEOUT)))
    except OSError as error:  # the base class of requests' errors
        raise DataUnavailable(
            f"{relative} of paper A's repository is not on this machine, and its download failed "
            f"({type(error).__name__}). Either set CCPRUNE_DATA to a folder that holds {FOLDER}/{relative}, "
            f"or connect to the network and try again: it comes from {BASE_URL}{relative}"
        ) from error
    except ValueError as error:  # pooch's error for a wrong checksum; the file was not kept
        url = f"{BASE_URL}{relative}"
        raise CorruptData(f"the file from {url} has another checksum than the pinned one: {error}") from error
