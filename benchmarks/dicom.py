"""From DICOM to crops: `carbon-midl crops build` against the usual script with pylidc, on the same series in one run.

    python -m benchmarks.dicom --dicom ROOT [--patients 24] [--size 128] [--record]

ROOT holds whole series in the layout that pylidc wants, as ``carbon-midl lidc download ROOT --number 24`` fetches
them. The usual script reads each scan (`Scan.to_volume`), groups its readings (`cluster_annotations`), draws them
(`pylidc.utils.consensus`), and saves every slice of every nodule. Both run on one core, each in processes of its own,
with the files read once beforehand. Then the build runs with a third of the patients, to compare its peak memory.
What a process takes to start counts, too: with few patients the ratio is smaller.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy loads

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.record import Finding, record
from carbon_midl.lidc.annotations import patients_with_nodules
from carbon_midl.lidc.crops import CropArchive
from tests.lidc.pylidc_repair import import_pylidc

ONE_CORE = 1


def main() -> None:
    """Time both, and print durations, their ratio and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicom", type=Path, required=True, metavar="ROOT", help="whole series, as pylidc wants them")
    parser.add_argument("--patients", type=int, default=24, metavar="N", help="default: %(default)s")
    parser.add_argument("--size", type=int, default=128, help="px; default: %(default)s")
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    parser.add_argument("--role", choices=["usual", "peak"], help=argparse.SUPPRESS)  # for the processes that are timed
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "usual":
        usual_script(sorted(path.name for path in options.dicom.iterdir()), options.size, options.out)
    elif options.role == "peak":
        build(options.dicom, options.out, options.size)
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    else:
        found = compare(options.dicom, options.patients, options.size)
        if options.record:
            record("dicom.py", found, "one core")


def compare(root: Path, count: int, size: int) -> list[Finding]:
    """Run everything, print it, and return what was found."""
    present = {path.name for path in root.iterdir()}
    patients = [patient for patient in patients_with_nodules() if patient in present]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        third = subset(root, patients[: max(count // 3, 1)], home / "third")
        whole = subset(root, patients[:count], home / "whole")
        (home / ".pylidcrc").write_text(f"[dicom]\npath = {whole}\nwarn = False\n")
        start = perf_counter()
        build(whole, home / "ours", size)
        ours_s = perf_counter() - start
        start = perf_counter()
        run("usual", whole, home / "theirs", size, HOME=folder)
        theirs_s = perf_counter() - start
        ours, theirs = len(CropArchive.open(home / "ours")), len(list((home / "theirs").glob("*.npz")))
        print(f"crops build   {ours:5,} crops of {len(list(whole.iterdir()))} patients in {ours_s:6.1f} s")
        print(f"usual script  {theirs:5,} crops of {len(list(whole.iterdir()))} patients in {theirs_s:6.1f} s")
        ratio = f"{(theirs_s / theirs) / (ours_s / ours):.1f} times as fast, crop for crop"
        print(f"ratio         {ratio}")
        series = f"`crops build`: {len(list(whole.iterdir()))} whole series, {ours} crops"
        usual = "pylidc `to_volume`, `cluster_annotations`, `consensus`"
        found = [Finding(series, usual, f"{ratio}: {ours_s:.1f} and {theirs_s:.1f} s")]
        for tree in (third, whole):
            peak_mb = float(run("peak", tree, home / f"peak-{tree.name}", size))
            memory = f"{peak_mb:.0f} MB with {len(list(tree.iterdir()))} patients"
            print(f"peak memory   {memory} (its largest process)")
            found.append(Finding("`crops build`: peak memory of its largest process", "–", memory))
    return found


def subset(root: Path, patients: list[str], out: Path) -> Path:
    """Return a folder with some patients of a tree, whose files have been read once."""
    out.mkdir()
    for patient in patients:
        (out / patient).symlink_to((root / patient).absolute(), target_is_directory=True)
        for path in (root / patient).rglob("*.dcm"):
            path.read_bytes()
    return out


def run(role: str, tree: Path, out: Path, size: int, **environment: str) -> str:
    """Run this file in a process of its own, and return what it prints last."""
    command = [sys.executable, "-m", "benchmarks.dicom", "--role", role]
    command += ["--dicom", str(tree), "--out", str(out), "--size", str(size)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    return finished.stdout.strip().rpartition("\n")[2]


def build(root: Path, out: Path, size: int) -> None:
    """Build an archive as the command line does, headers and all."""
    command = [sys.executable, "-m", "carbon_midl.cli", "crops", "build", str(out), "--dicom", str(root)]
    command += ["--size", str(size), "--jobs", str(ONE_CORE)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def usual_script(patients: list[str], size: int, out: Path) -> None:
    """What preparing LIDC-IDRI with pylidc usually looks like."""
    pylidc = import_pylidc()
    from pylidc.utils import consensus

    out.mkdir()
    for patient in patients:
        for scan in pylidc.query(pylidc.Scan).filter(pylidc.Scan.patient_id == patient):
            volume = np.pad(scan.to_volume(verbose=False), ((size, size), (size, size), (0, 0)), constant_values=-1024)
            for number, readings in enumerate(scan.cluster_annotations(verbose=False)):
                _, box, masks = consensus(readings, clevel=0.5)
                top, left = ((part.start + part.stop) // 2 - size // 2 for part in box[:2])
                row, column = box[0].start - top, box[1].start - left
                window = np.zeros((len(masks), size, size, masks[0].shape[2]), dtype=bool)
                window[:, row : row + masks[0].shape[0], column : column + masks[0].shape[1]] = masks
                for index in range(window.shape[3]):
                    np.savez(
                        out / f"{patient}-{scan.id}-{number}-{index}.npz",
                        image=volume[top + size : top + 2 * size, left + size : left + 2 * size, box[2].start + index],
                        masks=window[..., index],
                    )


if __name__ == "__main__":
    main()
