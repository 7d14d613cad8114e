"""What the rooms of the command line share."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from carbon_midl.cli.help_text import HelpFormatter
from carbon_midl.errors import InputError


def room(rooms: Any, name: str, about: str) -> Any:
    """Add a room and return the group to which its actions are added."""
    return rooms.add_parser(name, help=about, description=sentence(about)).add_subparsers(
        title="what to do", metavar="ACTION", required=True
    )


def action(
    group: Any, name: str, command: Callable[[argparse.Namespace], None], about: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Add an action that calls ``command`` with the parsed options."""
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=about,
        description=sentence(about),
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def sentence(about: str) -> str:
    """The short help as a sentence."""
    return f"{about[0].upper()}{about[1:]}."


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def read_patients(path: Path) -> list[str]:
    """Return the patients that a text file names, separated by white space.

    Raises:
        InputError: the file cannot be read, or names nobody.
    """
    try:
        patients = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error}). Expected identifiers of patients.") from None
    if not patients:
        raise InputError(f"{path}: no patients; expected identifiers such as LIDC-IDRI-0001, one a line.")
    return patients


def equations(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Parse what was given as NAME=VALUE, by name.

    Raises:
        InputError: there is no "=" in one.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{option}: found {text!r}; expected NAME=VALUE.")
        found[name] = value
    return found


def bar(unit: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A progress bar over whatever is wrapped in it; nothing is drawn where standard error is no terminal."""
    from tqdm import tqdm

    return lambda items: tqdm(items, unit=unit, disable=None)
