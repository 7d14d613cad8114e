"""How fast the phantom renders.

    python -m benchmarks.phantom [--patients 20] [--size 128] [--seed 0] [--record]

Prints the fastest of three passes on one core.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy loads

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from benchmarks.record import Finding, record
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.phantom import render_phantom

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
    """Time the phantom."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", type=int, default=128, help="px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="put the finding into the table of README.md")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        outs = iter([Path(folder) / str(number) for number in range(PASSES)])
        render_s = fastest_s(lambda: render_phantom(next(outs), options.patients, options.seed, options.size))
        archive = CropArchive.open(Path(folder) / "0")
    crops = len(archive)
    found = f"{crops / render_s:.0f} crops/s"
    print(f"phantom: {crops} crops of {options.size} px in {render_s:.2f} s, {found} on one core")
    if options.record:
        record("phantom.py", [Finding(f"phantom: crops of {options.size} px rendered", "–", found)], "one core")


if __name__ == "__main__":
    main()
