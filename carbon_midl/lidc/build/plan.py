"""Which series of a tree are to be cut, and what that comes to."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Scan, patients_with_nodules, read_scans, series_of_collection
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.ct import PHANTOM_MANUFACTURER
from carbon_midl.lidc.tree import DicomTree

_BATCH = 10  # patients whose outlines are in memory at a time


class PlannedSeries(NamedTuple):
    """One series that will be cut, and its number of nodules, crops, and slices to be read."""

    scan_id: int
    patient_id: str
    series_uid: str
    nodules: int
    crops: int
    slices: int


class Plan(NamedTuple):
    """What will be cut.

    series: in the archive's order. series_found: how many of LIDC-IDRI's are in the tree, with nodules or without.
    series_of_collection: how many LIDC-IDRI has. missing: patients asked for of whom the tree has no series. beyond:
    patients that are left out for the archive's size. phantom: version and seed of synthetic series, or None.
    """

    series: tuple[PlannedSeries, ...]
    series_found: int
    series_of_collection: int
    missing: tuple[str, ...]
    beyond: tuple[str, ...]
    phantom: str | None

    @property
    def patients(self) -> list[str]:
        """The patients, sorted."""
        return sorted({series.patient_id for series in self.series})

    @property
    def nodules(self) -> int:
        """How many nodules."""
        return sum(series.nodules for series in self.series)

    @property
    def crops(self) -> int:
        """How many crops."""
        return sum(series.crops for series in self.series)

    @property
    def slices(self) -> int:
        """How many slices are read."""
        return sum(series.slices for series in self.series)


def patients_of(arguments: Sequence[str] | None) -> list[str] | None:
    """Return the patients that identifiers, and files with one identifier a line, name; None for None.

    Raises:
        InputError: a file that is not text, or names no patient.
    """
    if arguments is None:
        return None
    patients = []
    for argument in arguments:
        if not Path(argument).is_file():
            patients.append(argument)
            continue
        try:
            lines = Path(argument).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{argument}: not a text file with one patient a line ({error}).") from None
        if not lines:
            raise InputError(f"{argument}: no patients; expected identifiers such as LIDC-IDRI-0001, one a line.")
        patients += lines
    return patients


def plan_build(
    tree: DicomTree, settings: Settings, patients: Sequence[str] | None = None, max_gb: float | None = None
) -> Plan:
    """Choose the series to cut.

    Args:
        tree: the DICOM files.
        settings: how to cut.
        patients: those wanted, or None for all that the tree has.
        max_gb: the archive's greatest size, GB; patients are taken in order, whole, as long as they fit.

    Raises:
        InputError: settings out of range, an unknown patient, no series of LIDC-IDRI that is wanted, none that fits,
            or phantom and real series in one tree.
    """
    settings.check()
    available = set(patients_with_nodules())
    if unknown := sorted(set(patients or ()) - available):
        raise InputError(
            f"patients: {', '.join(unknown[:3])} not in LIDC-IDRI, or without an outlined nodule. "
            "Identifiers are like LIDC-IDRI-0001."
        )
    collection = series_of_collection()
    found = {uid: collection[uid].patient_id for uid in tree.series_uids if uid in collection}
    if not found:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in tree.files.most_common())
        raise InputError(
            f"{tree.root}: none of LIDC-IDRI's {len(collection):,} series; found {sum(tree.files.values()):,} files: "
            f"{kinds}, in {len(tree.series_uids):,} series of CT. Name the directory that holds LIDC-IDRI's CT."
        )
    wanted = available if patients is None else set(patients)
    planned = [
        _planned(scan, settings)
        for scan in scans_of(sorted(set(found.values()) & wanted))
        if scan.series_uid in found and settings.nodules(scan)
    ]
    if not planned:
        raise InputError(
            f"{tree.root}: {len(found):,} series of LIDC-IDRI, but none of the patients asked for with a nodule that "
            f"{settings.min_readers} or more readers outlined."
        )
    fitting, beyond = _fitting(planned, settings, max_gb)
    return Plan(
        series=tuple(fitting),
        series_found=len(found),
        series_of_collection=len(collection),
        missing=tuple(sorted(set(patients or ()) - set(found.values()))),
        beyond=tuple(beyond),
        phantom=_phantom(tree, fitting),
    )


def scans_of(patients: Sequence[str], progress: Callable[[Sequence[Any]], Iterable[Any]] = iter) -> Iterator[Scan]:
    """Read the scans of patients, sorted, with the outlines of only a few in memory at a time.

    `progress` wraps the batches of patients.
    """
    for first in progress(range(0, len(patients), _BATCH)):
        yield from read_scans(patients[first : first + _BATCH])


def _planned(scan: Scan, settings: Settings) -> PlannedSeries:
    nodules = settings.nodules(scan)
    touched = [nodule.slice_indices() for nodule in nodules]
    return PlannedSeries(
        scan_id=scan.id,
        patient_id=scan.patient_id,
        series_uid=scan.series_uid,
        nodules=len(nodules),
        crops=sum(map(len, touched)),
        slices=len(set().union(*touched)),
    )


def _fitting(
    planned: list[PlannedSeries], settings: Settings, max_gb: float | None
) -> tuple[list[PlannedSeries], list[str]]:
    """The series of the first patients that fit, and the other patients."""
    if max_gb is not None and not max_gb >= 0:
        raise InputError(f"max-gb: {max_gb:g}, expected a size in GB.")
    if max_gb is None:
        return planned, []
    crops: Counter[str] = Counter()
    for series in planned:
        crops[series.patient_id] += series.crops
    left_bytes = max_gb * 1e9
    kept = []
    for patient in sorted(crops):
        left_bytes -= crops[patient] * settings.crop_bytes
        if left_bytes < 0:
            break
        kept.append(patient)
    if not kept:
        needed_gb = crops[min(crops)] * settings.crop_bytes / 1e9
        raise InputError(
            f"max-gb: {max_gb:g}, too little for one patient; {min(crops)} alone takes {needed_gb:.3f} GB."
        )
    return [series for series in planned if series.patient_id in kept], sorted(set(crops) - set(kept))


def _phantom(tree: DicomTree, planned: Sequence[PlannedSeries]) -> str | None:
    """What the phantom among the series says of itself; None where all are real."""
    models: list[str] = []
    real: list[str] = []
    for series in planned:
        forms = [file.header.form for file in tree.series(series.series_uid).files]
        if not forms:
            continue
        makers = Counter((form.manufacturer, form.model) for form in forms)
        (manufacturer, model), _ = makers.most_common(1)[0]
        if manufacturer == PHANTOM_MANUFACTURER:
            models.append(model)
        else:
            real.append(series.series_uid)
    if models and real:
        raise InputError(
            f"{tree.root}: {len(models):,} phantom series and {len(real):,} real ones (such as {real[0]}) in one tree; "
            "an archive is either synthetic or real. Build each from a directory of its own."
        )
    return "; ".join(sorted(set(models))) if models else None
