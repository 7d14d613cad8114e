"""From outlines to masks: carbon_midl beside pylidc's `Annotation.boolean_mask`, in one run.

    python -m benchmarks.masks [--patients 60] [--record]

All masks are compared. Printed is the fastest of five passes on one core: rasterising into the nodule's box with
everything read beforehand (though pylidc parses its coordinates each time), and from the database to masks.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy loads

import argparse
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Finding, record
from carbon_midl.lidc.annotations import Nodule, patients_with_nodules, read_scans
from carbon_midl.lidc.masks import Window, reader_masks
from tests.lidc.pylidc_repair import import_pylidc

PASSES = 5
Masks = list[NDArray[np.bool_]]


def fastest_s(work: Callable[[], Masks]) -> tuple[float, Masks]:
    """Return the shortest duration of a few passes, s, and what the last one gave."""
    durations_s = []
    for _ in range(PASSES):
        start = perf_counter()
        result = work()
        durations_s.append(perf_counter() - start)
    return min(durations_s), result


def main() -> None:
    """Time both ways, compare their masks and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    options = parser.parse_args()
    patients = patients_with_nodules()[: options.patients]
    pylidc = import_pylidc()

    def our_nodules() -> list[Nodule]:
        return [nodule for scan in read_scans(patients) for nodule in scan.nodules]

    def their_annotations() -> list[tuple[Any, NDArray[np.int64]]]:
        query = pylidc.query(pylidc.Annotation).join(pylidc.Scan).filter(pylidc.Scan.patient_id.in_(patients))
        by_id = {annotation.id: annotation for annotation in query}
        return [
            (by_id[reading.annotation_id], nodule.bounding_box()) for nodule in nodules for reading in nodule.readings
        ]

    nodules = our_nodules()
    annotations = their_annotations()
    ours_s, ours = fastest_s(lambda: [reader_masks(nodule, _box(nodule)) for nodule in nodules])
    theirs_s, theirs = fastest_s(lambda: [annotation.boolean_mask(bbox=box) for annotation, box in annotations])
    one_by_one = (
        masks[:, reader] for masks, nodule in zip(ours, nodules, strict=True) for reader in range(len(nodule.readings))
    )
    for our, their in zip(one_by_one, theirs, strict=True):
        rows, columns, _ = their.shape
        assert np.array_equal(our[:, :rows, :columns], their.transpose(2, 0, 1))
    print(f"{len(annotations)} readings of {len(nodules)} nodules, all masks equal")
    found = [_report("rasterising", ours_s, theirs_s)]
    ours_s, _ = fastest_s(lambda: [reader_masks(nodule, _box(nodule)) for nodule in our_nodules()])

    def their_way() -> Masks:
        pylidc._session.expire_all()
        return [annotation.boolean_mask(bbox=box) for annotation, box in their_annotations()]

    theirs_s, _ = fastest_s(their_way)
    found.append(_report("from the database to masks", ours_s, theirs_s))
    if options.record:
        record("masks.py", found, "one core")


def _report(what: str, ours_s: float, theirs_s: float) -> Finding:
    print(f"{what}: pylidc {theirs_s:.3f} s, carbon_midl {ours_s:.3f} s, {theirs_s / ours_s:.1f} times as fast")
    times = f"{theirs_s / ours_s:.1f} times as fast, {ours_s:.2f} and {theirs_s:.2f} s"
    return Finding(f"masks: {what}", "`pylidc.Annotation.boolean_mask`", times)


def _box(nodule: Nodule) -> Window:
    (top, bottom), (left, right), _ = nodule.bounding_box().tolist()
    return Window(top, left, max(bottom - top, right - left) + 1)


if __name__ == "__main__":
    main()
