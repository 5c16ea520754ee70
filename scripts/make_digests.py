"""Write requirements.sha256 from requirements.lock: the SHA-256 of all files of each version in the package index.

    python scripts/make_digests.py

`make` has pip compare every file with these digests. torch and torchvision are left out: an index may offer several
builds of one version, for CPUs and for NVIDIA's cards, and which one is right depends on the machine.
"""

import json
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

from packaging.requirements import Requirement
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version
from pip._internal.models.index import PyPI

ROOT = Path(__file__).resolve().parents[1]
LOCK, DIGESTS = ROOT / "requirements.lock", ROOT / "requirements.sha256"
BUILDS = ("torch", "torchvision")
HEAD = """\
# SHA-256 of every file that the package index has of the versions in requirements.lock, but of torch and torchvision,
# whose builds differ between machines. Written by scripts/make_digests.py; pip refuses every other file.
"""


def main() -> None:
    """Write the file."""
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    pins = [pin for line in lines if (pin := Requirement(line)).name not in BUILDS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(_published_digests, pins))
    entries = [
        " \\\n".join([str(pin), *(f"    --hash=sha256:{digest}" for digest in one)])
        for pin, one in zip(pins, found, strict=True)
    ]
    DIGESTS.write_text(HEAD + "\n".join(entries) + "\n")


def _published_digests(pin: Requirement) -> list[str]:
    """Return the digests of all files of one version, in the order of the files' names."""
    (version,) = (Version(one.version) for one in pin.specifier)
    name = re.sub("[-_.]+", "-", pin.name).lower()
    request = Request(f"{PyPI.simple_url}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(request, context=ssl.create_default_context(), timeout=60) as answer:
        files = json.load(answer)["files"]
    found = {file["filename"]: file["hashes"]["sha256"] for file in files if _version(file["filename"]) == version}
    if not found:
        raise ValueError(f"the package index has no file of {pin}")
    return [found[name] for name in sorted(found)]


def _version(filename: str) -> Version | None:
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            return parse(filename)[1]
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
    return None


if __name__ == "__main__":
    main()
