"""Energy of a computation, measured by codecarbon where it is installed.

codecarbon (3.3 or later) reads a processor's energy counter where the system permits it. A virtual machine has no such
counter. There the CPU's energy is the CPU time times a share of the processor's nominal power, which holds no more
information than the CPU time, and is marked as estimated. The memory's energy is always an estimate from its size and
the elapsed time.
"""

import importlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import pandas as pd

from ccprune._util.checks import require_at_least

_JOULES = 3.6e6  # in a kilowatt hour
# How codecarbon describes processors whose energy it reads; all others it estimates.
_COUNTERS = ("Intel Rapl", "Intel Power Gadget", "Windows Emi", "AppleSiliconChip", "Raspberry")


class EnergyUnavailable(RuntimeError):
    """Raised if codecarbon is not installed, is too old, or measured nothing; the message gives the reason."""


@dataclass(frozen=True)
class Energy:
    """Energy of one run of a function, as the mean over `repeats` consecutive runs.

    Attributes
    ----------
    joules : float
        Sum of cpu, gpu and ram.
    cpu, gpu, ram : float
        Energy in joules. A counter includes all work of the processor or graphics card in this time. An estimate of the
        CPU's energy includes this process alone.
    seconds : float
        Wall time of one run.
    repeats : int
        Number of runs.
    measured : bool
        Whether the CPU's energy was read from a counter.
    source : str
        Source of each part, for the caption of a figure.
    """

    joules: float
    cpu: float
    gpu: float
    ram: float
    seconds: float
    repeats: int
    measured: bool
    source: str


def measure_energy(function: Callable[[], object], *, repeats: int = 1) -> Energy:
    """Measure the energy of `function()`, which is called `repeats` times in a row.

    All calls together should last some seconds. No file is written outside a temporary folder, no connection is
    opened and nothing is printed.

    Parameters
    ----------
    function : callable
        Called without arguments.
    repeats : int, default 1
        Number of calls, at least 1.

    Returns
    -------
    Energy
        Mean of one call.

    Raises
    ------
    EnergyUnavailable
        If there is no measurement; the message gives the reason.
    ValueError
        If `repeats` is below 1.
    """
    require_at_least(1, repeats=repeats)
    codecarbon = _codecarbon()
    with _collected_warnings() as warnings, tempfile.TemporaryDirectory() as folder:
        tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code="USA",  # for grams of CO2, which are not used
            tracking_mode="process",
            measure_power_secs=1,
            output_methods=[],
            output_dir=folder,  # the readers of some processors write a log there
            emissions_endpoint=False,
            electricitymaps_api_token=False,
            allow_multiple_runs=True,
            log_level="warning",
        )
        try:
            tracker.get_detected_hardware()
        except Exception as problem:  # after any error in codecarbon there is no measurement
            raise EnergyUnavailable(_reason("codecarbon failed to start", warnings)) from problem
        tracker.start()
        begin = time.perf_counter()
        try:
            for _ in range(repeats):
                function()
            seconds = time.perf_counter() - begin
        finally:
            tracker.stop()
    emissions = getattr(tracker, "final_emissions_data", None)
    if emissions is None:
        raise EnergyUnavailable(_reason("codecarbon measured nothing", warnings))
    parts = {name: getattr(emissions, f"{name}_energy") * _JOULES / repeats for name in ("cpu", "gpu", "ram")}
    if not parts["cpu"] > 0:
        text = f"codecarbon measured no CPU energy in {seconds:.2g} s, which is too short; raise repeats"
        raise EnergyUnavailable(_reason(text, warnings))
    counter, source = _source(tracker, parts)
    return Energy(
        sum(parts.values()), **parts, seconds=seconds / repeats, repeats=repeats, measured=counter, source=source
    )


def compare_energy(functions: Mapping[str, Callable[[], object]], *, rounds: int, repeats: int = 1) -> pd.DataFrame:
    """Measure the energy of several functions in alternation, so that other load on the machine affects all alike.

    Each function is called once beforehand, without measurement, because the first call may compile.

    Parameters
    ----------
    functions : mapping of str to callable
        Functions without arguments, by name.
    rounds : int
        Number of measurements of each function, at least 1.
    repeats : int, default 1
        Number of calls in each measurement, at least 1.

    Returns
    -------
    DataFrame
        One row per round and name, with the columns name, round and the fields of `Energy`.

    Raises
    ------
    EnergyUnavailable, ValueError
        As `measure_energy`.
    """
    require_at_least(1, rounds=rounds, repeats=repeats)
    _codecarbon()  # raises before any function is called
    for function in functions.values():
        function()
    rows = [
        {"name": name, "round": i, **vars(measure_energy(function, repeats=repeats))}
        for i in range(rounds)
        for name, function in functions.items()
    ]
    return pd.DataFrame(rows)


def _codecarbon() -> ModuleType:
    try:
        module = importlib.import_module("codecarbon")
    except ImportError as problem:
        raise EnergyUnavailable(
            f"codecarbon cannot be imported ({problem}): pip install 'codecarbon>=3.3'"
        ) from problem
    if not hasattr(module, "OutputMethod"):
        installed = getattr(module, "__version__", "an older version")
        raise EnergyUnavailable(f"codecarbon must be 3.3 or later, got {installed}: pip install 'codecarbon>=3.3'")
    return module


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Collect the warnings of codecarbon's logger in the block instead of printing them."""
    logger, messages = logging.getLogger("codecarbon"), []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage().strip())
        return False

    level = logger.level
    logger.addFilter(collect)
    try:
        yield messages
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)


def _reason(text: str, warnings: list[str]) -> str:
    return f"{text}; codecarbon's warnings: {' | '.join(warnings)}" if warnings else text


def _source(tracker: object, parts: Mapping[str, float]) -> tuple[bool, str]:
    kinds = [hardware.description() for hardware in getattr(tracker, "_hardware", [])]
    counter = next((name for name in _COUNTERS if any(name in kind for kind in kinds)), None)
    texts = [f"CPU measured ({counter})" if counter else "CPU estimated from TDP and CPU time"]
    if parts["gpu"] > 0:
        texts.append("GPU measured")
    return counter is not None, ", ".join([*texts, "RAM estimated"])
