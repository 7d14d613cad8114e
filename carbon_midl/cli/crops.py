"""``carbon-midl crops``: crop archives, made and looked at."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, positive, read_patients, room

if TYPE_CHECKING:
    from carbon_midl.lidc.build import Built, Plan

_SHOWN = 5

_BUILD_EPILOG = """\
Files and series that cannot be used are left out and listed in OUT/report.csv. The archive appears whole at the end or
not at all.

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
    build.add_argument("--dry-run", action="store_true", help="cut nothing; tell what would be, and how large")


def _spacing(text: str) -> float | None:
    return None if text == "native" else float(text)


def _info(options: argparse.Namespace) -> None:
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from carbon_midl.files import replaced
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.lidc.pictures import contact_sheet

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
    from carbon_midl.lidc.build import centre_crops
    from carbon_midl.lidc.crops import CropArchive

    archive = CropArchive.open(options.archive)
    marked, lost = centre_crops(archive, options.out, options.size)
    print(f"{len(archive):,} crops of {options.size} × {options.size} px written to {options.out}")
    print(f"Of {marked:,} mask pixels {lost:,} lie outside ({lost / max(marked, 1):.2%}).")


def _build(options: argparse.Namespace) -> None:
    import os
    import signal

    from carbon_midl.files import refuse_occupied
    from carbon_midl.lidc.build import CropSettings, build_archive, plan_build
    from carbon_midl.lidc.dicom import read_folder

    # A scheduler's request to end is handled like Ctrl-C: processes end, and nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = options.jobs or usable
    settings = CropSettings(options.size, options.spacing, options.min_readers)
    settings.check()
    if not options.dry_run:
        refuse_occupied(options.out)
    patients = options.patients and [
        patient
        for argument in options.patients
        for patient in (read_patients(Path(argument)) if Path(argument).is_file() else [argument])
    ]
    folder = read_folder(options.dicom)
    plan = plan_build(folder, settings, patients, options.max_gb)
    _show_plan(plan)
    if not options.dry_run:
        _show_built(build_archive(folder, plan, options.out, jobs), plan, options.out)


def _show_plan(plan: "Plan") -> None:
    """Print what will be cut."""
    nodules = sum(len(scan.nodules) for scan in plan.scans)
    print(f"{plan.series_found:,} of {plan.series_of_collection:,} series of LIDC-IDRI found")
    print(
        f"  to cut       {plan.crops:,} crops of {nodules:,} nodules, {len(plan.patients):,} patients, "
        f"{len(plan.scans):,} series"
    )
    print(f"  to read      {plan.slices:,} slices")
    print(f"  to write     {plan.crops * plan.settings.crop_bytes / 1e9:.3f} GB, twice that while it is built")
    for name, patients, reason in (("not there", plan.missing, ""), ("too much", plan.beyond, " (--max-gb)")):
        if patients:
            more = f" and {len(patients) - _SHOWN:,} more" if len(patients) > _SHOWN else ""
            print(f"  {name:<12} {len(patients):,} patients: {', '.join(patients[:_SHOWN])}{more}{reason}")


def _show_built(built: "Built", plan: "Plan", out: Path) -> None:
    """Print what was written, and what was left out and why."""
    print(
        f"{built.crops:,} crops of {built.nodules:,} nodules, {built.patients:,} patients, written to {out}. "
        f"Look at them with: carbon-midl crops info {out}"
    )
    if built.left_out:
        print(
            f"Left out: {plan.crops - built.crops:,} of {plan.crops:,} crops, "
            f"{len(plan.scans) - built.series:,} of {len(plan.scans):,} series. First of "
            f"{len(built.left_out):,} lines of {out / 'report.csv'}:"
        )
    for line in built.left_out[:_SHOWN]:
        text = f"  {line.file or line.series_uid}: {line.reason} (left out: {line.left_out})"
        print(text.encode("utf-8", "backslashreplace").decode())


def _phantom(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.phantom import render_phantom

    render_phantom(options.out, options.patients, options.seed, options.size)
    print(f"Phantom crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")
