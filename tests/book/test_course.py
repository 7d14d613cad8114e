"""Every lab, its solutions included, runs from its first line to its last."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "book" / "course"
LABS = sorted(COURSE.glob("lab-*.md"))


def pieces(lab: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", lab.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


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
def test_a_lab_asks_first_and_every_exercise_has_its_solution(lab: Path) -> None:
    text = lab.read_text(encoding="utf-8")
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
    quiz = index.split("## A quiz a chapter")[1]
    quizzed = set(re.findall(r"\(\{doc\}`\.\./(\w+)`\)\n:::", quiz))
    assert quiz.count(":::{dropdown}") == len(quizzed)
    assert quizzed >= {"motivation", "data", "model", "measuring", "experiment", "results", "recipes", "selection"}
