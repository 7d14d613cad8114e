"""``carbon-midl lidc``: the CT scans of LIDC-IDRI."""

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, positive, room
from carbon_midl.cli.statistics import add_statistics
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.lidc.download import Plan
    from carbon_midl.lidc.idc import Series

_LISTED = 20

_EPILOG = """\
Only CT series that radiologists annotated are fetched (of 1,018, the 883 with an outlined nodule), from the Imaging
Data Commons. What would be fetched, its size and its licence are shown first; that needs no network. Nothing is
downloaded until you agree, at the prompt or with --yes.

A series appears as OUT/PATIENT/STUDY/SERIES only when it is complete. Interrupt at any time: the same command goes on
where it stopped. 'path = OUT' under [dicom] in ~/.pylidcrc shows the scans to pylidc. S3_ENDPOINT_URL names another
S3 server.

examples:
  carbon-midl lidc download data/ct --all --dry-run                        how large is everything?
  carbon-midl lidc download data/ct --patients LIDC-IDRI-0001 LIDC-IDRI-0003
  carbon-midl lidc download data/ct --max-gb 5 --yes                       the first patients, in a script
"""


def add_actions(rooms: Any) -> None:
    """Add the room ``lidc``."""
    lidc = room(rooms, "lidc", "CT scans and annotations of LIDC-IDRI")
    add_statistics(lidc)
    download = action(lidc, "download", _download, "download annotated CT scans of LIDC-IDRI", _EPILOG)
    download.usage = "%(prog)s OUT (--patients ID … | --patients-from FILE | --number N | --max-gb G | --all) [options]"
    download.add_argument("out", type=Path, metavar="OUT", help="the directory to fill; may hold scans already")
    which = download.add_mutually_exclusive_group(required=True)
    which.add_argument("--patients", nargs="+", metavar="ID", help="these patients, such as LIDC-IDRI-0001")
    which.add_argument(
        "--patients-from", type=Path, metavar="FILE", help="the patients in a text file, separated by white space"
    )
    which.add_argument("--number", type=positive, metavar="N", help="the first N patients, in order of identifier")
    which.add_argument(
        "--max-gb",
        type=float,
        metavar="G",
        help="whole patients, in order of identifier, for as long as they fit into G GB (10^9 bytes)",
    )
    which.add_argument("--all", action="store_true", help="all patients, more than 100 GB")
    download.add_argument(
        "--without-nodules",
        action="store_true",
        help="also scans without an outlined nodule, from which no crop can be cut (default: leave them out)",
    )
    download.add_argument("--dry-run", action="store_true", help="show what would be downloaded, and end")
    download.add_argument("--yes", action="store_true", help="download without asking, once the size has been shown")
    download.add_argument(
        "--retries",
        type=int,
        default=5,
        metavar="N",
        help="how often to try again where a connection breaks (default: %(default)s)",
    )


def _download(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.download import plan
    from carbon_midl.lidc.idc import choose, read_index

    if options.retries < 0:
        raise InputError(f"--retries: {options.retries}, expected 0 or more.")
    every = read_index()
    chosen = choose(
        every,
        patients=_read_ids(options.patients_from) if options.patients_from else options.patients,
        number=options.number,
        max_gb=options.max_gb,
        without_nodules=options.without_nodules,
    )
    planned = plan(options.out, chosen)
    _show(planned, chosen, every)
    if not planned.to_fetch:
        print("All of it is there; nothing to download.")
        return
    if options.dry_run:
        print(f"Nothing was downloaded. To download: {_command(options)}")
        return
    planned.check_space()
    if not options.yes and not _agreed(planned, options):
        print(f"Nothing was downloaded. To download without being asked: {_command(options)}")
        return
    # A scheduler's or terminal's request to end is handled like Ctrl-C: s5cmd is stopped, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    _run(planned, options.retries)
    print(f"{len(chosen):,} series are complete in {options.out}.")


def _run(planned: "Plan", retries: int) -> None:
    from tqdm import tqdm

    from carbon_midl.lidc.download import download

    with tqdm(total=planned.missing_bytes, unit="B", unit_scale=True, disable=None) as shown:
        download(planned, shown.update, retries)


def _show(planned: "Plan", chosen: "list[Series]", every: "list[Series]") -> None:
    """Print what would be downloaded, its size, licence and how to cite it."""
    from carbon_midl.lidc.annotations import CITATION
    from carbon_midl.lidc.idc import BYTES_PER_GB, IDC_CITATION, index_version

    def gb(size_bytes: int) -> str:
        return f"{size_bytes / BYTES_PER_GB:,.3f} GB"

    complete = set(planned.complete)
    for one in chosen[:_LISTED]:
        state = "   complete" if one in complete else ""
        print(f"  {one.patient_id}  {one.series_uid:<64}  {one.slices:>3} slices  {gb(one.size_bytes)}{state}")
    if len(chosen) > _LISTED:
        print(f"  … and {len(chosen) - _LISTED:,} series more")
    bare = sum(not one.outlined for one in every)
    rows = {
        "patients": f"{len({one.patient_id for one in chosen}):,}",
        "series": f"{len(chosen):,} CT series with {sum(one.slices for one in chosen):,} slices",
        "size": gb(sum(one.size_bytes for one in chosen)),
        "to download": f"{gb(planned.missing_bytes)} for {len(planned.to_fetch):,} series",
        "free disk": gb(planned.free_bytes) + ("" if planned.fits else ", which is NOT enough"),
        "source": f"Imaging Data Commons, as in idc-index-data {index_version()}",
        "licence": ", ".join(sorted({one.licence for one in chosen})),
        "data DOI": ", ".join(sorted({one.doi for one in chosen})),
        "cite": CITATION,
        "and": IDC_CITATION,
        "annotated": f"{len(every):,} series, {bare:,} of them without an outlined nodule (--without-nodules)",
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")


def _agreed(planned: "Plan", options: argparse.Namespace) -> bool:
    """Ask a person; where there is none, refuse."""
    from carbon_midl.lidc.idc import BYTES_PER_GB

    if not sys.stdin.isatty():
        raise InputError(
            "nothing was downloaded: there is no terminal to ask whether this much should be. "
            f"To download: {_command(options)}"
        )
    try:
        answer = input(f"Download {planned.missing_bytes / BYTES_PER_GB:,.3f} GB to {planned.out}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _command(options: argparse.Namespace) -> str:
    """The command that downloads what these options choose."""
    if options.patients:
        which = ["--patients", *options.patients]
    elif options.patients_from:
        which = ["--patients-from", str(options.patients_from)]
    elif options.number:
        which = ["--number", str(options.number)]
    elif options.max_gb is not None:
        which = ["--max-gb", f"{options.max_gb:g}"]
    else:
        which = ["--all"]
    also = ["--without-nodules"] if options.without_nodules else []
    return shlex.join(["carbon-midl", "lidc", "download", str(options.out), *which, *also, "--yes"])


def _read_ids(path: Path) -> list[str]:
    try:
        ids = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error}). Expected identifiers of patients.") from None
    if not ids:
        raise InputError(f"{path}: no identifiers. Expected patients such as LIDC-IDRI-0001, one a line.")
    return ids
