"""``carbon-midl lidc``: the CT scans of LIDC-IDRI."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, positive, read_patients, room
from carbon_midl.cli.statistics import add_statistics
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 20

_EPILOG = """\
Only CT series that radiologists annotated are fetched (of 1,018, the 883 with an outlined nodule), from the Imaging
Data Commons. What would be fetched, its size and its licence are shown first; that needs no network. Nothing is
downloaded until you agree, at the prompt or with --yes.

Series lie in OUT/PATIENT/STUDY/SERIES. Interrupt at any time: the same command fetches what is missing. 'path = OUT'
under [dicom] in ~/.pylidcrc shows the scans to pylidc.

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
    from carbon_midl.lidc.download import choose, download, incomplete, read_index

    if options.retries < 0:
        raise InputError(f"--retries: {options.retries}, expected 0 or more.")
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out}: not a directory. Choose another place, or remove it first.")
    index = read_index()
    chosen = choose(
        index,
        patients=read_patients(options.patients_from) if options.patients_from else options.patients,
        number=options.number,
        max_gb=options.max_gb,
        without_nodules=options.without_nodules,
    )
    missing = incomplete(options.out, chosen)
    _show(options.out, index, chosen, missing)
    if missing.empty:
        print("All of it is there; nothing to download.")
    elif options.dry_run or not (options.yes or _agreed(options.out, missing)):
        print("Nothing was downloaded. With --yes (and without --dry-run) the same command downloads without asking.")
    else:
        download(options.out, chosen, options.retries)
        print(f"{len(chosen):,} series are complete in {options.out}.")


def _show(out: Path, index: "pd.DataFrame", chosen: "pd.DataFrame", missing: "pd.DataFrame") -> None:
    """Print what would be downloaded, its size, licence and how to cite it."""
    from importlib.metadata import version

    from carbon_midl.lidc.annotations import CITATION
    from carbon_midl.lidc.download import IDC_CITATION

    for row, series in chosen.head(_LISTED).iterrows():
        print(
            f"  {series['PatientID']}  {series['SeriesInstanceUID']:<64}  {series['instanceCount']:>3} slices  "
            f"{series['series_size_MB'] / 1e3:.3f} GB{'' if row in missing.index else '   complete'}"
        )
    if len(chosen) > _LISTED:
        print(f"  … and {len(chosen) - _LISTED:,} series more")
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free_gb, needed_gb = shutil.disk_usage(place).free / 1e9, missing["series_size_MB"].sum() / 1e3
    rows = {
        "patients": f"{chosen['PatientID'].nunique():,}",
        "series": f"{len(chosen):,} CT series with {chosen['instanceCount'].sum():,} slices",
        "size": f"{chosen['series_size_MB'].sum() / 1e3:,.3f} GB",
        "to download": f"{needed_gb:,.3f} GB for {len(missing):,} series",
        "free disk": f"{free_gb:,.3f} GB{', which is NOT enough' if needed_gb > free_gb else ''}",
        "source": f"Imaging Data Commons, as in idc-index-data {version('idc-index-data')}",
        "licence": ", ".join(sorted(chosen["license_short_name"].unique())),
        "data DOI": ", ".join(sorted(chosen["source_DOI"].unique())),
        "cite": CITATION,
        "and": IDC_CITATION,
        "annotated": f"{len(index):,} series, {(~index['outlined']).sum():,} of them without an outlined nodule "
        "(--without-nodules)",
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")


def _agreed(out: Path, missing: "pd.DataFrame") -> bool:
    """Ask a person; where there is none, refuse."""
    if not sys.stdin.isatty():
        raise InputError(
            "nothing was downloaded: there is no terminal to ask whether this much should be. "
            "With --yes the same command downloads without asking."
        )
    try:
        answer = input(f"Download {missing['series_size_MB'].sum() / 1e3:,.3f} GB to {out}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")
