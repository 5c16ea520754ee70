"""Translated lessons: each cell is there, belongs to the English text of today, and has the same code and links."""

import ast
import json
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from replication import course
from replication.ledger import notebooks
from replication.ledger.translation import Entry, digest, entries, expressions, strings, translate
from replication.reporting import japanese as reporting_ja

ROOT = Path(__file__).parents[3]
TRANSLATED = sorted((ROOT / "notebooks" / "ja").glob("*.md"))

each = pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.stem)


def english(path: Path) -> dict:
    return json.loads((ROOT / "notebooks" / f"{path.stem}.ipynb").read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def skeleton(code: str) -> str:
    """Code without the words of its strings; expressions in f-strings in any order."""

    class Blank(ast.NodeTransformer):
        def visit_JoinedStr(self, node):  # noqa: N802 (ast's name)
            found = sorted(ast.unparse(part) for part in node.values if isinstance(part, ast.FormattedValue))
            return ast.Constant(str(found))

        def visit_Constant(self, node):  # noqa: N802
            return ast.Constant("") if isinstance(node.value, str) else node

    return ast.dump(Blank().visit(ast.parse(code)))


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def sentences(code: str) -> list[str]:
    """Strings of several words that a cell prints or displays as Markdown."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    shown = [ast.unparse(node) for node in calls if ast.unparse(node.func) in ("Markdown", "print")]
    every = {text for call in shown for text in strings(call)}
    return [text for text in every if re.search(r"[a-z]+ [a-z]+", re.sub(r"\{.*?\}", "", text))]


def test_the_first_lessons_and_the_last_are_translated():
    assert [path.stem for path in TRANSLATED] == ["00_start_here", "13_does_it_replicate", "19_background"]


@each
def test_a_translation_follows_the_english_text(path):
    found = entries(ROOT, path.stem, "ja")
    stale, known = [], {cell["id"]: cell for cell in english(path)["cells"]}
    for name, cell in known.items():
        entry = found.get(name)
        if entry and entry.digest != digest(source(cell)):
            stale.append(f"{name}: its English text changed; renew the translation and its line")
        elif not entry and cell["cell_type"] == "markdown":
            stale.append(f"{name}: it has no translation; its line is")
        elif not entry and (left := sentences(source(cell))):
            stale.append(f"{name}: the string {left[0]!r} has no translation; its line is")
        else:
            continue
        stale[-1] += f" <!-- {name} {digest(source(cell))} -->"
    assert not stale, "\n".join(stale)
    assert found.keys() <= known.keys(), f"no such cells: {found.keys() - known.keys()}"
    assert [name for name in known if name in found] == list(found), "in the order of the notebook"


@each
def test_a_translation_has_the_same_code_links_and_formulas(path):
    before = english(path)
    after = translate(before, entries(ROOT, path.stem, "ja"))
    assert before | {"cells": []} == after | {"cells": []}
    for old, new in zip(before["cells"], after["cells"], strict=True):
        assert old | {"source": []} == new | {"source": []}
        old, new, kind = source(old), source(new), old["cell_type"]
        if kind == "code":  # by construction the same but for strings, comments and names
            ast.parse(new)
            continue
        assert list(map(skeleton, blocks(old))) == list(map(skeleton, blocks(new)))
        prose = [re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in (old, new)]
        for pattern in (r"\]\(([^)\s]+)\)", r"^#+ ", r"^- ", r"\$\$"):
            same = [Counter(re.findall(pattern, text, flags=re.MULTILINE)) for text in prose]
            assert same[0] == same[1], (pattern, new)
        assert re.search(r"[ぁ-んァ-ン一-龠]", new), "not Japanese"


@each
def test_names_are_replaced_by_the_functions_that_answer_in_japanese(path):
    for entry in entries(ROOT, path.stem, "ja").values():
        for old, new in entry.pairs:
            if old.startswith("`") and "," not in old:
                module, name = new.strip("`").split(".")
                assert module == "japanese" and hasattr(reporting_ja, name), new
                old_module, old_name = old.strip("`").split(".")
                theirs = getattr(import_module(f"replication.reporting.{old_module}"), old_name)
                assert theirs.__class__ is getattr(reporting_ja, name).__class__


@each
def test_strings_that_are_printed_are_translated(path):
    found = entries(ROOT, path.stem, "ja")
    for cell in english(path)["cells"]:
        if cell["cell_type"] == "code" and cell["id"] in found:
            old = {text for text, _ in found[cell["id"]].pairs}
            assert set(sentences(source(cell))) <= old, cell["id"]


def test_a_course_in_japanese_has_its_translated_lessons(tmp_path):
    course.new(ROOT, tmp_path / "course", language="ja", solutions=True)
    for lesson in course.lessons(ROOT):
        cells = notebooks.cells(tmp_path / "course" / "notebooks" / lesson.notebook)
        japanese = re.search(r"[ぁ-ん]", cells[0].source) is not None
        assert japanese == (Path(lesson.notebook).stem in [path.stem for path in TRANSLATED])
    with pytest.raises(ValueError, match=r"language must be one of \('en', 'ja'\), got 'fr'"):
        course.new(ROOT, tmp_path / "other", language="fr")


CELL = {"cell_type": "code", "id": "one", "source": ['print(\n    f"{a:.2f} of {b[\'x\']}"\n    " are left"\n)  # why']}


def translated(*pairs: str, of: str | None = None) -> str:
    entry = Entry(of or digest(source(CELL)), "\n".join(pairs))
    return source(translate({"cells": [CELL]}, {"one": entry})["cells"][0])


def test_a_string_is_replaced_with_the_expressions_in_another_order():
    made = translated(
        "- {a:.2f} of {b['x']} are left", "+ {b['x']} 個のうち、{a:.2f} です。終わり", "- # why", "+ # 理由"
    )
    assert "個のうち、" in made and made.endswith("# 理由") and made.count('f"') == 2
    shown = []
    exec(made, {"a": 1, "b": {"x": 3}, "print": shown.append})  # noqa: S102 (the code of this test)
    assert shown == ["3 個のうち、1.00 です。終わり"]


def test_null_a_cell_that_was_changed_stays_in_english():
    assert translated("- # why", "+ # 理由", of="00000000") == source(CELL)


def test_sentences_of_a_paragraph_are_joined_and_lists_are_not():
    cell = {"cell_type": "markdown", "id": "one", "source": ["# Text"]}
    text = "# 題\n\n一。\n二。\n\n- 三。\n  四。\n- 五。\n\n六。"
    made = translate({"cells": [cell]}, {"one": Entry(digest("# Text"), text)})
    assert source(made["cells"][0]) == "# 題\n\n一。二。\n\n- 三。四。\n- 五。\n\n六。"


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("- {a:.2f} of {b['x']} are left", "+ {b['x']} 個"), "same expressions in braces"),
        (("- {a:.2f} of {b['x']} are left", "+ {b['x']} 個のうち {a:.3f}"), "same expressions in braces"),
        (("- are left", "+ 残る"), "must have each translated string, got 'are left'"),
        (("- `essay.spread`", "+ `japanese.spread`"), "must have each translated name or comment, got 'essay.spread'"),
    ],
)
def test_a_pair_that_does_not_fit_is_an_error(pairs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        translated(*pairs)


def test_expressions_are_those_in_braces_with_their_formats():
    assert expressions("{a:.2f} of {b['x']!r}") == ["f\"{b['x']!r}\"", "f'{a:.2f}'"]


def test_the_japanese_glossary_has_the_entries_of_the_english_one():
    def lines(path: str, count: int) -> list[list[str]]:
        rows = (ROOT / "docs" / path).read_text(encoding="utf-8").splitlines()
        found = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| ")][1:]
        assert found and all(len(row) == count for row in found)
        return found

    def target(cell: str) -> str:
        return re.search(r"\((?:\.\./)*(.+)\)", cell)[1]

    english, japanese = lines("glossary.md", 3), lines("ja/glossary.md", 4)
    assert [row[0] for row in english] == [row[1] for row in japanese]
    assert [target(row[2]) for row in english] == [target(row[3]) for row in japanese]
