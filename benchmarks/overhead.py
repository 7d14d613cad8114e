"""What a run costs beside its training, and how runs side by side scale.

    python -m benchmarks.overhead [--runs 4] [--record]

A study of tiny runs on a tiny phantom is made by one process at a time, then by two, each with one thread. Overhead is
what a run takes beside the windows that are metered: papermill and kernel start, imports, opening crops, pictures.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter

os.environ["OMP_NUM_THREADS"] = "1"  # runs side by side get the same as runs alone
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a run does not compile the library anew, unless told to

from benchmarks.record import Finding, record
from carbon_midl.footprint import read_footprint
from carbon_midl.study.devices import slots
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import Study, open_crops, read_study

ROOT = Path(__file__).parents[1]
TEXT = """
[study]
name = "tiny"
title = "Tiny runs"
[crops.phantom]
patients = 24
size = 32
[axes]
filters = [2]
seed = {seeds}
[options]
depth = 2
epochs = 2
[footprint]
carbontracker = false
"""


def main() -> None:
    """Make the runs one after the other, then two at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = tiny(Path(folder) / "study", options.runs)
        alone_s = made(study, 1)
        overhead_s = (alone_s - metered_s(study)) / options.runs
        shutil.rmtree(study.directory)
        together_s = made(study, 2)
    findings = [
        Finding(
            "a run's overhead, kernel start included",
            "its training and test",
            f"{overhead_s:.1f} s, mean of a study's {options.runs} runs",
        ),
        Finding(
            f"{options.runs} runs, two at a time",
            "one at a time",
            f"{alone_s / together_s:.2f} times as fast: {together_s:.0f} and {alone_s:.0f} s",
        ),
    ]
    for finding in findings:
        print(*finding, sep=" | ")
    if options.record:
        record(Path(__file__).name, findings, "2 cores, a thread a run")


def tiny(root: Path, runs: int) -> Study:
    """The study, its phantom rendered."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    (root / "studies").mkdir()
    path = root / "studies" / "tiny.toml"
    path.write_text(TEXT.format(seeds=list(range(runs))))
    study = read_study(path)
    open_crops(study)
    return study


def made(study: Study, jobs: int) -> float:
    """Make the study; returns how long that took, s."""
    start = perf_counter()
    run_study(study, slots(jobs=jobs, share_meter=True))
    return perf_counter() - start


def metered_s(study: Study) -> float:
    """Training and test of its runs, s."""
    windows = [window for run in study.runs for window in read_footprint(study.directory / run.name).windows]
    return sum(window.duration_s for window in windows if window.parent is None)


if __name__ == "__main__":
    main()
