"""Reference pages made from what they describe: the command line from its help, parameters from the notebook."""

import subprocess
import sys
from pathlib import Path

import nbformat

from carbon_midl.book.tables import Table

NOTEBOOK = Path("notebooks/train_unet.ipynb")


def commands_page() -> str:
    """Every command of ``carbon-midl`` with its options, as typer writes it in Markdown.

    Typer runs as a program of its own: the book does not know the command line.
    """
    about = ["carbon_midl.cli", "utils", "docs", "--name", "carbon-midl", "--title", "Command line"]
    page = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "typer", *about], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout
    return page.replace("\b\n", "")  # keeps a terminal from wrapping the examples


def parameters(root: Path) -> Table:
    """The notebook's parameters: name, type, default and meaning, as its parameters cell has them.

    Args:
        root: the repository.
    """
    notebook = nbformat.read(root / NOTEBOOK, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    rows = []
    for line in cell.source.splitlines():
        assignment, _, meaning = line.partition("  # ")
        declared, _, default = assignment.partition(" = ")
        name, _, kind = declared.partition(": ")
        rows.append([name, kind, default, meaning])
    return ["Parameter", "Type", "Default", "Meaning"], rows
