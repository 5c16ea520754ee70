"""Runs of the follow-up's protocol for several methods, schedules and totals, made of units that resume."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.procedure import follow_up
from replication.causal.follow_up.protocols import METHODS, SCHEDULES, Protocol
from replication.causal.runs import Network, training_key
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units


def follow_up_runs(
    network: Network,
    images: Images,
    held: Images,
    setting: Setting,
    protocol: Protocol,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    names: Sequence[str],
    totals: Sequence[float],
    seeds: Sequence[int],
    schedules: Sequence[str] = SCHEDULES,
    checkpoints: Path | None = None,
) -> Rows:
    """Run every method under every schedule, so that methods can be compared at the same schedule and budget.

    One unit is one (seed, method, schedule, total). Dense training depends on neither schedule nor total, so that it is
    one unit per seed. An interrupted run resumes at the last unit, and with `checkpoints` at the last epoch within it.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    held : Images
        Held-out images in their test part, as returned by `hold_out`.
    setting : Setting
        Settings of the training.
    protocol : Protocol
        Lengths of the runs; its fit and its schedule are not used.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.
    names : sequence of str
        Some of `protocols.METHODS`.
    totals : sequence of float
        Pruned shares of the prunable weights.
    seeds : sequence of int
        Repetitions; more can be added later.
    schedules : sequence of str, default `SCHEDULES`
        Some of "cubic" and "geometric".
    checkpoints : Path, optional
        Folder of this study's checkpoints, with one file for the unit in progress, which is deleted when the unit is
        stored.

    Returns
    -------
    list of dict
        `Run.row` with seed, schedule and total, which are None and 0 for dense.

    Raises
    ------
    ValueError
        For an unknown name or schedule, a total outside [0, 1), or a loss that is not finite.
    """
    for argument, values, known in (("names", names, METHODS), ("schedules", schedules, SCHEDULES)):
        if unknown := [value for value in values if value not in known]:
            raise ValueError(f"{argument} must be among {known}, got {unknown}")
    found: Rows = []
    for seed in seeds:
        for name in names:
            for schedule, total in [(None, 0.0)] if name == "dense" else [(s, t) for s in schedules for t in totals]:
                one = {
                    **key,
                    **training_key(setting),
                    **protocol.lengths,
                    "study": "follow_up",
                    "seed": seed,
                    "method": name,
                }
                one |= protocol.recording(name)
                one |= {} if schedule is None else {"schedule": schedule, "total": total}
                chosen = protocol if schedule is None else replace(protocol, schedule=schedule)
                file = None if checkpoints is None else checkpoints / f"{name}-{schedule}-{total}-seed{seed}.pt"
                checkpoint = Checkpoint(file, one)
                options = {"total": total, "method": name, "seed": seed, "checkpoint": checkpoint}
                run = partial(_run, network, images, held, setting, chosen, schedule, **options)
                found += units.get(one, run, earlier=checkpoint.earlier)
                checkpoint.remove()
    return found


def _run(
    network: Network,
    images: Images,
    held: Images,
    setting: Setting,
    protocol: Protocol,
    schedule: str | None,
    *,
    seed: int,
    total: float,
    **options: Any,
) -> Rows:
    run = follow_up(network(seed), images, held, setting, protocol, seed=seed, total=total, **options)
    return [{"seed": seed, "schedule": schedule, "total": total} | run.row()]
