"""``carbon-midl book``: the book from recorded results."""

import argparse
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, bar, room


def add_actions(rooms: Any) -> None:
    """Add the room ``book``."""
    book = room(rooms, "book", "the book")
    build = action(book, "build", _build, "render the results of a study as a book")
    build.add_argument(
        "--study", type=Path, default=Path("studies/demo.toml"), metavar="FILE", help="the study (default: %(default)s)"
    )


def _build(options: argparse.Namespace) -> None:
    from carbon_midl.book.build import build
    from carbon_midl.book.prepare import prepare
    from carbon_midl.study.spec import read_study

    study = read_study(options.study)
    prepare(study.results, study.directory, study.root, bar("scan"))
    print(f"Book: {build(study.root)}")
