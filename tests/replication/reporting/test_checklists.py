"""replication/REFORMS.md and codecheck.yml are complete, point to what exists, and do not claim what is not there."""

import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

from replication.data import tabular
from replication.reporting import codecheck

ROOT = Path(__file__).resolve().parents[3]
REFORMS = (ROOT / "replication" / "REFORMS.md").read_text(encoding="utf-8")
CODECHECK = (ROOT / "codecheck.yml").read_text(encoding="utf-8")
# Kapoor et al. 2024, table 1: modules and their last item.
MODULES = {
    "1. Study goals": "c",
    "2. Computational reproducibility": "e",
    "3. Data quality": "g",
    "4. Data preprocessing": "c",
    "5. Modeling": "f",
    "6. Data leakage": "c",
    "7. Metrics and uncertainty": "c",
    "8. Generalizability and limitations": "b",
}
ITEMS = [f"{title[0]}{letter}" for title, last in MODULES.items() for letter in "abcdefg"[: "abcdefg".index(last) + 1]]
STATUS = re.compile(r"\*\*(Done\.|Partly done\.|Not done\.|Not applicable because)\*\*\s+")
PLACEHOLDER = re.compile(r"\b(todo|tbd|fixme|xxx+|lorem|to be (done|filled|added|written))\b|\.\.\.|…", re.IGNORECASE)
# The codechecker's part of codecheck.yml: all that is mandatory of it, or nothing.
CODECHECKER = {"codechecker", "report", "check_time", "certificate"}


def reforms_problems(text: str, folder: Path) -> list[str]:
    """What is wrong with a REFORMS checklist in `folder`, in words; nothing if it is complete."""
    problems = []
    modules = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    if modules != list(MODULES):
        problems.append(f"modules are {modules}")
    # ["", "1a", wording, answer, "1b", ...]; an answer ends at the next heading.
    parts = re.split(r"^### (\w+)\. (.*)$", text, flags=re.MULTILINE)[1:]
    found = dict.fromkeys(parts[::3])
    problems += [f"{item}: occurs {parts[::3].count(item)} times" for item in ITEMS if parts[::3].count(item) != 1]
    problems += [f"{item}: is no item" for item in found if item not in ITEMS]
    for item, wording, answer in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        answer = re.split(r"^## ", answer, flags=re.MULTILINE)[0].strip()
        status = STATUS.match(answer)
        if len(wording.split()) < 2:
            problems.append(f"{item}: has no wording")
        if not status or len(answer[status.end() :].split()) < 8:
            problems.append(f"{item}: has no answer")
        elif PLACEHOLDER.search(answer):
            problems.append(f"{item}: answer is a placeholder")
        elif status[1] in ("Done.", "Partly done.") and "](" not in answer:
            problems.append(f"{item}: does not say where")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not target.startswith("https://") and not (folder / target).exists():
            problems.append(f"link to {target}, which does not exist")
    return problems


