"""What a mask did to a model, and what it did not: sizes, operations and times, dense, masked and exported."""

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
    """From `ccprune.report`. Indexing and `loc` read `layers`; notebooks show all of it.

    Attributes
    ----------
    requested : float or None
        Sparsity that was asked for, where the mask knows it.
    achieved : float
        Pruned fraction of prunable weights.
    layers : DataFrame
        One row per masked tensor, and "all". weights, kept, pruned, density (kept / weights); violations, pruned
        weights that are not zero in the model; dead_outputs, output units or channels all of whose weights are pruned
        (they still give out their bias); dead_inputs, input units or channels that no weight reads; collapsed, 1 where
        nothing is kept. With an example also macs_dense and macs_kept, multiply-adds for one example.
    forms : DataFrame
        Rows dense, masked and, if given, exported. parameters, of the whole model without pruned weights; macs and
        flops of one example (2 FLOPs each), which for masked are those of a kernel that skips zeros, and missing for
        sparse kernels, which torch's counter does not know, and without an example; file_bytes, of the saved
        state_dict, and compressed_bytes, by zlib; and where asked for the seconds of a forward pass over the example
        batch: median, low, high (quartiles), and relative, to dense.
    """

    requested: float | None
    achieved: float
    layers: pd.DataFrame
    forms: pd.DataFrame

    def __getitem__(self, column: str) -> pd.Series:
        return self.layers[column]

    @property
    def loc(self) -> Any:
        """Of `layers`."""
        return self.layers.loc

    @property
    def summary(self) -> str:
        """One line on the sparsity, and one on each thing that may be wrong."""
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
    """Measure what a mask did to a model, and what it did not.

    Parameters
    ----------
    model : Module
        Left as it was.
    mask : Mask
    example_input : Tensor (n, ...), optional
        A batch; with it multiply-adds and FLOPs are counted.
    exported : Module, optional
        What `ccprune.export` made of the model: its parameters, file and time are reported too.
    latency : bool, default False
        Whether forward passes on the example are timed.
    repeats : int, default 100
        Timed passes of each form.

    Raises
    ------
    ValueError
        If the mask does not fit the model, as `Mask.apply_`; for models whose operations cannot be counted; for latency
        without an example.
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
        # (groups, outputs of a group, inputs of a group, places)
        groups = getattr(found[name][0], "groups", 1)
        parts = keep.reshape(groups, len(keep) // groups, keep.shape[1] if keep.ndim > 1 else 1, -1)
        outputs, inputs = parts.any(3).any(2), parts.any(3).any(1)
        dead[name] = (int((~outputs).sum()), int((~inputs).sum()), int(not keep.any()))
    columns = ["dead_outputs", "dead_inputs", "collapsed"]
    more = pd.DataFrame.from_dict(dead, orient="index", columns=columns)
    more.loc["all"] = more.sum()
    return table.join(more)


def _parameters(model: nn.Module) -> int:
    # Those in 2:4 tensors have the dense shape and half of its values.
    return sum(p.numel() // (2 if isinstance(p, SparseSemiStructuredTensor) else 1) for p in model.parameters())


def _sparse(model: nn.Module) -> bool:
    sparse = any(isinstance(module, timing.SparseLinear) for module in model.modules())
    return sparse or any(isinstance(parameter, SparseSemiStructuredTensor) for parameter in model.parameters())


def _file_bytes(model: nn.Module) -> tuple[int, int]:
    """Of the state as `torch.save` writes it, and of that file compressed."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getbuffer().nbytes, len(zlib.compress(file.getbuffer()))
