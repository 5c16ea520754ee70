"""Checks of a reader's answers to the exercises, by the solutions and never by a second copy of their numbers.

`notebooks/answers.toml` has a table `["00.1".share]` for each result of an exercise. `what` describes the result.
`value` is its expression in the names of the solution. An answer is right within `tolerance` (absolute, 0 if missing),
or anywhere `between` two bounds. `mistakes` maps expressions of wrong values to explanations. A copy for students has
all of this and the solutions' code in `KEY`, encoded so that nobody reads it by accident. It is no secret.
"""

import base64
import contextlib
import io
import json
import math
import re
import sys
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.reading import read_text, read_toml

#: Files in the folder of the notebooks: the results of the project's exercises, and those of a copy for students.
ANSWERS, KEY = "answers.toml", "answers.key"
NO_ANSWER = "no answer yet"
#: A line that `check` prints for a result.
LINE = re.compile(rf"^check (\d\d\.\d) (\w+): (right|wrong|not checked|{NO_ANSWER})", re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def check(exercise: str, /, **answers: Any) -> None:
    """Print for each answer whether it is right, and what is wrong with it.

    The code of the solution runs in a copy of the caller's global names, so that the answer is that of the notebook's
    parameters. An answer of `...` is no answer yet.

    Parameters
    ----------
    exercise : str
        Number of the lesson and of the exercise, such as "00.1".
    **answers : bool, int, float, str, array or list of these
        Results by name, as in the cell below the exercise.

    Raises
    ------
    ValueError
        If the exercise or one of its results is not known.
    FileNotFoundError
        If there are no solutions in the working directory, its parents, or their folders `notebooks`.
    """
    given = {name: answer for name, answer in answers.items() if answer is not ...}
    key = _key()
    if key is None and given:
        raise FileNotFoundError(f"neither {KEY} nor {ANSWERS} is beside the notebook; keep it there to check answers")
    known = (key or {}).get(exercise, {"answers": {}})
    if key is not None and not answers.keys() <= known["answers"].keys():
        names = ", ".join(known["answers"]) or "none"
        raise ValueError(f"answers of exercise {exercise} must be of {names}, got {', '.join(answers)}")
    found = outcomes(known, sys._getframe(1).f_globals, given) if given else {}
    for name in answers:
        what = f". It is the {known['answers'][name]['what']}." if key else ""
        print(f"check {exercise} {name}: {found.get(name, NO_ANSWER + what)}")


def run_solution(exercise: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of a notebook after the solution of an exercise (an entry of `read`), which prints nothing."""
    after = dict(names)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(exercise["code"], "<solution>", "exec"), after)
    return after


def outcomes(exercise: Mapping[str, Any], names: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return what `check` prints for the answers to an exercise (an entry of `read`) in a notebook with these names."""
    try:
        after = run_solution(exercise, names)
        return {name: _outcome(exercise["answers"][name], after, answer) for name, answer in given.items()}
    except Exception as error:  # a reader may have given the names of the notebook other values
        reason = f"the solution raised {type(error).__name__}: {error}"
        return dict.fromkeys(given, f"not checked, because {reason}. Restart the kernel and run all cells above.")


def _outcome(spec: Mapping[str, Any], names: dict[str, Any], answer: Any) -> str:
    expected, answer = _plain(eval(spec["value"], names)), _plain(answer)
    is_ = f"It is the {spec['what']}."
    if (problem := _unlike(expected, answer)) is not None:
        return f"wrong: it must be {problem}. {is_}"
    low, high = spec.get("between", (None, None))
    if low is not None:
        if low <= answer <= high:
            return "right"
        return f"wrong: got {_format_answer(answer)}, too {_side(answer, low)}. {is_}"
    tolerance = spec.get("tolerance", 0)
    if _close(expected, answer, tolerance):
        return "right" + (f", within {tolerance:g}" if tolerance else "")
    for wrong, explanation in spec.get("mistakes", {}).items():
        value = _plain(eval(wrong, names))
        if _unlike(value, answer) is None and _close(value, answer, tolerance):
            return f"wrong: got {_format_answer(answer)}, which is {explanation}. {is_}"
    apart = f" by more than {tolerance:g}" if tolerance else ""
    size = f", too {_side(answer, expected)}{apart}" if isinstance(expected, int | float) else ""
    return f"wrong: got {_format_answer(answer)}{size}. {is_}"


def _plain(value: Any) -> Any:
    """Return a number, string or list in place of an array, a scalar of a library, or a tuple."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _unlike(expected: Any, answer: Any) -> str | None:
    """Return the kind of value that the answer should have been, or None if it is of this kind."""
    if isinstance(expected, list):
        if not isinstance(answer, list) or len(answer) != len(expected):
            return f"a list of {len(expected)}, got {_format_answer(answer)}"
        problems = (_unlike(*pair) for pair in zip(expected, answer, strict=True))
        return next((problem for problem in problems if problem), None)
    kind = (bool,) if isinstance(expected, bool) else (str,) if isinstance(expected, str) else (int, float)
    if not isinstance(answer, kind) or isinstance(answer, bool) != (kind == (bool,)):
        name = {bool: "True or False", str: "a string"}.get(kind[0], "a number") if len(kind) == 1 else "a number"
        return f"{name}, got {_format_answer(answer)}"
    return f"finite, got {answer}" if isinstance(answer, float) and not math.isfinite(answer) else None


def _close(expected: Any, answer: Any, tolerance: float) -> bool:
    if isinstance(expected, list):
        return all(_close(*pair, tolerance) for pair in zip(expected, answer, strict=True))
    if isinstance(expected, str):
        return expected.strip().lower() == answer.strip().lower()
    return math.isclose(expected, answer, rel_tol=1e-9, abs_tol=tolerance)


def _side(answer: float, than: float) -> str:
    return "small" if answer < than else "large"


def _format_answer(answer: Any) -> str:
    text = f"{answer:.6g}" if isinstance(answer, float) else repr(answer)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read(folder: Path) -> dict[str, Any]:
    """Return code and results of the exercises in `ANSWERS` of a folder of notebooks, by exercise; empty without it.

    ValueError is raised if a table names no exercise with a solution, or lacks `what` or `value`.
    """
    if not (folder / ANSWERS).is_file():
        return {}
    found = {}
    for exercise, answers in read_toml(folder / ANSWERS).items():
        lesson, _, number = exercise.partition(".")
        sources = [
            cell.source
            for path in folder.glob(f"{lesson}_*.ipynb")
            for cell in notebooks.cells(path)
            if "solution" in cell.tags and f"<summary>Solution {number}</summary>" in cell.source
        ]
        if len(sources) != 1 or not _BLOCK.search(sources[0]):
            raise ValueError(f"{ANSWERS}: {exercise} must be an exercise with code in its solution")
        for name, spec in answers.items():
            if not {"what", "value"} <= spec.keys() <= {"what", "value", "tolerance", "between", "mistakes"}:
                raise ValueError(f"{ANSWERS}: {exercise} {name} must have what and value, got {', '.join(spec)}")
        found[exercise] = {"code": "\n".join(_BLOCK.findall(sources[0])), "answers": answers}
    return found


def encode(key: Mapping[str, Any]) -> str:
    """Return the text of `KEY` for the exercises of `read`."""
    return base64.b85encode(zlib.compress(json.dumps(key).encode(), 9)).decode() + "\n"


def _key() -> dict[str, Any] | None:
    here = Path.cwd()
    for folder in (place for parent in (here, *here.parents) for place in (parent, parent / NOTEBOOKS)):
        if (folder / KEY).is_file():
            return json.loads(zlib.decompress(base64.b85decode(read_text(folder / KEY).strip())))
        if (folder / ANSWERS).is_file():
            return read(folder)
    return None
