"""Every lab, its solutions included, runs from its first line to its last."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from carbon_midl.book.build import lab_notebook
from tests.book.conftest import ROOT

COURSE = ROOT / "book" / "course"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LABS = sorted(COURSE.glob("lab-*.md"))


def pieces(lab: Path) -> list[str]:
    return PYTHON.findall(lab.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_runs_with_its_solutions(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    space: dict[str, Any] = {"__name__": "lab"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for number, piece in enumerate(pieces(lab), start=1):
            exec(compile(piece, f"{lab.name}, piece {number}", "exec"), space)
    assert said.getvalue().strip()


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_a_lab_is_a_notebook_with_room_for_answers_and_no_solutions(lab: Path) -> None:
    text = lab.read_text(encoding="utf-8")
    notebook = nbformat.reads(lab_notebook(text), as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert code.count("# your answer") == text.count(":::{dropdown} Solution")
    solutions = re.findall(r"^:::\{dropdown\} Solution(.*?)^:::$", text, re.MULTILINE | re.DOTALL)
    solved = [piece for solution in solutions for piece in PYTHON.findall(solution)]
    given = [piece.rstrip("\n") for piece in pieces(lab) if piece not in solved]
    assert [cell for cell in code if cell != "# your answer"] == given
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r":::|\{doc\}|\{download\}|dropdown", prose)
    # On a line of its own, which a link to Binder is put behind.
    assert re.search(rf"^\{{download\}}`.*labs/{lab.stem}\.ipynb>`$", text, re.MULTILINE)
    # It asks first, and every exercise has its solution.
    assert re.match(r"# Lab \d: .+\n\n\*\*Question\.\*\* ", text)
    exercises = re.findall(r"^\*\*(\d)\.\*\*", text, re.MULTILINE)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    assert len(exercises) >= 3
    assert text.count(":::{dropdown} Solution") == len(exercises)
    assert "**To discuss.**" in text


def test_the_course_has_a_lab_for_each_aim_and_a_question_for_each_chapter() -> None:
    index = (COURSE / "index.md").read_text(encoding="utf-8")
    assert len(LABS) >= 6
    for lab in LABS:
        assert f"{{doc}}`{lab.stem}`" in index
        assert f"{{doc}}`{lab.stem}`" in (COURSE / "instructors.md").read_text(encoding="utf-8")
    quizzed = re.findall(r"\{doc\}`\.\./(\w+)`", (COURSE / "quiz.md").read_text(encoding="utf-8"))
    assert set(quizzed) >= {"motivation", "data", "experiment", "measuring", "frontier", "results", "selection"}
