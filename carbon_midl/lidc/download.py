"""The CT series of LIDC-IDRI in the Imaging Data Commons (IDC): which there are, how large, and fetching them.

Fetched they lie in ``OUT/LIDC-IDRI-0001/<StudyInstanceUID>/<SeriesInstanceUID>/*.dcm``, where pylidc finds them with
``path = OUT`` under ``[dicom]`` in ``~/.pylidcrc``. Choosing needs no network: the index comes with idc-index.
"""

import logging
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import annotated_series

IDC_CITATION = (
    "Fedorov et al., National Cancer Institute Imaging Data Commons: Toward Transparency, Reproducibility, and "
    "Scalability in Imaging Artificial Intelligence, RadioGraphics 43(12), 2023, doi:10.1148/rg.230180"
)
_LAYOUT = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
_COLUMNS = {
    "PatientID": "patient_id",
    "StudyInstanceUID": "study_uid",
    "SeriesInstanceUID": "series_uid",
    "instanceCount": "slices",
    "series_size_MB": "size_bytes",
    "license_short_name": "licence",
    "source_DOI": "doi",
}
_NAMED = 5  # patients or series that a message names


def read_index() -> pd.DataFrame:
    """Return the 1,018 CT series that pylidc's database annotates, by patient and SeriesInstanceUID.

    Returns:
        A row a series: patient_id, study_uid, series_uid, slices (its number of files), size_bytes (of all of them),
        licence, doi, and outlined (whether a nodule >= 3 mm was outlined in it).

    Raises:
        InputError: idc-index or pylidc is not installed, or the index lacks an annotated series.
    """
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ImportError:
        raise InputError("idc-index is not installed: pip install 'carbon-midl[lidc]'") from None
    outlined = annotated_series()
    wanted = [("collection_id", "==", "lidc_idri"), ("Modality", "==", "CT")]
    index = pd.read_parquet(str(IDC_INDEX_PARQUET_FILEPATH), columns=list(_COLUMNS), filters=wanted)
    index = index.rename(columns=_COLUMNS).query("series_uid in @outlined")
    if missing := sorted(outlined.keys() - set(index["series_uid"])):
        raise InputError(
            f"{IDC_INDEX_PARQUET_FILEPATH}: lacks {len(missing):,} of {len(outlined):,} annotated series, first "
            f"{missing[0]}. Install an idc-index that has them: pip install 'carbon-midl[lidc]'"
        )
    index = index.assign(
        slices=index["slices"].astype(int),
        size_bytes=(index["size_bytes"].astype(float) * 1e6).round().astype(int),
        outlined=index["series_uid"].map(outlined).astype(bool),
    )
    return index.sort_values(["patient_id", "series_uid"], ignore_index=True)


def choose(
    index: pd.DataFrame,
    *,
    patients: Iterable[str] | None = None,
    number: int | None = None,
    max_gb: float | None = None,
    without_nodules: bool = False,
) -> pd.DataFrame:
    """Choose the series of some patients; of all patients where no other argument says which.

    Args:
        index: as from `read_index`.
        patients: identifiers such as "LIDC-IDRI-0001".
        number: the first so many patients in order of identifier.
        max_gb: whole patients in order of identifier, for as long as they fit into so many GB (10^9 bytes).
        without_nodules: whether to take series without an outlined nodule, from which no crop can be cut, too.

    Raises:
        InputError: an identifier is unknown, or its patient has no outlined nodule; `number` is out of range; `max_gb`
            is not positive, or not even the first patient fits into it.
    """
    chosen = index if without_nodules else index[index["outlined"]]
    size_bytes = chosen.groupby("patient_id")["size_bytes"].sum()
    kept = size_bytes.index
    if patients is not None:
        kept = pd.Index(sorted(set(patients)))
        _check_known(list(kept), sorted(index["patient_id"].unique()), set(size_bytes.index))
    elif number is not None:
        if not 1 <= number <= len(size_bytes):
            raise InputError(f"number: {number}, expected 1 to {len(size_bytes):,} patients.")
        kept = size_bytes.index[:number]
    elif max_gb is not None:
        if not max_gb > 0:
            raise InputError(f"max_gb: {max_gb:g}, expected a number of GB above 0.")
        kept = size_bytes.index[size_bytes.cumsum() <= max_gb * 1e9]
        if kept.empty:
            first_gb = size_bytes.iloc[0] / 1e9
            raise InputError(f"max_gb: {max_gb:g} GB, but the first patient alone takes {first_gb:.3f} GB. Allow more.")
    return chosen[chosen["patient_id"].isin(kept)]


