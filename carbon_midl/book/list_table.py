"""Tables inside of text that is made as a whole; those of a chapter are CSV files (``tables``)."""

from collections.abc import Iterable, Sequence


def list_table(
    name: str, caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], classes: str = "numbers"
) -> str:
    """A MyST ``list-table``.

    Args:
        name: to refer to it by.
        caption: below or above it.
        header: of its columns.
        rows: of cells.
        classes: for the style sheet.
    """
    lines = [f":::{{list-table}} {caption}", f":name: {name}", ":header-rows: 1", f":class: {classes}", ""]
    for row in (header, *rows):
        lines += [f"{'* ' if place == 0 else '  '}- {cell}" for place, cell in enumerate(row)]
    return "\n".join([*lines, ":::"]) + "\n"
