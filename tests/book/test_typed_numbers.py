"""No result is typed by hand, and no sentence is written by a program."""

import ast
import re
from pathlib import Path

import pytest

from tests.book.conftest import ROOT

SOURCES = [path for path in sorted((ROOT / "book").rglob("*.md")) if not {"_build", "_generated"} & set(path.parts)]
# A number with a unit of results, a Dice, or a ratio.
_UNIT = r"mg|g|kg|t|Wh|kWh|MWh|W|%|s|min|h|px|points?|patients?|slices|seeds?|runs?|epochs?|times|Dice|g/kWh"
_RESULT = re.compile(rf"(?<![\w.])\d[\d.,]*\s?(?:{_UNIT})(?!\w)|(?<![\w.])0\.\d{{2,3}}(?!\.?\d)|\d[\d,.]*-fold")
DEFINITIONS = {"95 %", "2.5 %", "0.01"}
# What others reported, with their names beside it.
REPORTED = {
    "motivation.md": {"300,000-fold"},
    "lesson-1.md": {"300,000-fold"},
    "lesson-3.md": {"1500 %"},
    "measuring.md": {"40 %"},
    # Protocols, side by side.
    "experiment.md": {"40 epochs"},
    "frontier.md": {"40 epochs", "0.001"},
    "quiz.md": {"40 epochs"},
    "robustness.md": {"128 px", "64 px", "0.001", "20 epochs", "40 epochs"},
    "results.md": {"1 %", "1500 %"},
    "index.md": {"1500 %"},
    "conclusions.md": {"1500 %", "40 epochs"},
}
# The rules that claims are checked by.
RULES = {
    "claims.md": {
        "1.1 times",
        "1.25 times",
        "0.001",
        "1.05 times",
        "0.2",
        "95 %",
        "1500 %",
        "40 epochs",
        "40 %",
        "70 %",
        "3 times",
        "7 times",
    }
}
# The course's own examples: what a lab asks to be typed, or makes up and says so.
EXERCISES = {
    "exam.md": {
        "12 g",
        "10 g",
        "40 g",
        "1.3 g",
        "1 g",
        "0.65 g",
        "12 patients",
        "100 patients",
        "0.85",
        "0.75",
        "80 %",
    },
    "lab-countries.md": {"0.1 g"},
    "lab-flaw.md": {"30 %", "294.21 g", "445 g", "10 g", "7 g"},
    "lab-log.md": {"445 g"},
    "lab-trackers.md": {"3 W", "0.3725 W"},
    "lab-uses.md": {"40 epochs"},
}


def prose(text: str) -> str:
    """The text without code, formulas and filled-in numbers."""
    text = re.sub(r"^```\w.*?^```\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`|\$[^$]*\$|\{\{.*?\}\}", "", text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_chapter_types_no_result(path: Path) -> None:
    found = {re.sub(r"\s", " ", match[0]) for match in _RESULT.finditer(prose(path.read_text(encoding="utf-8")))}
    allowed = DEFINITIONS.union(*(known.get(path.name, set()) for known in (REPORTED, RULES, EXERCISES)))
    assert found <= allowed, "name it ({{ name }}) and let carbon_midl/book compute it"


def test_a_typed_result_would_be_found() -> None:
    for typed in ("emits 4.9 times as much", "a Dice of 0.754", "took 35.2 Wh", "gains 1.3 points", "a 300-fold rise"):
        assert _RESULT.search(prose(f"The widest network {typed}."))
    assert not _RESULT.search(prose("It took {{ total_energy }}; see `x = 0.75`."))


@pytest.mark.parametrize("path", sorted((ROOT / "carbon_midl/book").glob("*.py")), ids=lambda path: path.name)
def test_python_writes_no_sentences(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node)}
    said |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    sentence = re.compile(r"[A-Z].*[.!?]$", re.DOTALL)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            assert len(node.value.split()) <= 6 or not sentence.match(node.value)
