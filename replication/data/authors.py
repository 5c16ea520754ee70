"""Paper A's released files: where they are, fetched and checked before anything reads them.

R. Sahu et al., "To prune or not to prune" (arXiv:2308.09955) released data, initial weights and some masks
at github.com/RAJAN13-blip/chaotic-pruning, without a licence: the files are fetched from there at a pinned
commit and never copied into this project. A file is looked for in this order:

1. ``$CCPRUNE_DATA/chaotic-pruning``, when that variable is set (the folder may be read-only);
2. the user's cache folder (``pooch.os_cache("ccprune")``);
3. the repository, into the first of the two folders that can be written.

Every file is compared with the SHA-256 in ``files/authors_registry.txt`` before it is used: the initial
weights are pickles, which run code when they are loaded.
"""

import hashlib
import io
import json
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pooch

from replication.ledger.errors import CorruptData, DataUnavailable

if TYPE_CHECKING:
    import torch

# Its notes on every attempt name folders of this machine, which do not belong into a report.
pooch.get_logger().setLevel("WARNING")

COMMIT = "25a1d8ed96c74a13165ce1b9e270fbdd3b541548"
BASE_URL = f"https://raw.githubusercontent.com/RAJAN13-blip/chaotic-pruning/{COMMIT}/"
FOLDER = "chaotic-pruning"
TIMEOUT = (4, 15)  # seconds to connect, and between two pieces of an answer
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
    """SHA-256 (hex) of each of the authors' files, by its path inside their repository."""
    text = (resources.files("replication.data") / "files" / "authors_registry.txt").read_text()
    return dict(line.split() for line in text.splitlines())


def available(relative: str) -> bool:
    """Whether ``relative`` is on this machine already. Asks no network and does not check the content.

    Raises
    ------
    ValueError
        If ``relative`` is not one of the authors' files.
    """
    return _find(relative) is not None


def paths(relative: str) -> list[Path]:
    """The file, as a list, if it is on this machine already. Raises ValueError for another file than the authors'."""
    found = _find(relative)
    return [] if found is None else [found]


def path(relative: str) -> Path:
    """Where the authors' file ``relative`` lies on this machine; downloaded if need be, its SHA-256 checked.

    Parameters
    ----------
    relative
        Path inside the authors' repository, such as ``"data/vowel.csv"``.

    Raises
    ------
    ValueError
        If ``relative`` is not one of the authors' files.
    DataUnavailable
        If it is not on this machine and cannot be downloaded.
    CorruptData
        If its SHA-256 is not the pinned one. The file is left as it is.
    """
    return _fetch(relative)[0]


def read(relative: str) -> bytes:
    """Content of the authors' file ``relative``, the very bytes that were checked. Raises as `path` does."""
    return _fetch(relative)[1]


def initial_weights(name: str) -> list[Weights]:
    """The ten initialisations released for data set ``name``, in the order of the paper's trials.

    Returns
    -------
    list of (W1, b1, W2, b2)
        float64, shapes (hidden, features), (hidden,), (outputs, hidden) and (outputs,).

    Raises
    ------
    ValueError
        If none were released for ``name``.
    DataUnavailable, CorruptData
        As `path` does.
    """
    if name not in INITIAL_WEIGHTS:
        raise ValueError(f"name={name!r}: initial weights are released for {', '.join(INITIAL_WEIGHTS)}")
    import torch  # which the rest of this module does without

    # An object array is a pickle; `read` has checked that it is the pinned one.
    trials = np.load(io.BytesIO(read(INITIAL_WEIGHTS[name])), allow_pickle=True)
    return [
        tuple(torch.tensor(array).squeeze(1) if i % 2 else torch.tensor(array) for i, array in enumerate(trial))
        for trial in trials
    ]


def released_masks() -> tuple[str, ...]:
    """Names of the data sets whose masks are released (all but vowel's). Raises as `masks` does."""
    return tuple(_published_masks()["ft"])


def masks(name: str, method: Literal["ft", "pt"]) -> list[tuple[int, ...]]:
    """Weights that the authors pruned in trials 1 to 5 of data set ``name``.

    Indices count from 0 through W1 row by row, then through W2. They are figures of the authors' notebook,
    kept in replication/paper/legcnet_tables.json beside the paper's tables.

    Raises
    ------
    ValueError
        If ``method`` is neither "ft" nor "pt", or no masks were released for ``name``.
    FileNotFoundError
        If the package is used without the folder ``replication`` of its source tree.
    """
    if method not in ("ft", "pt"):
        raise ValueError(f"method={method!r}: expected 'ft' or 'pt'")
    released = _published_masks()[method]
    if name not in released:
        raise ValueError(f"name={name!r}: {method} masks are released for {', '.join(released)}")
    return [tuple(sorted(trial)) for trial in released[name]]


def _published_masks() -> dict[str, dict[str, list[list[int]]]]:
    if not PUBLISHED.is_file():
        raise FileNotFoundError(
            f"{PUBLISHED} is missing: the published figures belong to the source tree, not to the package; "
            "clone the repository and install it with `pip install -e .`"
        )
    return json.loads(PUBLISHED.read_text())["authors_masks"]


def _folders() -> list[Path]:
    """Folders that may hold the files, first choice first."""
    given = os.environ.get("CCPRUNE_DATA")
    folders = [Path(given).expanduser()] if given else []
    return [folder / FOLDER for folder in (*folders, Path(pooch.os_cache("ccprune")))]


def _find(relative: str) -> Path | None:
    if relative not in registry():
        raise ValueError(f"relative={relative!r} is not one of the authors' files; there are {', '.join(registry())}")
    return next((folder / relative for folder in _folders() if (folder / relative).is_file()), None)


def _fetch(relative: str) -> tuple[Path, bytes]:
    found = _find(relative) or _download(relative)
    content = found.read_bytes()
    actual, expected = hashlib.sha256(content).hexdigest(), registry()[relative]
    if actual != expected:
        raise CorruptData(
            f"{found} is not the authors' {relative}: its SHA-256 is {actual}, expected {expected}. "
            "It was left as it is; move it away and try again."
        )
    return found, content


def _writable(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return os.access(existing, os.W_OK)


def _download(relative: str) -> Path:
    # The last folder, the user's cache, is where an error about writing should come from.
    folder = next((f for f in _folders() if _writable(f)), _folders()[-1])
    store = pooch.create(path=folder, base_url=BASE_URL, registry=registry())
    try:
        return Path(store.fetch(relative, downloader=pooch.HTTPDownloader(timeout=TIMEOUT)))
    except OSError as error:  # requests' errors are such
        raise DataUnavailable(
            f"{relative} of paper A's repository is not on this machine, and its download failed "
            f"({type(error).__name__}). Either set CCPRUNE_DATA to a folder that holds {FOLDER}/{relative}, "
            f"or connect to the network and try again: it comes from {BASE_URL}{relative}"
        ) from error
    except ValueError as error:  # pooch's word for a wrong checksum; nothing was kept
        raise CorruptData(f"the file downloaded from {BASE_URL}{relative} is not the pinned one: {error}") from error
