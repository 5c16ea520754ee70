"""The project's public address: `Repository` of [project.urls] in pyproject.toml, from which all other places take it.

    .venv/bin/python scripts/public_address.py    # after a change of the setting: README.md and CITATION.cff again

Without the setting no page has a badge. Binder and Colab are offered for repositories on GitHub.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = "notebooks/00_start_here.ipynb"
_BADGES = re.compile(r"(<!-- badges -->\n).*?(<!-- end -->)", re.DOTALL)


def address(root: Path = ROOT) -> str:
    """Return the address without a slash at its end, or an empty text."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/")


def badges(public: str, notebook: str = FIRST) -> str:
    """Return links in Markdown that open a notebook on Binder and on Colab, if the address is one on GitHub."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", public)
    if not found:
        return ""
    binder = f"https://mybinder.org/v2/gh/{found[1]}/HEAD?urlpath=lab/tree/{notebook}"
    colab = f"https://colab.research.google.com/github/{found[1]}/blob/HEAD/{notebook}"
    return f"[Open in Binder]({binder}) · [Open in Colab]({colab})"


def colab_cell(public: str) -> str:
    """Return the cell that installs the project on Colab, before the first cell of a lesson."""
    folder = public.rsplit("/", 1)[-1].removesuffix(".git")
    return f"!git clone --depth 1 {public}\n%pip install -q ./{folder} ./{folder}/replication\n%cd {folder}/notebooks"


def write(root: Path = ROOT) -> None:
    """Write the address into README.md and CITATION.cff."""
    public = address(root)
    links = badges(public)
    readme, cited = root / "README.md", root / "CITATION.cff"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(_BADGES.sub(rf"\g<1>{links and links + chr(10)}\g<2>", text), encoding="utf-8")
    text = re.sub(r"^repository-code: .*\n", "", cited.read_text(encoding="utf-8"), flags=re.MULTILINE)
    line = f"repository-code: {public}\n" if public else ""
    cited.write_text(text.replace("license:", f"{line}license:", 1), encoding="utf-8")


if __name__ == "__main__":
    write()
