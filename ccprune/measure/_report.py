"""Report on the effects of a mask: sizes, operations and times of the dense, masked and exported model."""

import copy
import io
import zlib
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.sparse import SparseSemiStructuredTensor

from ccprune.mask import Mask, unwrap
from ccprune.mask._names import owners
from ccprune.measure import latency as timing
from ccprune.measure import operations as flops

NOTE = (
    "Masking alone does not make inference faster: dense kernels multiply zeros like any other number. "
    "ccprune.export makes models that leave them out."
)


@dataclass(frozen=True, eq=False)
class SparsityReport:
    """Result of `ccprune.report`; indexing and `loc` access `layers`, and notebooks display the whole report.

    Attributes
    ----------
    requested : float or None
        Requested sparsity, or None if the mask does not record it.
    achieved : float
        Pruned fraction of prunable weights.
    layers : DataFrame
        One row per masked tensor, and a row "all". Columns: weights, kept, pruned, density (kept / weights); violations
        (pruned weights that are not zero in the model); dead_outputs (output units or channels all of whose weights are
        pruned; their output is still their bias); dead_inputs (input units or channels that no weight uses); collapsed
        (1 where no weight is kept). With an example also macs_dense and macs_kept (multiply-adds for one example).
    forms : DataFrame
        Rows dense, masked and, if given, exported. Columns: parameters (of the whole model without pruned weights);
        with an example macs and flops of one example (2 FLOPs per multiply-add), which for masked are those of a kernel
        that skips zeros, and which are missing for sparse kernels, because torch's counter does not support them;
        file_bytes (size of the saved state_dict) and compressed_bytes (the same with zlib); and if requested the
        seconds of a forward pass over the example batch as median, low, high (quartiles), and relative (median over
        that of dense).
    """

    requested: float | None
    achieved: float
    layers: pd.DataFrame
    forms: pd.DataFrame

    def __getitem__(self, column: str) -> pd.Series:
        return self.layers[column]

    @property
    def loc(self) -> Any:
        """The `loc` indexer of `layers`."""
        return self.layers.loc

    @property
    def summary(self) -> str:
        """One line with the sparsity, and one line for each possible problem."""
        total = self.layers.loc["all"]
        asked = "" if self.requested is None else f" ({self.requested:.4%} requested)"
        lines = [f"{int(total['kept'])} of {int(total['weights'])} weights kept: sparsity {self.achieved:.4%}{asked}"]
        for column, meaning in (
            ("violations", "pruned weights that are not zero in the model (train under mask.enforce, or apply_ it)"),
            ("collapsed", "layers without any weights left (nothing of the input passes them)"),
            ("dead_outputs", "output units and channels without weights left"),
        ):
            if total[column]:
                lines.append(f"{meaning}: {int(total[column])}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n\n".join([self.summary, self.layers.to_string(), self.forms.to_string(), NOTE])

    def _repr_html_(self) -> str:
        lines = "<br>".join(escape(line) for line in self.summary.split("\n"))
        shown = [table.to_html(float_format=lambda value: f"{value:.4g}") for table in (self.layers, self.forms)]
        return "".join([f"<p>{lines}</p>", *shown, f"<p>{escape(NOTE)}</p>"])


def report(
    model: nn.Module,
    mask: Mask,
    example_input: Tensor | None = None,
    *,
    exported: nn.Module | None = None,
    latency: bool = False,
    repeats: int = 100,
) -> SparsityReport:
    """Measure the effects of a mask on the sizes, operations and times of a model.

    Parameters
    ----------
    model : Module
        Model; left unchanged.
    mask : Mask
        Mask of the model.
    example_input : Tensor (n, ...), optional
        Batch with which multiply-adds and FLOPs are counted.
    exported : Module, optional
        Result of `ccprune.export` for the model, whose parameters, file and time are reported too.
    latency : bool, default False
        Whether forward passes on the example are timed.
    repeats : int, default 100
        Number of timed passes of each form.

    Raises
    ------
    ValueError
        If the mask does not fit the model, as `Mask.apply_`; if the operations of the model cannot be counted; or if
        `latency` is requested without an example.
    """
    if latency and example_input is None:
        raise ValueError("latency needs an example_input to be measured on, got none")
    layers = _layers(mask, model)
    model = unwrap(model)
    networks = {"dense": model, "masked": mask.apply_(copy.deepcopy(model))}
    if exported is not None:
        networks["exported"] = exported
    forms = pd.DataFrame(index=pd.Index(networks, name="form"))
    pruned = {"masked": mask.total - mask.kept}
    forms["parameters"] = [_parameters(network) - pruned.get(form, 0) for form, network in networks.items()]
    if example_input is not None:
        counted = flops.count(model, example_input, mask=mask)
        layers = layers.join(counted[["macs_dense", "macs_kept"]])
        macs = {"dense": counted["macs_dense"]["all"], "masked": counted["macs_kept"]["all"]}
        if exported is not None and not _sparse(exported):
            macs["exported"] = flops.count(exported, example_input)["macs_dense"]["all"]
        forms["macs"] = pd.Series(macs, dtype="Int64")
        forms["flops"] = 2 * forms["macs"]
    sizes = [_file_bytes(network) for network in networks.values()]
    forms["file_bytes"], forms["compressed_bytes"] = zip(*sizes, strict=True)
    if latency and example_input is not None:
        times = [timing.inference(network, example_input, repeats=repeats) for network in networks.values()]
        for column in ("median", "low", "high"):
            forms[column] = [getattr(time, column) for time in times]
        forms["relative"] = forms["median"] / forms["median"]["dense"]
    return SparsityReport(mask.requested, mask.sparsity, layers, forms)


def _layers(mask: Mask, model: nn.Module) -> pd.DataFrame:
    table = mask.check(model)
    found = owners(model)
    dead = {}
    for name, keep in mask.keep.items():
        # (groups, outputs of a group, inputs of a group, kernel positions)
        groups = getattr(found[name][0], "groups", 1)
        parts = keep.reshape(groups, len(keep) // groups, keep.shape[1] if keep.ndim > 1 else 1, -1)
        outputs, inputs = parts.any(3).any(2), parts.any(3).any(1)
        dead[name] = (int((~outputs).sum()), int((~inputs).sum()), int(not keep.any()))
    columns = ["dead_outputs", "dead_inputs", "collapsed"]
    more = pd.DataFrame.from_dict(dead, orient="index", columns=columns)
    more.loc["all"] = more.sum()
    return table.join(more)


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
    return file.getbuffer().nbytes, len(zlib.compress(file.getbuffer()))
