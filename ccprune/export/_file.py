"""A model and its mask in one safetensors file, which contains only tensors and text and no executable content."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ccprune._util.checks import join_first
from ccprune._util.files import replacing
from ccprune._util.inputs import raw_bytes
from ccprune.mask import Mask
from ccprune.mask._names import plain_names

FORMAT = "ccprune-mask-1"
_MASK = "ccprune.mask/"
_UNSEALED = {"format", "mask", "tied", "requested"}  # metadata of files of earlier versions, which have no digests


def save(path: str | os.PathLike, model: nn.Module, mask: Mask) -> Path:
    """Write parameters, buffers and the mask atomically, under the names of the plain model.

    The mask takes one bit per weight: uint8 tensors "ccprune.mask/NAME" hold the flattened mask in the format of
    `numpy.packbits`. The text metadata are format, mask (JSON of name -> shape), tied (JSON of name -> name that holds
    the values), requested (requested sparsity, if known), digests (JSON of name -> SHA-256 of the values) and sealed
    (SHA-256 of the other texts). Any safetensors reader can read the weights.

    Parameters
    ----------
    path : path
    model, mask : Module and Mask

    Raises
    ------
    ValueError
        If the mask does not fit the model, if pruned weights are not zero in it, and if its state has anything but
        tensors.

    Examples
    --------
    >>> import tempfile
    >>> from ccprune import prune, score
    >>> model, copy = nn.Linear(8, 4), nn.Linear(8, 4)
    >>> path = save(Path(tempfile.mkdtemp(), "model"), model, prune(model, score("magnitude", model), sparsity=0.75))
    >>> load(path, copy).kept, bool((copy.weight == model.weight).all())
    (8, True)
    """
    path = Path(path)
    violations = int(mask.check(model)["violations"]["all"])
    if violations:
        raise ValueError(f"model has {violations} pruned weights that are not zero: call mask.apply_(model) first")
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[object, str] = {}
    for name, value in _state(model).items():
        # Tied tensors are stored once. Any other view of a tensor is stored separately and contiguously.
        holder = first.setdefault(_identity(name, value), name)
        if holder == name:
            tensors[name] = value.detach().cpu().contiguous().clone()
        else:
            tied[name] = holder
    shapes = {}
    for name, keep in mask.keep.items():
        tensors[_MASK + name] = torch.from_numpy(np.packbits(keep.cpu().numpy()))
        shapes[name] = list(keep.shape)
    digests = {name: _digest(value) for name, value in tensors.items()}
    metadata = {"format": FORMAT, "mask": json.dumps(shapes), "tied": json.dumps(tied)}
    if mask.requested is not None:
        metadata["requested"] = repr(mask.requested)
    metadata |= {"digests": json.dumps(digests), "sealed": _seal(metadata)}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    return path


def load(path: str | os.PathLike, model: nn.Module) -> Mask:
    """Load a file of `save` into the model, in place and on the model's devices, and return the mask.

    Parameters
    ----------
    path : path
        File that `save` has written.
    model : Module
        Changed in place.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or not from `save`, or its names, shapes or dtypes are not those of the model. The model
        is then unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from ccprune import Mask
    >>> path = save(Path(tempfile.mkdtemp(), "model"), nn.Linear(2, 1), Mask({"weight": torch.ones(1, 2) > 0}))
    >>> load(path, nn.Linear(3, 1))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: ...
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file, got {str(path)!r}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} must have been written by ccprune.export.save, its format is {metadata.get('format')!r}"
        )
    try:
        mask = unpack(tensors, json.loads(metadata["mask"]), metadata.get("requested"))
        stored = {name: value for name, value in tensors.items() if not name.startswith(_MASK)}
        stored |= {name: stored[holder] for name, holder in json.loads(metadata["tied"]).items()}
        if any(bool(stored[name][~keep].any()) for name, keep in mask.keep.items()):
            raise ValueError("pruned weights are not zero")
        sealed = not metadata.keys() <= _UNSEALED
        if sealed and metadata["sealed"] != _seal(metadata):
            raise ValueError("the metadata were changed")
        digests = json.loads(metadata["digests"]) if sealed else {}
        changed = [name for name, value in tensors.items() if sealed and digests.get(name) != _digest(value)]
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: its mask or metadata do not fit together ({error})") from error
    state = _state(model)
    if state.keys() != stored.keys():
        raise ValueError(
            f"{path} must hold what the model has: missing {join_first(sorted(state.keys() - stored.keys()))}, "
            f"unknown to the model {join_first(sorted(stored.keys() - state.keys()))}"
        )
    for name, value in state.items():
        if (value.shape, value.dtype) != (stored[name].shape, stored[name].dtype):
            raise ValueError(
                f"{path} has {name!r} as {stored[name].dtype} of shape {tuple(stored[name].shape)}, "
                f"the model as {value.dtype} of shape {tuple(value.shape)}"
            )
    held: dict[object, str] = {}
    for name, value in state.items():
        if _digest(stored[held.setdefault(_identity(name, value), name)]) != _digest(stored[name]):
            raise ValueError(
                f"{path} has different values for {held[_identity(name, value)]!r} and {name!r}, the model one tensor"
            )
    if changed or not digests.keys() <= tensors.keys():
        raise ValueError(
            f"{path} is damaged: its values of {join_first(changed or sorted(digests))} are not those saved"
        )
    mask.check(model)  # raises if the names or shapes of the mask are not those of the model
    model.load_state_dict({own: stored[plain] for own, plain in plain_names(model).items()})
    return mask


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the model by plain name, without copying them."""
    names = plain_names(model)
    state = {names[name]: value for name, value in model.state_dict().items()}
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"model's state must be tensors, got others: {join_first(others)}")
    return state


def _seal(metadata: dict[str, str]) -> str:
    """Return the SHA-256 (hex) of the metadata but for the digests."""
    kept = {key: value for key, value in metadata.items() if key not in ("digests", "sealed")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _digest(value: Tensor) -> str:
    """Return the SHA-256 (hex) of the bytes of the values."""
    return hashlib.sha256(raw_bytes(value)).hexdigest()


def _identity(name: str, value: Tensor) -> object:
    """Return a key that is equal for tied tensors and for no others."""
    return (value.data_ptr(), value.shape, value.stride(), value.dtype) if value.numel() else name


def unpack(tensors: dict[str, Tensor], shapes: dict[str, list[int]], requested: str | None) -> Mask:
    """Return the mask that a file holds."""
    keep = {}
    for name, shape in shapes.items():
        bits, count = tensors[_MASK + name], int(np.prod(shape))
        if bits.dtype != torch.uint8 or bits.shape != (-(-count // 8),):
            raise ValueError(f"{count} mask bits of {name!r} expected, got {bits.dtype} of shape {tuple(bits.shape)}")
        keep[name] = torch.from_numpy(np.unpackbits(bits.numpy(), count=count).astype(bool)).reshape(shape)
    if requested is not None and not 0 <= float(requested) <= 1:
        raise ValueError(f"the requested sparsity is {requested}")
    return Mask(keep, requested=None if requested is None else float(requested))
