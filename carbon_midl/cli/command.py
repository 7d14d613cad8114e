"""What the commands share: examples in the help, how a request to end is taken, tables in columns."""

import signal
from collections.abc import Sequence

from carbon_midl.units import in_columns


def examples(*lines: str) -> str:
    """The end of a command's help: command lines, as they are typed.

    Indented, they are code in the book; the backspace tells typer not to wrap them.
    """
    return "\n".join(["Examples:", "", "\b", *(f"    {line}" for line in lines)])


def end_like_ctrl_c() -> None:
    """Handle a scheduler's or terminal's request to end like Ctrl-C, so that what runs is stopped, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, each column as wide as its widest cell."""
    print("\n".join(in_columns(rows)))
