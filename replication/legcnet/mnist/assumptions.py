"""What had to be assumed about MNIST, varied; and how far rounding alone moves a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd
import torch

from replication.ledger import Cell
from replication.legcnet.mnist.rows import Digits
from replication.legcnet.mnist.runs import Effort
from replication.legcnet.mnist.training import Trained, measure, train
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import stack_models


def dense_runs(assumed: Mapping[str, Digits], *, seeds: Sequence[int] = (1, 2, 3, 4), effort: Effort) -> pd.DataFrame:
    """Train dense networks under each assumption about the data.

    With seeds 1 to 4 the initial states and the orders of the samples are the authors'.

    Parameters
    ----------
    assumed : mapping of str to Digits
        Data by the name of the assumption.
    seeds : sequence of int, default (1, 2, 3, 4)
        Seeds of the networks and of the orders.
    effort : Effort
        Mini-batch size, benchmark and budget.

    Returns
    -------
    DataFrame
        One row per assumption and seed: assumed, network (the seed), epochs, reached, and the attributes of
        `training.Measures`.
    """
    parts = []
    for name, digits in assumed.items():
        for seed in seeds:
            trained = train(stack_models([legcnet_mnist(seed=seed)]), digits, seed=seed, **asdict(effort))
            parts.append(_rows(trained, digits, effort).assign(assumed=name, network=seed))
    return pd.concat(parts, ignore_index=True)


def rounding(digits: Digits, *, seed: int, copies: int, effort: Effort) -> pd.DataFrame:
    """Repeat one dense run with its initial weights moved by a unit in the last place.

    Each weight is increased, decreased or kept, at random; the first copy is the run itself. The spread of the copies
    cannot be reduced by anyone who repeats the run on another machine.

    Parameters
    ----------
    digits : Digits
        Training and test rows.
    seed : int
        Seed of the network, of the order and of the moves.
    copies : int
        Number of runs, the first included.
    effort : Effort
        Mini-batch size, benchmark and budget.

    Returns
    -------
    DataFrame
        One row per copy: network (from 0), epochs, reached, and the attributes of `training.Measures`.
    """
    networks = stack_models([legcnet_mnist(seed=seed)] * copies)
    generator = torch.Generator().manual_seed(seed)
    for value in networks.parameters.values():
        towards = torch.randint(-1, 2, value.shape, generator=generator)
        towards[0] = 0
        moved = torch.nextafter(value, torch.where(towards > 0, torch.inf, -torch.inf))
        value.copy_(torch.where(towards == 0, value, moved))
    trained = train(networks, digits, seed=seed, **asdict(effort))
    return _rows(trained, digits, effort).assign(network=range(copies))


def cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return accuracy and epochs under each assumption, as means over seeds.

    Parameters
    ----------
    table : DataFrame
        Rows of `dense_runs`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
        Epochs are None where no run reached the benchmark.
    """
    found = []
    for name, part in table.groupby("assumed", sort=False):
        reached = int(part.reached.sum())
        note = (
            f"{reached} of {len(part)} runs reached the benchmark; seeds {part.network.min()} to {part.network.max()}"
        )
        epochs = float(part.epochs[part.reached].mean()) if reached else None
        for quantity, ours in (("accuracy", float(part.accuracy_printed.mean())), ("epochs", epochs)):
            where = {"paper": "legcnet", "table": "rows_of_mnist_csv", "dataset": dataset, "method": f"dense, {name}"}
            found.append(Cell(**where, quantity=quantity, ours=ours, n=len(part), note=note, profile=profile))
    return found


def rounding_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return the mean over the copies of `rounding`, with their range in the note.

    There is no interval, because the copies are one run.

    Parameters
    ----------
    table : DataFrame
        Rows of `rounding`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
        Epochs and accuracy.
    """
    found = []
    for quantity in ("epochs", "accuracy"):
        values = table[quantity]
        note = f"one run, initial weights moved by a unit in the last place: {values.min():.4g} to {values.max():.4g}"
        where = {"paper": "legcnet", "table": "rounding", "dataset": dataset, "method": "dense", "quantity": quantity}
        found.append(Cell(**where, ours=float(values.mean()), n=len(table), note=note, profile=profile))
    return found


def _rows(trained: Trained, digits: Digits, effort: Effort) -> pd.DataFrame:
    measures = measure(trained.networks, digits, batch_size=effort.batch_size)
    rows = pd.DataFrame([asdict(found) for found in measures])
    return rows.assign(epochs=trained.epochs.numpy(), reached=trained.reached.numpy())
