"""``carbon-midl crops``: crop archives, made and looked at."""

import argparse
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, bar, positive, room


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

    phantom = action(
        crops, "phantom", _phantom, "render synthetic CT crops around real LIDC-IDRI outlines (no download)"
    )
    phantom.add_argument("out", type=Path, metavar="OUT", help="the archive to make")
    phantom.add_argument("--patients", type=int, default=40, metavar="N", help="patients (default: %(default)s)")
    phantom.add_argument("--seed", type=int, default=0, metavar="S", help="seed (default: %(default)s)")
    phantom.add_argument("--size", type=int, default=128, metavar="PX", help="height and width (default: %(default)s)")


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
    from carbon_midl.lidc.public_layout import import_slices

    count = import_slices(options.slices, options.out, bar("slice"))
    print(f"{count:,} crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")


def _phantom(options: argparse.Namespace) -> None:
    from carbon_midl.lidc.phantom.archive import render_phantom

    render_phantom(options.out, options.patients, options.seed, options.size, bar("patient"))
    print(f"Phantom crops written to {options.out}. Look at them with: carbon-midl crops info {options.out}")
