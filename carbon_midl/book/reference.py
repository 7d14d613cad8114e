"""Reference pages made from what they describe: the command line from its help, parameters from the notebook."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

from carbon_midl.book.tables import Table

NOTEBOOK = Path("notebooks/train_unet.ipynb")
_COLUMNS = "78"


def commands_page() -> str:
    """Every room and action of ``carbon-midl`` with its help, as Markdown."""
    from carbon_midl.cli import parser

    lines = [
        "# Command line",
        "",
        "What each command prints with `--help`. All of them end with exit code 0, with 2 where the input is bad, and "
        "with 130 when they are interrupted; what is done is kept then, and the same command goes on.",
        "",
    ]
    with _columns(_COLUMNS):
        whole = parser()
        lines += ["```text", whole.format_help().rstrip(), "```", ""]
        for name, room in _below(whole):
            actions = list(_below(room))
            lines += [f"## carbon-midl {name}", ""]
            if not actions:
                lines += ["```text", room.format_help().rstrip(), "```", ""]
            for action, described in actions:
                lines += [f"### {name} {action}", "", "```text", described.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


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


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@contextmanager
def _columns(width: str) -> Iterator[None]:
    """Let argparse wrap at this width whatever the terminal's is."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
