"""What the commands share: options with several values or none, examples in the help, tables in columns."""

import signal
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from carbon_midl.units import in_columns


class Command(TyperCommand):
    """A command that takes several patients after one ``--patients``.

    Typer knows options of one value only; the arguments are written out for it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments once ``--patients A B`` is ``--patients A --patients B``."""
        end = args.index("--") if "--" in args else len(args)
        written: list[str] = []
        option = ""
        for arg in args[:end]:
            if arg.startswith("-"):
                option = arg
            elif option == "--patients" and written[-1] != option:
                written.append(option)
            written.append(arg)
        return super().parse_args(ctx, written + args[end:])


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
