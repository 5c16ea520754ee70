"""Report on the effects of a mask: sizes, operations and times of the dense, masked and exported model."""

import io
import warnings
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from html import escape

import pandas as pd
import torch
from torch import Tensor, nn
from torch.sparse import SparseSemiStructuredTensor

from ccprune._util.inputs import Inputs, first_inputs
from ccprune.mask import Mask, unwrap
from ccprune.mask._kinds import axes_of
from ccprune.mask._names import owners
from ccprune.measure import latency as timing
from ccprune.measure import operations as flops
from ccprune.measure._coverage import CoverageWarning, coverage, describe_shared, left_out, mostly_left_out
from ccprune.measure.operations import UNCOUNTED

# Larger files are not compressed as a whole, which would take seconds for 100 MB, but in evenly spaced blocks.
_BLOCKS, _BLOCK = 32, 1 << 18

NOTE = (
    "Masking alone does not make inference faster: dense kernels multiply zeros like any other number. "
    "ccprune.export makes models that leave them out."
)


@dataclass(frozen=True, eq=False)
class SparsityReport:
    """Result of `ccprune.report`, which notebooks display.

    Attributes
    ----------
    requested, achieved : float
        Requested sparsity, None if the mask does not record it, and pruned fraction of the mask's weights.
    layers : DataFrame
        One row per masked tensor, and a row "all". Columns: weights, kept, pruned, density (kept / weights); violations
        (pruned weights that are not zero in the model); dead_outputs (output units or channels all of whose weights are
        pruned; their output is still their bias); dead_inputs (input units or channels that no weight uses); collapsed
        (1 where no weight is kept). With an example also macs_dense and macs_kept (multiply-adds for one example).
    left_out : DataFrame
        One row per parameter that the mask does not name. Columns: kind (type of its module, with "frozen" for a
        prunable layer that is not trained), dimensions, weights.
    forms : DataFrame
        Rows dense, masked and, if given, exported. Columns: parameters (without pruned weights); with an example macs
        and flops of one example (2 FLOPs per multiply-add; masked: of a kernel that skips zeros; missing for sparse
        kernels, which torch's counter does not support); file_bytes (size of the saved state_dict) and compressed_bytes
        (the same with zlib, of more than 8 MiB estimated from 32 blocks; missing for dense where the model's pruned
        weights are already zero); and if requested the seconds of a forward pass over the example batch as median, low,
        high (quartiles), and relative (median over that of dense).
    notes : tuple of str
        Further lines of the summary: products that were not counted, and weights that other modules share.
    """

    requested: float | None
    achieved: float
    layers: pd.DataFrame
    left_out: pd.DataFrame
    forms: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Lines with the sparsity and what it is a fraction of, and one line for each possible problem."""
        total = self.layers.loc["all"]
        asked = "" if self.requested is None else f" ({self.requested:.4%} requested)"
        lines = [f"{int(total['kept'])} of {int(total['weights'])} weights kept: sparsity {self.achieved:.4%}{asked}"]
        lines += coverage(self.left_out, int(total["weights"]), int(total["pruned"]))
        for column, meaning in (
            ("violations", "pruned weights that are not zero in the model (train under mask.enforce, or apply_ it)"),
            ("collapsed", "layers without any weights left (nothing of the input passes them)"),
            ("dead_outputs", "output units and channels without weights left"),
        ):
            if total[column]:
                lines.append(f"{meaning}: {int(total[column])}")
        lines += self.notes
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n\n".join([self.summary, self.layers.to_string(), self.forms.to_string(), NOTE])

    def _repr_html_(self) -> str:
        lines = "<br>".join(escape(line) for line in self.summary.split("\n"))
        options = {"float_format": lambda value: f"{value:.4g}" if value < 1e4 else f"{value:.0f}", "na_rep": "–"}
        shown = [table.to_html(**options) for table in (self.layers, self.forms)]
        return "".join([f"<p>{lines}</p>", *shown, f"<p>{escape(NOTE)}</p>"])


def report(
    model: nn.Module,
    mask: Mask,
    example_input: Inputs | None = None,
    *,
    exported: nn.Module | None = None,
    latency: bool = False,
    repeats: int = 100,
) -> SparsityReport:
    """Measure the effects of a mask on the sizes, operations and times of a model.

    Parameters
    ----------
    model : Module
        Left unchanged.
    mask : Mask
    example_input : Tensor (n, ...), tuple, mapping, or iterable of batches, optional
        Batch with which multiply-adds and FLOPs are counted.
    exported : Module, optional
        Model of a result of `ccprune.export` (its attribute `model`), whose parameters, file and time are reported too.
    latency : bool, default False
        Whether forward passes of each form on the example are timed.
    repeats : int, default 100
        Number of timed passes.

    Raises
    ------
    ValueError
        If the mask does not fit the model, for an example whose operations cannot be counted, and if `latency` is
        requested without one.

    Warns
    -----
    CoverageWarning
        If the mask leaves out most of the weights in tensors of two or more dimensions.

    Examples
    --------
    >>> from ccprune import prune, score
    >>> model = nn.Linear(8, 4)
    >>> found = report(model, prune(model, score("magnitude", model), sparsity=0.75), torch.ones(1, 8))
    >>> found.achieved, found.layers.loc["weight", ["macs_dense", "macs_kept"]].tolist()
    (0.75, [32, 8])
    """
    if latency and example_input is None:
        raise ValueError("latency needs an example_input to be measured on, got none")
    layers = _layers(mask, model)
    model = unwrap(model)
    left, notes = left_out(model, mask), describe_shared(model, mask)
    warning = mostly_left_out(left, mask)
    if warning:
        warnings.warn(warning, CoverageWarning, stacklevel=2)
        notes.insert(0, warning)
    networks = {"dense": model, "masked": model}
    if exported is not None:
        networks["exported"] = exported
    forms = pd.DataFrame(index=pd.Index(networks, name="form"))
    pruned = {"masked": mask.total - mask.kept}
    forms["parameters"] = [_parameters(network) - pruned.get(form, 0) for form, network in networks.items()]
    if example_input is not None:
        example_input = first_inputs(example_input, name="example_input")
        counted = flops.count(model, example_input, mask=mask)
        layers = layers.join(counted[["macs_dense", "macs_kept"]])
        notes += [f"{name} ({uses} calls)" for name, uses in counted["uses"].items() if str(name).startswith(UNCOUNTED)]
        macs = {"dense": counted["macs_dense"]["all"], "masked": counted["macs_kept"]["all"]}
        if exported is not None and not _sparse(exported):
            macs["exported"] = flops.count(exported, example_input)["macs_dense"]["all"]
        forms["macs"] = pd.Series(macs, dtype="Int64")
        forms["flops"] = 2 * forms["macs"]
    rows, times = [], []
    for form, network in networks.items():
        with mask.applied(model) if form == "masked" else nullcontext():
            rows.append(_file_bytes(network))
            if latency and example_input is not None:
                times.append(timing.inference(network, example_input, repeats=repeats))
    forms["file_bytes"], forms["compressed_bytes"] = zip(*rows, strict=True)
    if layers.loc["all", "violations"] < layers.loc["all", "pruned"]:
        forms["compressed_bytes"] = forms["compressed_bytes"].astype("float64")
        forms.loc["dense", "compressed_bytes"] = float("nan")
    if times:
        for column in ("median", "low", "high"):
            forms[column] = [getattr(time, column) for time in times]
        forms["relative"] = forms["median"] / forms["median"]["dense"]
    return SparsityReport(mask.requested, mask.sparsity, layers, left, forms, tuple(notes))


def _layers(mask: Mask, model: nn.Module) -> pd.DataFrame:
    table = mask.check(model)
    found = owners(model)
    dead = {}
    for name, keep in mask.keep.items():
        outputs, inputs = (parts := _parts(keep, *found[name])).any(3).any(2), parts.any(3).any(1)
        dead[name] = (int((~outputs).sum()), int((~inputs).sum()), int(not keep.any()))
    columns = ["dead_outputs", "dead_inputs", "collapsed"]
    more = pd.DataFrame.from_dict(dead, orient="index", columns=columns)
    more.loc["all"] = more.sum()
    return table.join(more)


def _parts(keep: Tensor, module: nn.Module, attribute: str) -> Tensor:
    """Return a mask in the shape (groups or experts, outputs of a group, inputs of a group, kernel positions)."""
    axes = axes_of(module, attribute)
    if keep.ndim < 2:
        return keep.reshape(1, -1, 1, 1)
    if axes.batch is not None:
        parts = keep.movedim((axes.batch, axes.output, axes.input), (0, 1, 2))
    else:
        groups = getattr(module, "groups", 1) if keep.ndim > 2 else 1
        parts = keep.unflatten(0, (groups, -1)).movedim((axes.output + 1, axes.input + 1), (1, 2))
    return parts.reshape(*parts.shape[:3], -1)


def _parameters(model: nn.Module) -> int:
    # 2:4 tensors have the dense shape but store half of the values.
    return sum(p.numel() // (2 if isinstance(p, SparseSemiStructuredTensor) else 1) for p in model.parameters())


def _sparse(model: nn.Module) -> bool:
    sparse = any(isinstance(module, timing.SparseLinear) for module in model.modules())
    return sparse or any(isinstance(parameter, SparseSemiStructuredTensor) for parameter in model.parameters())


def _file_bytes(model: nn.Module) -> tuple[int, int]:
    """Return the size of the state as written by `torch.save`, and that of the compressed file."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    content = file.getbuffer()
    if content.nbytes <= _BLOCKS * _BLOCK:
        return content.nbytes, len(zlib.compress(content))
    starts = [place * (content.nbytes - _BLOCK) // (_BLOCKS - 1) for place in range(_BLOCKS)]
    share = sum(len(zlib.compress(content[start : start + _BLOCK])) for start in starts) / (_BLOCKS * _BLOCK)
    return content.nbytes, round(share * content.nbytes)
