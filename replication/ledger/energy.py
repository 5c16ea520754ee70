"""Energy of a computation, by codecarbon where it is installed.

codecarbon (3.3 or later) reads a processor's energy counter where the system lets it. In a virtual machine there is
none: there its figure is the CPU time times a share of the processor's nominal power, which says no more than the CPU
time does, and is marked as estimated. Memory's share is always an estimate, from its size and the time that passed.
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

from ccprune._util.checks import at_least

_JOULES = 3.6e6  # in a kilowatt hour
# How codecarbon describes processors whose energy it reads; all others it estimates.
_COUNTERS = ("Intel Rapl", "Intel Power Gadget", "Windows Emi", "AppleSiliconChip", "Raspberry")


class EnergyUnavailable(RuntimeError):
    """Codecarbon is not installed, too old, or has no figure; the message says which."""


@dataclass(frozen=True)
class Energy:
    """Of one run of a function, the mean over `repeats` runs in a row.

    Attributes
    ----------
    joules : float
        cpu + gpu + ram.
    cpu, gpu, ram : float
        Joules. A counter counts all that the processor or graphics card did meanwhile, an estimate of the CPU this
        process alone.
    seconds : float
    repeats : int
    measured : bool
        Whether the CPU's joules come from a counter.
    source : str
        Where each part comes from, for a figure's caption.
    """

    joules: float
    cpu: float
    gpu: float
    ram: float
    seconds: float
    repeats: int
    measured: bool
    source: str


def measured(function: Callable[[], object], *, repeats: int = 1) -> Energy:
    """Energy of `function()`, run `repeats` times in a row by one tracker: a run should last some seconds.

    No file is written outside a temporary folder, nothing is sent or asked for, nothing is printed. Raises
    EnergyUnavailable with the reason, ValueError for fewer than 1 repeat, and what the function raises.
    """
    at_least(1, repeats=repeats)
    codecarbon = _codecarbon()
    with _collected_warnings() as said, tempfile.TemporaryDirectory() as folder:
        tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code="USA",  # for grams of CO2, which are not looked at
            tracking_mode="process",
            measure_power_secs=1,
            output_methods=[],
            output_dir=folder,  # some processors' readers keep a log there
            emissions_endpoint=False,
            electricitymaps_api_token=False,
            allow_multiple_runs=True,
            log_level="warning",
        )
        try:
            tracker.get_detected_hardware()
        except Exception as problem:  # whatever goes wrong in there, there is no figure
            raise EnergyUnavailable(_reason("codecarbon does not start", said)) from problem
        tracker.start()
        begin = time.perf_counter()
        try:
            for _ in range(repeats):
                function()
            seconds = time.perf_counter() - begin
        finally:
            tracker.stop()
    found = getattr(tracker, "final_emissions_data", None)
    if found is None:
        raise EnergyUnavailable(_reason("codecarbon has no figure", said))
    parts = {name: getattr(found, f"{name}_energy") * _JOULES / repeats for name in ("cpu", "gpu", "ram")}
    if not parts["cpu"] > 0:
        raise EnergyUnavailable(_reason(f"codecarbon has no CPU energy of {seconds:.2g} s: too short to be seen", said))
    counter, source = _source(tracker, parts)
    return Energy(
        sum(parts.values()), **parts, seconds=seconds / repeats, repeats=repeats, measured=counter, source=source
    )


def compared(functions: Mapping[str, Callable[[], object]], *, rounds: int, repeats: int = 1) -> pd.DataFrame:
    """Energy of several functions in turn, `rounds` times, so that what else the machine does meets all of them alike.

    Each is run once beforehand, uncounted (compilation). One row per name and round, with the fields of `Energy`.
    Raises as `measured`.
    """
    at_least(1, rounds=rounds, repeats=repeats)
    _codecarbon()  # says so before anything has been run
    for function in functions.values():
        function()
    rows = [
        {"name": name, "round": i, **vars(measured(function, repeats=repeats))}
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
        found = getattr(module, "__version__", "an older one")
        raise EnergyUnavailable(f"codecarbon 3.3 or later is needed, found {found}")
    return module


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """What codecarbon's logger says in the block, instead of printing it."""
    logger, said = logging.getLogger("codecarbon"), []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage().strip())
        return False

    level = logger.level
    logger.addFilter(collect)
    try:
        yield said
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)


def _reason(text: str, said: list[str]) -> str:
    return f"{text}; it says: {' | '.join(said)}" if said else text


def _source(tracker: object, parts: Mapping[str, float]) -> tuple[bool, str]:
    kinds = [hardware.description() for hardware in getattr(tracker, "_hardware", [])]
    counter = next((name for name in _COUNTERS if any(name in kind for kind in kinds)), None)
    texts = [f"CPU measured ({counter})" if counter else "CPU estimated from TDP and CPU time"]
    if parts["gpu"] > 0:
        texts.append("GPU measured")
    return counter is not None, ", ".join([*texts, "RAM estimated"])
