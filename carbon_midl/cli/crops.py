"""``carbon-midl crops``: crop archives, made and looked at."""

import argparse
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, bar, positive, room

_BUILD_EPILOG = """\
Files and series that cannot be used are left out and listed in OUT/report.csv. What is cut is kept beside OUT until the
archive stands: a build that was stopped goes on from there with the same command.

examples:
  carbon-midl crops build data/lidc --dicom LIDC-IDRI --dry-run
  carbon-midl crops build data/lidc --dicom LIDC-IDRI --min-readers 2 --spacing 0.5
  carbon-midl crops build data/few --dicom LIDC-IDRI --patients LIDC-IDRI-0001 LIDC-IDRI-0003
"""
_CENTRE_EPILOG = """\
The resolution stays: a crop of half the size has a quarter of the pixels, and a network trains on it four times as
fast. Mask pixels outside the centre are lost; it says how many.

example:
  carbon-midl crops centre data/lidc data/lidc-64 --size 64
"""


def add_actions(rooms: Any) -> None:
    """Add the room ``crops``."""
    crops = room(rooms, "crops", "crop archives: make them, look at them")
    info = action(crops, "info", _info, "describe a crop archive and draw a contact sheet")
    info.add_argument("archive", type=Path, metavar="DIR", help="the archive")
    info.add_argument(
        "--sheet", type=Path, metavar="PNG", help="contact sheet to write (default: DIR-contact-sheet.png)"
    )
    info.add_argument(
        "--crops", type=positive, default=24, metavar="N", help="crops on the sheet (default: %(default)s)"
    )
    info.add_argument("--verify", action="store_true", help="also read every byte and compare with the fingerprint")

    imported = action(crops, "import-slices", _import_slices, "make an archive from PNGs in the public slice layout")
    imported.add_argument(
        "slices",
        type=Path,
        metavar="DIR",
        help="holds LIDC-IDRI-0001/nodule-0/images/slice-0.png, …/mask-0/slice-0.png",
    )
    imported.add_argument("out", type=Path, metavar="OUT", help="the archive to make")

    centre = action(crops, "centre", _centre, "make an archive of the central part of every crop", _CENTRE_EPILOG)
    centre.add_argument("archive", type=Path, metavar="DIR", help="the archive")
    centre.add_argument("out", type=Path, metavar="OUT", help="the archive to make")
    centre.add_argument(
        "--size", type=positive, default=64, metavar="PX", help="height and width (default: %(default)s)"
    )

    _add_build(crops)

    phantom = action(
        crops, "phantom", _phantom, "render synthetic CT crops around real LIDC-IDRI outlines (no download)"
    )
    phantom.add_argument("out", type=Path, metavar="OUT", help="the archive to make")
    phantom.add_argument("--patients", type=int, default=40, metavar="N", help="patients (default: %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="seed (default: %(default)s)")
    phantom.add_argument("--size", type=int, default=128, metavar="PX", help="height and width (default: %(default)s)")


def _add_build(crops: Any) -> None:
    build = action(crops, "build", _build, "cut crops around nodules from LIDC-IDRI's CT (DICOM)", _BUILD_EPILOG)
    build.add_argument("out", type=Path, metavar="OUT", help="the archive to make")
    build.add_argument(
        "--dicom",
        type=Path,
        required=True,
        metavar="ROOT",
        help="holds the DICOM files, in whatever folders and with whatever names; only read",
    )
    build.add_argument(
        "--patients",
        nargs="+",
        metavar="ID|FILE",
        help="patients such as LIDC-IDRI-0001, or a file with one a line (default: all whose CT is there)",
    )
    build.add_argument(
        "--min-readers",
        type=positive,
        default=1,
        metavar="K",
        help="only nodules that at least K of four readers outlined (default: %(default)s)",
    )
    build.add_argument(
        "--max-gb",
        type=float,
        metavar="G",
        help="the archive's greatest size; patients are taken in order, whole, as long as they fit (default: no limit)",
    )
    build.add_argument("--size", type=int, default=128, metavar="PX", help="height and width (default: %(default)s)")
    build.add_argument(
        "--spacing",
        type=_spacing,
        metavar="MM",
        help="size of a pixel to resample to, such as 0.5, or native to keep each scan's own (default: native)",
    )
    build.add_argument(
        "--jobs", type=positive, metavar="N", help="processes that read and cut (default: one a processor)"
    )
    build.add_argument(
        "--index",
        type=Path,
        metavar="FILE",
        help="where to keep what headers say, so that they are read once (default: a hidden file beside OUT)",
    )
    build.add_argument(
        "--dry-run",
        action="store_true",
        help="cut nothing; tell what would be, and estimate time and size for all of LIDC-IDRI",
    )


def _spacing(text: str) -> float | None:
    return None if text == "native" else float(text)


def _info(options: argparse.Namespace) -> None:
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
    from carbon_midl.lidc.png_slices import import_slices

    count = import_slices(options.slices, options.out)
    print(f"{count:,} crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")


def _centre(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.centre import centre_crops
    from carbon_midl.lidc.crops import CropArchive

    archive = CropArchive.open(options.archive)
    marked, lost = centre_crops(archive, options.out, options.size)
    print(f"{len(archive):,} crops of {options.size} × {options.size} px written to {options.out}")
    print(f"Of {marked:,} mask pixels {lost:,} lie outside ({lost / max(marked, 1):.2%}).")


def _build(options: argparse.Namespace) -> None:
    import os
    import signal

    from carbon_midl.files import refuse_occupied
    from carbon_midl.lidc.build.archive import build_archive
    from carbon_midl.lidc.build.plan import patients_of, plan_build
    from carbon_midl.lidc.build.projection import project
    from carbon_midl.lidc.build.report import built_text, plan_text, projection_text
    from carbon_midl.lidc.build.settings import Settings
    from carbon_midl.lidc.tree import index_beside, read_tree

    # A scheduler's request to end is handled like Ctrl-C: what is being cut is finished and kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs = options.jobs or len(os.sched_getaffinity(0))
    settings = Settings(options.size, options.spacing, options.min_readers)
    settings.check()
    if not options.dry_run:
        refuse_occupied(options.out)
    patients = patients_of(options.patients)
    tree = read_tree(options.dicom, options.index or index_beside(options.out, options.dicom), jobs, bar("256 files"))
    plan = plan_build(tree, settings, patients, options.max_gb)
    print(plan_text(plan, settings))
    if options.dry_run:
        print(projection_text(project(tree, plan, settings, jobs, bar("10 patients")), jobs))
        return
    built = build_archive(tree, plan, options.out, settings, jobs, bar("series"))
    print(built_text(built, plan, options.out))


def _phantom(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.phantom.archive import render_phantom

    render_phantom(options.out, options.patients, options.seed, options.size, bar("patient"))
    print(f"Phantom crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")
