"""The command ``carbon-midl``: a module a room, each of which adds its actions to the parser."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from carbon_midl import __version__
from carbon_midl.cli import book, crops, footprint, lidc, model, replay, report, results, search, select, study
from carbon_midl.cli.help_text import HelpFormatter
from carbon_midl.errors import InputError

_EPILOG = """\
examples:
  carbon-midl study run studies/demo.toml            train the demo study, skipping runs that are done
  carbon-midl book build                             render its results as a book
  carbon-midl lidc download data/ct --max-gb 5       CT of some LIDC-IDRI patients; shows the size and asks first
  carbon-midl crops import-slices SLICES data/lidc   real crops, as they circulate publicly
  carbon-midl crops info data/lidc                   what an archive holds, with a contact sheet
  carbon-midl evaluate runs/demo/filters-16-seed-0 data/lidc   a trained network on other crops
  carbon-midl results verify results/recipes         recompute what recorded tables say
  carbon-midl select runs/demo/results --criterion noninferior    which width to take, and how sure that is
  carbon-midl search studies/demo.toml --budget-g 2  train as a policy asks, and choose within a budget
  carbon-midl replay runs/demo/results               what a search that stops early would have chosen and saved
  carbon-midl footprint sensors                      what can be measured here, and how to allow more
  carbon-midl report runs/demo/results               what a study used, for a paper or a model card
  papermill notebooks/train_unet.ipynb out.ipynb -p crops data/lidc -p filters 16
"""


_PLACES = (errno.EACCES, errno.EEXIST, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS, errno.EDQUOT)
"""Errors of the operating system that say that a place cannot be written to, and not that something is wrong here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    options = parser().parse_args(footprint.with_measure(sys.argv[1:] if arguments is None else arguments))
    try:
        options.command(options)
    except InputError as error:
        print(f"carbon-midl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "carbon-midl: interrupted; what was finished is kept, and the same command goes on from there.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough, as in: carbon-midl … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None or error.errno not in _PLACES:
            raise
        print(
            f"carbon-midl: {error.filename}: {os.strerror(error.errno)}. Nothing done is lost; see to the place "
            "(its permissions, its space), and the same command goes on.",
            file=sys.stderr,
        )
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="carbon-midl",
        description="Carbon footprint driven deep learning model selection for medical imaging.",
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"carbon-midl {__version__}")
    rooms = whole.add_subparsers(title="what to work on", metavar="ROOM", required=True)
    for room in (lidc, crops, study, results, model, select, replay, search, book, footprint, report):
        room.add_actions(rooms)
    return whole
