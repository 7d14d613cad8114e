"""``carbon-midl book``: the book from recorded results."""

import argparse
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, room

PDF = Path("book/_build/html/paper.pdf")
RECORDED, SHOWN = Path("results/lidc"), Path("studies/demo.toml")
_BUILD_EPILOG = """\
examples:
  carbon-midl book build                                the recorded study, with the notebooks of the demo study
  carbon-midl book build --study studies/demo.toml      the demo study, after 'carbon-midl study run studies/demo.toml'
"""


def add_actions(rooms: Any) -> None:
    """Add the room ``book``."""
    book = room(rooms, "book", "the book")
    build = action(book, "build", _build, "render the results of a study as a book", _BUILD_EPILOG)
    build.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"recorded results that the book speaks of (default: those of --study, or else {RECORDED})",
    )
    build.add_argument(
        "--study",
        type=Path,
        metavar="FILE",
        help=f"the study whose executed notebooks are shown (default: {SHOWN})",
    )
    build.add_argument(
        "--address",
        default="",
        metavar="URL",
        help="where the book will be published: adds a site map, canonical links and cards (default: nowhere)",
    )
    build.add_argument(
        "--repository",
        default="",
        metavar="OWNER/NAME",
        help="its repository on GitHub: lets readers open the labs on Binder (default: none)",
    )
    pdf = action(book, "pdf", _pdf, "print the paper part of the built book as one PDF, with Chromium")
    pdf.add_argument("--out", type=Path, default=PDF, metavar="FILE", help="the PDF (default: %(default)s)")


def _build(options: argparse.Namespace) -> None:
    from carbon_midl.book.build import build, prepare
    from carbon_midl.study.spec import read_study

    study = read_study(options.study or SHOWN)
    results = options.results or (study.results if options.study else study.root / RECORDED)
    prepare(results, study.directory, study.root)
    print(f"Book: {build(study.root, options.address, options.repository)}")


def _pdf(options: argparse.Namespace) -> None:
    from carbon_midl.book.build import BUILT, print_paper
    from carbon_midl.files import write_bytes

    write_bytes(options.out, print_paper(Path(), BUILT / "html"))
    print(f"Paper: {options.out}")