def incomplete(out: Path, chosen: pd.DataFrame) -> pd.DataFrame:
    """The series of which something is missing below `out`, with a column more: ``found``, what is there in words."""
    found = {}
    for row, series in chosen.iterrows():
        folder = Path(out, series["patient_id"], series["study_uid"], series["series_uid"])
        sizes = [path.stat().st_size for path in folder.glob("*.dcm")]
        # The index rounds sizes; a slice that is missing or empty weighs more than that.
        difference_bytes = abs(sum(sizes) - series["size_bytes"])
        if len(sizes) != series["slices"] or difference_bytes > series["size_bytes"] / series["slices"] / 2:
            megabytes = f"{sum(sizes) / 1e6:.1f} of {series['size_bytes'] / 1e6:.1f} MB"
            found[row] = f"{len(sizes)} of {series['slices']} slices, {megabytes}"
    return chosen.loc[list(found)].assign(found=list(found.values()))


def download(out: Path, chosen: pd.DataFrame, retries: int = 0) -> None:
    """Fetch what is missing of some series with IDC's own client; interrupted, the same call goes on from there.

    Args:
        out: the directory to fill; may hold series already.
        chosen: as from `choose`.
        retries: how often to ask again for what is missing then.

    Raises:
        InputError: too little room on the disk, or series are incomplete after all; the message says which.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = incomplete(out, chosen)
    needed_gb, free_gb = missing["size_bytes"].sum() / 1e9, shutil.disk_usage(out).free / 1e9
    if needed_gb > free_gb:
        raise InputError(
            f"{out}: {free_gb:.1f} GB free on this disk, but {needed_gb:.1f} GB are needed. Make room, choose another "
            "directory, or choose fewer patients (carbon-midl lidc download OUT --max-gb G)."
        )
    # Importing the client configures the logging of the whole process; of what it says, only warnings are of use here.
    logging.getLogger("idc_index").setLevel(logging.WARNING)
    from idc_index import IDCClient

    client = IDCClient()
    for _ in range(retries + 1):
        client.download_from_selection(
            downloadDir=str(out),
            seriesInstanceUID=missing["series_uid"].tolist(),
            dirTemplate=_LAYOUT,
            use_s5cmd_sync=True,
            show_progress_bar=sys.stderr.isatty(),
        )
        # The client raises nothing where a line breaks or the server lacks a slice, so what is there is counted.
        missing = incomplete(out, missing)
        if missing.empty:
            return
    named = [
        f"  {series['patient_id']}, series {series['series_uid']}: {series['found']}"
        for _, series in missing.head(_NAMED).iterrows()
    ]
    raise InputError(
        f"{out}: {len(missing):,} of {len(chosen):,} series are incomplete, first\n" + "\n".join(named) + "\n"
        "Run the same command again: it fetches only what is missing."
    )


def _check_known(wanted: Sequence[str], known: Sequence[str], with_nodules: set[str]) -> None:
    if unknown := [patient for patient in wanted if patient not in known]:
        named = ", ".join(f"{patient!r}{_hint(patient, known)}" for patient in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        raise InputError(
            f"patients: {named}{more} not in LIDC-IDRI; expected identifiers from {known[0]} to {known[-1]}."
        )
    if bare := [patient for patient in wanted if patient not in with_nodules]:
        raise InputError(
            f"patients: {', '.join(bare[:_NAMED])}{' and more' if len(bare) > _NAMED else ''} without an outlined "
            "nodule, so there is nothing to cut crops from. Leave them out, or ask for scans without nodules, too "
            "(--without-nodules)."
        )


def _hint(patient: str, known: Sequence[str]) -> str:
    """The real identifier that was probably meant: the one with the same number, or else the one spelt most alike."""
    number = re.search(r"\d+$", patient)
    same_number = f"LIDC-IDRI-{int(number[0]):04d}" if number else ""
    near = [same_number] if same_number in known else get_close_matches(patient.upper(), known, n=1, cutoff=0.8)
    return f" (did you mean {near[0]}?)" if near else ""
