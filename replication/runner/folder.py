"""Output folders: which folder the runner may write into, so that no file of another program is replaced or deleted."""

from pathlib import Path

from replication.runner.errors import SuiteError
from replication.runner.spec import SUITE_FILE

#: File that marks a folder whose content belongs to this package.
MARKER = ".ccprune"
_TEXT = "Made by ccprune. Files in this folder are replaced and deleted by later calls.\n"


def claim(folder: Path) -> None:
    """Make a folder with the marker, or check that a present one may be written.

    Parameters
    ----------
    folder : Path
        A new or an empty folder, one with the marker, or the committed output folder of a clone.

    Raises
    ------
    SuiteError
        If the folder has other files, or cannot be written.
    """
    marker = folder / MARKER
    try:
        if marker.is_file() or _is_committed(folder):
            return
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SuiteError(
                f"{folder} has files of others (it has no file {MARKER} of this package); give a new or an empty folder"
            )
        marker.write_text(_TEXT, encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{folder} cannot be written: {error.strerror} ({error.filename})") from error


def _is_committed(folder: Path) -> bool:
    folder = folder.resolve()
    return folder.name == SUITE_FILE.parent.name and (folder / SUITE_FILE.name).is_file()