def codecheck_problems(text: str, root: Path) -> list[str]:
    """What is wrong with a codecheck.yml in `root`, after the specification 1.0, in words."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    problems = [] if re.search(r"^---$", text, re.MULTILINE) else ["no explicit document: a line --- is missing"]
    if content.get("version") != "https://codecheck.org.uk/spec/config/1.0/":
        problems.append(f"version is {content.get('version')}")
    paper = content.get("paper") or {}
    problems += [f"paper has no {name}" for name in ("title", "authors", "reference") if not paper.get(name)]
    problems += [f"author {author} has no name" for author in paper.get("authors") or [] if not author.get("name")]
    if CODECHECKER & content.keys() and not {"codechecker", "report"} <= content.keys():
        problems.append("a check is half recorded: codechecker and report belong together")
    if not CODECHECKER & content.keys() and "Not yet checked" not in content.get("summary", ""):
        problems.append("does not say that it was not checked")
    if PLACEHOLDER.search(text):
        problems.append("holds a placeholder")
    listed = [entry.get("file") or "" for entry in content.get("manifest") or []]
    if not listed:
        problems.append("no manifest")
    for file in listed:
        inside = not PurePosixPath(file).is_absolute() and ".." not in PurePosixPath(file).parts
        if not inside or not (root / file).is_file():
            problems.append(f"manifest: {file!r} is no file here")
    made = {"replication/README.md", "replication/verdicts.csv", "replication/verdicts.svg"}
    for pattern in ("results/*.json", "reports/*.html"):
        made |= {path.relative_to(root).as_posix() for path in (root / "replication").glob(pattern)}
    problems += [f"manifest: {file} is missing" for file in sorted(made - set(listed))]
    problems += [f"manifest: {file} is there twice" for file in sorted(set(listed)) if listed.count(file) > 1]
    return problems


def test_reforms_is_complete():
    assert len(ITEMS) == 32
    assert reforms_problems(REFORMS, ROOT / "replication") == []


def answer_of(item: str) -> str:
    return re.search(rf"^### {item}\. .*\n((?:(?!#).*\n)+)", REFORMS, flags=re.MULTILINE)[1]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("### 6b. Dependence or duplicates between training and test part\n", "", "6b: occurs 0 times"),
        ("### 6b. ", "### 6a. ", "6a: occurs 2 times"),
        ("### 8b. ", "### 8c. ", "8c: is no item"),
        ("### 1a. The population or distribution that the claim is about", "### 1a. ", "1a: has no wording"),
        (answer_of("7c"), "", "7c: has no answer"),
        (answer_of("7c"), "**Done.** See above.\n", "7c: has no answer"),
        (answer_of("7c"), "All p-values are by sign-flip permutation, one for each pair.\n", "7c: has no answer"),
        (answer_of("3f"), "**Done.** TODO: say how many values each set lacks.\n", "3f: answer is a placeholder"),
        (answer_of("2d"), "**Done.** There is a README file with all that is needed.\n", "2d: does not say where"),
        ("## 6. Data leakage", "## 6. Data", "modules are"),
        ("(suite.toml)", "(suites.toml)", "link to suites.toml, which does not exist"),
    ],
)  # fmt: skip
def test_a_fault_in_reforms_is_found(before, after, problem):
    assert before in REFORMS
    problems = reforms_problems(REFORMS.replace(before, after), ROOT / "replication")
    assert any(problem in found for found in problems), problems


@pytest.mark.parametrize("name", ["cancer", "titanic", "vowel"])
def test_the_repeated_rows_of_item_6b_are_there(name, request):
    if name == "vowel":
        request.getfixturevalue("authors_files")
    # "standard" scales both parts alike, so that equal rows stay equal.
    data = tabular.load(name, source="authors" if name == "vowel" else "packaged")
    seen = {row.tobytes() for row in data.x_train.numpy()}
    assert sum(row.tobytes() in seen for row in data.x_test.numpy()) > len(data.x_test) / 4


def test_codecheck_is_complete():
    assert codecheck_problems(CODECHECK, ROOT) == []


def test_codecheck_names_what_the_citation_file_names():
    content, cited = yaml.safe_load(CODECHECK), yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (content["paper"]["title"], content["paper"]["authors"]) == (cited["title"], cited["authors"])
    papers = [
        {
            "title": paper["title"],
            "authors": [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]],
            "reference": paper["url"],
        }
        for paper in cited["references"]
    ]
    assert content["ccprune_replicated_papers"] == papers


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("\n---\n", "\n", "not YAML"),
        ("%YAML 1.1\n---\n", "", "no explicit document"),
        ("config/1.0/", "config/0.9/", "version is"),
        ("  reference: ", "  see: ", "paper has no reference"),
        ("    - name: The", "    - nom: The", "has no name"),
        ("Not yet checked", "Checked", "does not say that it was not checked"),
        ("\nmanifest:", "\ncertificate: 2026-001\n\nmanifest:", "a check is half recorded"),
        ("replication/verdicts.csv", "replication/verdict.csv", "'replication/verdict.csv' is no file here"),
        ("replication/verdicts.csv", "replication/verdict.csv", "replication/verdicts.csv is missing"),
        ("replication/README.md\"", "../main/replication/README.md\"", "is no file here"),
        ("replication/verdicts.csv", "replication/verdicts.svg", "replication/verdicts.svg is there twice"),
        ("\nmanifest:", "\nmanifests:", "no manifest"),
        ("title: \"ccprune", "title: \"FIXME ccprune", "holds a placeholder"),
    ],
)  # fmt: skip
def test_a_fault_in_codecheck_is_found(before, after, problem):
    assert before in CODECHECK
    problems = codecheck_problems(CODECHECK.replace(before, after, 1), ROOT)
    assert any(problem in found for found in problems), problems


def test_a_result_that_is_not_in_the_manifest_is_found(tmp_path):
    put(tmp_path, "replication/results/new.paper.json")
    assert "manifest: replication/results/new.paper.json is missing" in codecheck_problems(CODECHECK, tmp_path)


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def test_the_manifest_is_in_step_with_replication():
    assert codecheck.with_entries(CODECHECK, codecheck.entries(ROOT)) == CODECHECK


def test_the_manifest_lists_the_outputs_and_nothing_else(tmp_path):
    outputs = [
        "README.md",
        "verdicts.csv",
        "results/a-b.paper.json",
        "results/c.default.json",
        "reports/a-b.paper.html",
    ]
    others = ["suite.toml", "skipped.json", "reports/c.paper.failed.ipynb", ".smoke/results/a.smoke.json"]
    put(tmp_path, *(f"replication/{name}" for name in outputs + others))
    listed = codecheck.entries(tmp_path)
    assert [entry["file"] for entry in listed] == [f"replication/{name}" for name in outputs]
    assert listed[2]["comment"] == "run a-b, profile paper: numbers"


def test_only_the_manifest_is_rewritten(tmp_path):
    put(tmp_path, "replication/README.md")
    before = "---\n# by hand\nmanifest:\n  - file: old\n    comment: gone\n\nsummary: >\n  kept\n"
    (tmp_path / "codecheck.yml").write_text(before)
    codecheck.write_entries(tmp_path)
    after = (tmp_path / "codecheck.yml").read_text()
    assert after.startswith("---\n# by hand\nmanifest:\n") and after.endswith("\n\nsummary: >\n  kept\n")
    assert yaml.safe_load(after)["manifest"] == codecheck.entries(tmp_path)
    codecheck.write_entries(tmp_path)
    assert (tmp_path / "codecheck.yml").read_text() == after


@pytest.mark.parametrize("text", ["---\nsummary: none\n", "---\nmanifest:\n  - file: a\nmanifest:\n  - file: b\n"])
def test_a_codecheck_without_one_manifest_is_refused(text):
    with pytest.raises(ValueError, match="must have one line 'manifest:'"):
        codecheck.with_entries(text, [])
