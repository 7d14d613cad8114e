"""Executed notebooks as pages of the book: readable offline, with a title of their own and described pictures."""

from pathlib import Path
from typing import Any

import nbformat

from carbon_midl.errors import InputError
from carbon_midl.files import write_text

WIDGET = "application/vnd.jupyter.widget-view+json"


def executed_notebook(run_dir: Path) -> Path:
    """The executed notebook of a run.

    Raises:
        InputError: the directory holds no notebook, or several.
    """
    found = sorted(run_dir.glob("*.ipynb"))
    if len(found) != 1:
        raise InputError(
            f"{run_dir}: {len(found)} notebooks; expected the run's executed notebook. Run the study again."
        )
    return found[0]


def write_page(notebook: Path, page: Path, filters: int, seed: int) -> None:
    """Copy an executed notebook to ``page``, made fit for an offline book.

    Widgets would load a script from the network, progress bars are noise on paper, and a picture needs an alternative
    text: its cell's own (``metadata.mystnb.image.alt``), or else one made from the heading above it.
    """
    try:
        content = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises whatever its JSON reader and validator raise
        raise InputError(f"{notebook}: not a readable notebook ({error}). Run the study again.") from None
    content.metadata.pop("widgets", None)
    title, heading = f"F = {filters}, seed {seed}", ""
    titled = False
    for cell in content.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.splitlines()
            for number, line in enumerate(lines):
                if line.startswith("#"):
                    heading = line.lstrip("#").strip()
                    if line.startswith("# "):
                        lines[number] = f"## {heading}" if titled else f"# {title}"
                        titled = True
            cell.source = "\n".join(lines)
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _kept(output)]
            image = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
            image.setdefault("alt", f"Output of the run {title}{f', section {heading}' if heading else ''}")
    if not titled:
        content.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}"))
    write_text(page, nbformat.writes(content))


def _kept(output: dict[str, Any]) -> bool:
    if output["output_type"] == "stream":
        return output["name"] == "stdout"
    data = output.get("data", {})
    return WIDGET not in data and "<script" not in str(data.get("text/html", ""))
