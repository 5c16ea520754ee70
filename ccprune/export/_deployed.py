"""Deployed versions of a masked model: a signed manifest of each, what changed since the last, and the way back."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from torch import nn

from ccprune._util.files import write_atomic
from ccprune.export._file import load, save, unpack
from ccprune.mask import Mask
from ccprune.stats import paired_difference

if TYPE_CHECKING:
    import pandas as pd

_CURRENT = "current"


def deploy(
    folder: str | Path, model: nn.Module, mask: Mask, *, key: bytes, measures: Mapping[str, Sequence[float]]
) -> "dict[str, pd.DataFrame]":
    """Store the next version of a model, make it the current one, and return what changed since the one before.

    A version is a file of `save` and a manifest with its SHA-256, the measures, the digest of the manifest before, and
    an HMAC-SHA256 by the key. Any change that is made without the key is detected. This does not protect against
    anyone who has the key, nor against a return to an older version that was signed.

    Parameters
    ----------
    folder : path
    model : Module
        Pruned model; pruned weights must be zero.
    mask : Mask
    key : bytes
        Secret of at least 16 bytes.
    measures : mapping of name to sequence of float
        Values of each measure, paired between versions: those of the same samples or seeds, in the same order.

    Returns
    -------
    {"layers": DataFrame, "measures": DataFrame}
        For each parameter: weights, kept, pruned and regrown since the version before. For each measure that both
        versions have: the mean difference (new minus old), its 95% interval and p-value, by `stats.paired_difference`.
        The first version has no regrown or newly pruned weights, and no differences.

    Raises
    ------
    ValueError
        For a short key, for measures of another length than before, for a mask of other parameters, as `save`, and if
        the current version is not what was signed.

    Examples
    --------
    >>> import tempfile
    >>> from ccprune import prune, score
    >>> folder, model, key = tempfile.mkdtemp(), nn.Linear(8, 4), b"secret of 16 bytes"
    >>> mask = prune(model, score("magnitude", model), sparsity=0.75)
    >>> _ = deploy(folder, model, mask, key=key, measures={"accuracy": [0.90, 0.92]})
    >>> changes = deploy(folder, model, mask, key=key, measures={"accuracy": [0.91, 0.93]})
    >>> round(float(changes["measures"].iloc[0]["difference"]), 3), load_deployed(folder, nn.Linear(8, 4), key=key).kept
    (0.01, 8)
    """
    import pandas as pd  # slow to import

    _check(key)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    old = _verified_manifest(folder, key) if (folder / _CURRENT).is_file() else None
    before: Mask | None = None
    if old is not None:
        with safe_open(folder / f"{old['version']}.safetensors", framework="pt") as file:
            shapes = json.loads(file.metadata()["mask"])
            before = unpack({name: file.get_tensor(name) for name in file.keys()}, shapes, None)
        if before.counts.keys() != mask.counts.keys():
            raise ValueError(f"mask must be of {sorted(before.counts)}, got {sorted(mask.counts)}")
    layers = [
        {"parameter": name, "weights": keep.numel(), "kept": int(keep.sum())}
        | {"pruned": int((last & ~keep).sum()), "regrown": int((keep & ~last).sum())}
        for name, keep in ((name, keep.cpu()) for name, keep in mask.keep.items())
        for last in (keep if before is None else before.keep[name],)
    ]
    rows = []
    last_measures = old["measures"] if old else {}
    for name in sorted(measures.keys() & last_measures.keys()):
        found = paired_difference(list(measures[name]), last_measures[name])
        rows.append(
            {
                "measure": name,
                "difference": found.estimate,
                "low": found.low,
                "high": found.high,
                "p_value": found.p_value,
            }
        )
    number = max((int(path.stem) for path in folder.glob("*.json")), default=0) + 1
    path = save(folder / f"{number}.safetensors", model, mask)
    manifest = {
        "version": number,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "previous": old and {"version": old["version"], "hmac": old["hmac"]},
        "measures": {name: [float(value) for value in values] for name, values in measures.items()},
    }
    write_atomic(folder / f"{number}.json", json.dumps(manifest | {"hmac": _sign(manifest, key)}, indent=1) + "\n")
    write_atomic(folder / _CURRENT, f"{number}\n")
    return {"layers": pd.DataFrame(layers), "measures": pd.DataFrame(rows)}


def load_deployed(folder: str | Path, model: nn.Module, *, key: bytes, rollback: bool = False) -> Mask:
    """Load the current version into the model and return its mask.

    Parameters
    ----------
    folder, model : path and Module
        Folder of `deploy`, and the model that is changed in place.
    key : bytes
        Secret with which the versions were signed.
    rollback : bool, default False
        Whether to return to the version before the current one first.

    Raises
    ------
    FileNotFoundError
        If nothing was deployed.
    ValueError
        If a file or manifest is not what was signed with the key, does not fit the model, or if there is no version
        before. The model and the current version are then unchanged.

    Examples
    --------
    >>> import tempfile
    >>> folder, model, key = tempfile.mkdtemp(), nn.Linear(2, 1), b"secret of 16 bytes"
    >>> for keep in ([[True, True]], [[True, False]]):
    ...     mask = Mask({"weight": torch.tensor(keep)})
    ...     _ = deploy(folder, mask.apply_(model), mask, key=key, measures={})
    >>> load_deployed(folder, model, key=key).kept, load_deployed(folder, model, key=key, rollback=True).kept
    (1, 2)
    """
    _check(key)
    folder = Path(folder)
    manifest = _verified_manifest(folder, key)
    if rollback:
        if manifest["previous"] is None:
            raise ValueError(f"rollback must be False for the first version, got True in {folder}")
        manifest = _verified_manifest(folder, key, manifest["previous"])
    mask = load(folder / f"{manifest['version']}.safetensors", model)
    if rollback:
        write_atomic(folder / _CURRENT, f"{manifest['version']}\n")
    return mask


def _check(key: bytes) -> None:
    if not isinstance(key, bytes) or len(key) < 16:
        raise ValueError(f"key must be at least 16 bytes, got {len(key) if isinstance(key, bytes) else type(key)}")


def _sign(manifest: Mapping[str, Any], key: bytes) -> str:
    return hmac.new(key, json.dumps(manifest, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def _verified_manifest(folder: Path, key: bytes, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the manifest of the current version, or of the wanted one, if it and its file are what was signed."""
    number = wanted["version"] if wanted else int((folder / _CURRENT).read_text())
    manifest = json.loads((folder / f"{number}.json").read_text())
    code = manifest.pop("hmac", "")
    file = hashlib.sha256((folder / f"{number}.safetensors").read_bytes()).hexdigest()
    right = hmac.compare_digest(code, _sign(manifest, key)) and (not wanted or code == wanted["hmac"])
    if not right or manifest["version"] != number or manifest["sha256"] != file:
        raise ValueError(f"version {number} in {folder} is not what was signed with this key")
    return manifest | {"hmac": code}
