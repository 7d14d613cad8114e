"""The CT series of LIDC-IDRI in the Imaging Data Commons (IDC): which there are, how large, and fetching them.

Fetched they lie in ``OUT/LIDC-IDRI-0001/<StudyInstanceUID>/<SeriesInstanceUID>/*.dcm``, where pylidc finds them with
``path = OUT`` under ``[dicom]`` in ``~/.pylidcrc``. Choosing needs no network: the index comes with idc-index.
"""

import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import check_patients, series_with_nodules

IDC_CITATION = (
    "Fedorov et al., National Cancer Institute Imaging Data Commons: Toward Transparency, Reproducibility, and "
    "Scalability in Imaging Artificial Intelligence, RadioGraphics 43(12), 2023, doi:10.1148/rg.230180"
)
_LAYOUT = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
_COLUMNS = [*_LAYOUT, "instanceCount", "series_size_MB", "license_short_name", "source_DOI"]


def read_index() -> pd.DataFrame:
    """Return a row for each CT series with an outlined nodule (>= 3 mm), by patient, with the columns of IDC's index.

    ``instanceCount`` is its number of slices. `InputError` where idc-index or pylidc is not installed.
    """
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ImportError:
        raise InputError("idc-index is not installed: pip install 'carbon-midl[lidc]'") from None
    wanted = [("SeriesInstanceUID", "in", list(series_with_nodules()))]
    index = pd.read_parquet(str(IDC_INDEX_PARQUET_FILEPATH), columns=_COLUMNS, filters=wanted)
    index = index.astype({"instanceCount": int, "series_size_MB": float})
    return index.sort_values(["PatientID", "SeriesInstanceUID"])


def choose(
    index: pd.DataFrame, patients: Sequence[str] | None = None, number: int | None = None, max_gb: float | None = None
) -> pd.DataFrame:
    """Choose the series of some patients; of all patients where no other argument says which.

    Args:
        index: as from `read_index`.
        patients: identifiers such as "LIDC-IDRI-0001"; `InputError` for one that is unknown or has no outlined nodule.
        number: the first so many patients in order of identifier.
        max_gb: whole patients in order of identifier, for as long as they fit into so many GB (10^9 bytes);
            `InputError` where not even the first one does.
    """
    size_gb = index.groupby("PatientID")["series_size_MB"].sum() / 1e3
    chosen = list(size_gb.index)
    if patients is not None:
        check_patients(patients)
        chosen = list(patients)
    elif number is not None:
        chosen = chosen[:number]
    elif max_gb is not None:
        chosen = list(size_gb.index[size_gb.cumsum() <= max_gb])
        if not chosen:
            raise InputError(f"max-gb: {max_gb:g}, but the first patient alone takes {size_gb.iloc[0]:.3f} GB.")
    return index[index["PatientID"].isin(chosen)]


def incomplete(out: Path, chosen: pd.DataFrame) -> pd.DataFrame:
    """The series of which something is missing below `out`, with a column more: ``found``, what is there in words."""
    found = {}
    for row, series in chosen.iterrows():
        sizes = [path.stat().st_size for path in Path(out, *series[_LAYOUT]).glob("*.dcm")]
        slices, size_mb, found_mb = series["instanceCount"], series["series_size_MB"], sum(sizes) / 1e6
        # The index rounds sizes; a slice that is missing or empty weighs more than that.
        if len(sizes) != slices or abs(found_mb - size_mb) > size_mb / slices / 2:
            found[row] = f"{len(sizes)} of {slices} slices, {found_mb:.1f} of {size_mb:.1f} MB"
    return chosen.loc[list(found)].assign(found=list(found.values()))


def download(out: Path, chosen: pd.DataFrame) -> None:
    """Fetch what is missing of some series, as from `choose`, into ``out`` with IDC's own client.

    Interrupted, the same call goes on from there. `InputError` for too little room on the disk, or where series are
    incomplete after all.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = incomplete(out, chosen)
    needed_gb, free_gb = missing["series_size_MB"].sum() / 1e3, shutil.disk_usage(out).free / 1e9
    if needed_gb > free_gb:
        raise InputError(
            f"{out}: {free_gb:.1f} GB free on this disk, but {needed_gb:.1f} GB are needed. Make room, choose another "
            "directory, or choose fewer patients (carbon-midl lidc download OUT --max-gb G)."
        )
    # Importing the client configures the logging of the whole process; of what it says, only warnings are of use here.
    logging.getLogger("idc_index").setLevel(logging.WARNING)
    from idc_index import IDCClient

    IDCClient().download_from_selection(
        downloadDir=str(out),
        seriesInstanceUID=missing["SeriesInstanceUID"].tolist(),
        dirTemplate="/".join(f"%{name}" for name in _LAYOUT),
        use_s5cmd_sync=True,
        show_progress_bar=sys.stderr.isatty(),
    )
    # The client raises nothing where a line breaks or the server lacks a slice, so what is there is counted.
    missing = incomplete(out, missing)
    if not missing.empty:
        named = missing["PatientID"] + ", series " + missing["SeriesInstanceUID"] + ": " + missing["found"]
        first = "\n  ".join(named.head(5))
        raise InputError(
            f"{out}: {len(missing):,} of {len(chosen):,} series are incomplete, first\n  {first}\n"
            "Run the same command again: it fetches only what is missing."
        )
