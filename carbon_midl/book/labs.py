"""The labs of the course as notebooks to work in: the questions without the solutions, which the pages have folded."""

import re
from pathlib import Path

import nbformat

from carbon_midl.files import write_text

_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SOLUTION = re.compile(r"^:::\{dropdown\} Solution.*?^:::$", re.MULTILINE | re.DOTALL)
_TO_ANSWER = "```python\n# your answer\n```"
_DOWNLOAD = re.compile(r"^\{download\}.*\n\n", re.MULTILINE)
_FENCE = re.compile(r"^:{3,}.*$\n?", re.MULTILINE)
_CHECK = """\
from carbon_midl.study.parameters import refuse_undeclared_parameters

refuse_undeclared_parameters()  # a lab has none; papermill would only warn"""
_ROLE = re.compile(r"\{(?:doc|ref|numref|cite:p|download)\}`([^`<]*?)(?: ?<[^`>]*>)?`")


def lab_notebook(text: str) -> str:
    """A lab's page as a notebook without outputs: its Python in cells, a cell for each answer, its links as words.

    Behind the title is a cell that refuses parameters of papermill.
    """
    cells = []
    for number, piece in enumerate(_PYTHON.split(_SOLUTION.sub(_TO_ANSWER, _DOWNLOAD.sub("", text)))):
        # What is split on comes at every second place.
        if number % 2:
            cells.append(nbformat.v4.new_code_cell(piece.rstrip("\n")))
        elif prose := _ROLE.sub(r"*\1*", _FENCE.sub("", piece)).strip():
            cells.append(nbformat.v4.new_markdown_cell(prose))
    cells.insert(1, nbformat.v4.new_code_cell(_CHECK, metadata={"jupyter": {"source_hidden": True}}))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same each time
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})))


def write_labs(course: Path, out: Path) -> None:
    """Write each ``lab-*.md`` of ``course`` as a notebook into ``out``."""
    for page in sorted(course.glob("lab-*.md")):
        write_text(out / f"{page.stem}.ipynb", lab_notebook(page.read_text(encoding="utf-8")))
