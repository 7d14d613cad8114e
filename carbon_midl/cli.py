"""The command ``carbon-midl``."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from carbon_midl import __version__
from carbon_midl.errors import InputError

_EPILOG = """\
examples:
  carbon-midl study run studies/demo.toml            train the demo study, skipping runs that are done
  carbon-midl book build                             render its results as a book
  carbon-midl crops import-slices SLICES data/lidc   real crops, as they circulate publicly
  carbon-midl crops info data/lidc                   what an archive holds, with a contact sheet
  papermill notebooks/train_unet.ipynb out.ipynb -p crops data/lidc -p filters 16
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        print(f"carbon-midl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "carbon-midl: interrupted; what is done is kept, and the same command goes on from there.", file=sys.stderr
        )
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="carbon-midl",
        description="Carbon footprint driven deep learning model selection for medical imaging.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"carbon-midl {__version__}")
    rooms = parser.add_subparsers(title="what to work on", metavar="ROOM", required=True)

    crops = rooms.add_parser("crops", help="crop archives: make them, look at them").add_subparsers(
        title="what to do", metavar="ACTION", required=True
    )
    info = _action(crops, "info", _crops_info, "describe a crop archive and draw a contact sheet")
    info.add_argument("archive", type=Path, metavar="DIR", help="the archive")
    info.add_argument(
        "--sheet", type=Path, metavar="PNG", help="contact sheet to write (default: DIR-contact-sheet.png)"
    )
    info.add_argument(
        "--crops", type=_positive, default=24, metavar="N", help="crops on the sheet (default: %(default)s)"
    )
    info.add_argument("--verify", action="store_true", help="also read every byte and compare with the fingerprint")

    imported = _action(crops, "import-slices", _import_slices, "make an archive from PNGs in the public slice layout")
    imported.add_argument(
        "slices",
        type=Path,
        metavar="DIR",
        help="holds LIDC-IDRI-0001/nodule-0/images/slice-0.png, …/mask-0/slice-0.png",
    )
    imported.add_argument("out", type=Path, metavar="OUT", help="the archive to make")

    phantom = _action(
        crops, "phantom", _phantom, "render synthetic CT crops around real LIDC-IDRI outlines (no download)"
    )
    phantom.add_argument("out", type=Path, metavar="OUT", help="the archive to make")
    phantom.add_argument("--patients", type=int, default=40, metavar="N", help="patients (default: %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="seed (default: %(default)s)")
    phantom.add_argument("--size", type=int, default=128, metavar="PX", help="height and width (default: %(default)s)")

    study = rooms.add_parser("study", help="studies: many runs from one file").add_subparsers(
        title="what to do", metavar="ACTION", required=True
    )
    run = _action(study, "run", _study_run, "make the runs of a study that are not done, and collect their tables")
    run.add_argument("study", type=Path, metavar="FILE", help="the study, such as studies/demo.toml")

    book = rooms.add_parser("book", help="the book").add_subparsers(title="what to do", metavar="ACTION", required=True)
    build = _action(book, "build", _book_build, "render the results of a study as a book")
    build.add_argument(
        "--study", type=Path, default=Path("studies/demo.toml"), metavar="FILE", help="the study (default: %(default)s)"
    )
    return parser


def _action(
    group: Any, name: str, command: Callable[[argparse.Namespace], None], about: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=about, description=about.capitalize() + ".")
    parser.set_defaults(command=command)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _bar(unit: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    from tqdm import tqdm

    return lambda items: tqdm(items, unit=unit, disable=None)


def _crops_info(options: argparse.Namespace) -> None:
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from carbon_midl.files import replaced
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.pictures import contact_sheet

    archive = CropArchive.open(options.archive)
    if options.verify:
        archive.verify()
    readers = archive.index["readers_with_mask"].value_counts().reindex(range(5), fill_value=0)
    nodules = archive.index.groupby(["patient_id", "nodule"]).ngroups
    low, high = archive.intensity.low, archive.intensity.high
    print(f"{archive.path}: {len(archive):,} crops of {archive.size} × {archive.size} px")
    print(f"  patients     {len(archive.patients):,}")
    print(f"  nodules      {nodules:,}")
    print(f"  intensity    {archive.images.dtype}, {archive.intensity.unit}, shown from {low:g} to {high:g}")
    print("  readers      " + ", ".join(f"{count:,} crops outlined by {number}" for number, count in readers.items()))
    for key, value in archive.source.items():
        print(f"  {key:<12} {value}")
    print(f"  fingerprint  {archive.fingerprint[:12]}{' (verified)' if options.verify else ''}")
    sheet = options.sheet or Path(f"{archive.path.absolute()}-contact-sheet.png")
    count = min(options.crops, len(archive))
    figure = contact_sheet(archive, np.linspace(0, len(archive) - 1, count).round().astype(int))
    with replaced(sheet) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    print(f"Contact sheet: {sheet}")


def _import_slices(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.public_layout import import_slices

    count = import_slices(options.slices, options.out, _bar("slice"))
    print(f"{count:,} crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")


def _phantom(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.phantom.archive import render_phantom

    render_phantom(options.out, options.patients, options.seed, options.size, _bar("patient"))
    print(f"Phantom crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")


def _study_run(options: argparse.Namespace) -> None:
    from carbon_midl.study.display import Display
    from carbon_midl.study.runner import run_study
    from carbon_midl.study.spec import read_study

    # A scheduler's or terminal's request to end is handled like Ctrl-C: the run's notebook is stopped, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    run_study(read_study(options.study), Display())


def _book_build(options: argparse.Namespace) -> None:
    from carbon_midl.book.build import build
    from carbon_midl.book.prepare import prepare
    from carbon_midl.study.spec import read_study

    study = read_study(options.study)
    prepare(study.results, study.directory, study.root)
    print(f"Book: {build(study.root)}")


if __name__ == "__main__":
    sys.exit(main())
