"""Help that fits the terminal."""

import argparse
import re

import pytest

from carbon_midl.cli import parser
from carbon_midl.cli.help_text import HelpFormatter

EPILOG = """\
A paragraph that was written
in two lines.

criteria:
  best  the best mean performance, whatever it costs, and whatever else there is to be said of it
  knee  the bend

examples:
  tool train --width 16 --seed 1      one network
  tool train --width 16 --seed 1 --on cuda:0 \\
      --epochs 100                    another
"""


def shown(width: int) -> str:
    made = argparse.ArgumentParser(
        "tool", epilog=EPILOG, formatter_class=lambda prog: HelpFormatter(prog, width=width), add_help=False
    )
    return made.format_help().partition("\n\n")[2]


def test_a_wide_terminal_has_examples_beside_what_they_do() -> None:
    lines = shown(120).splitlines()
    assert lines[0] == "A paragraph that was written in two lines."
    assert "  best  the best mean performance, whatever it costs, and whatever else there is to be said of it" in lines
    assert "  tool train --width 16 --seed 1      one network" in lines


def test_a_narrow_one_has_them_below_and_options_with_their_values() -> None:
    assert shown(46).splitlines() == [
        "A paragraph that was written in two lines.",
        "",
        "criteria:",
        "  best  the best mean performance, whatever it",
        "        costs, and whatever else there is to",
        "        be said of it",
        "  knee  the bend",
        "",
        "examples:",
        "  # one network",
        "  tool train --width 16 --seed 1",
        "  # another",
        "  tool train --width 16 --seed 1 --on cuda:0 \\",
        "      --epochs 100",
    ]


@pytest.mark.parametrize("columns", [72, 80, 100, 140])
def test_every_command_fits_and_keeps_its_words(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for made in commands(parser()):
        if made.epilog is None:
            continue
        formatter = made._get_formatter()
        formatter.add_text(made.epilog)
        after = formatter.format_help()
        assert max(map(len, after.splitlines())) <= columns - 2
        assert words(after) == words(made.epilog)


def commands(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return [top, *(found for action in below for child in action.choices.values() for found in commands(child))]


def words(text: str) -> list[str]:
    """In any order, since what an example does may stand before or behind it."""
    return sorted(word for word in re.split(r"\s+", text) if word not in ("", "#", "\\"))
