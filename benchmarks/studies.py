"""How long a study of many runs takes to look at and to collect.

    python -m benchmarks.studies [--runs 1000] [--epochs 8] [--record]

One tiny run is trained; its files, under other options, make a study of many finished runs. Timed are reading and
expanding the study file with its status, as a new process does it, and collecting the tables, with the memory at most.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.record import Finding, record
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.notebook import open_experiment
from carbon_midl.study.run import fingerprint
from carbon_midl.study.spec import Study, open_crops, read_study

TEXT = """
[study]
name = "many"
title = "Many runs"
[crops.phantom]
patients = 40
size = 32
[axes]
filters = [2]
seed = {seeds}
learning_rate = {rates}
[options]
depth = 2
epochs = {epochs}
[footprint]
carbontracker = false
"""
RATES = 100
_TIMES = 5
_CALL = "import sys; from carbon_midl.cli import main; sys.exit(main())"


def main() -> None:
    """Make the study and time what is done with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000, help="in hundreds (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of each (default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder), options.runs, options.epochs)
        status = ["study", "status", str(study.path)]
        findings = [
            timed("status", status, f"{options.runs:,} finished runs", times=_TIMES),
            timed(
                "collect", ["study", "collect", str(study.path)], f"{options.runs:,} runs of {options.epochs} epochs"
            ),
        ]
        rows = sum(1 for _ in (study.results / "runs.csv").open()) - 1
        assert rows == options.runs, rows
    if options.record:
        record(Path(__file__).name, findings, "2 cores")


def make_study(root: Path, runs: int, epochs: int) -> Study:
    """A study whose runs are copies of one."""
    (root / "studies").mkdir()
    shutil.copytree(Path(__file__).parents[1] / "notebooks", root / "notebooks")
    path = root / "studies" / "many.toml"
    rates = [1e-3 + 1e-5 * number for number in range(RATES)]
    path.write_text(TEXT.format(seeds=list(range(runs // RATES)), rates=rates, epochs=epochs))
    study = read_study(path)
    archive = open_crops(study)
    template = trained(study, archive, root / "template")
    result = json.loads((template / "result.json").read_text())
    for run in study.runs:
        directory = study.directory / run.name
        directory.mkdir(parents=True)
        for name in ("epochs.csv", "slices.csv.gz", "footprint.json"):
            shutil.copy(template / name, directory)
        own = result | {
            "options": run.options.model_dump(),
            "fingerprint": fingerprint(run.options, archive),
        }
        (directory / "result.json").write_text(json.dumps(own, indent=2))
    return study


def trained(study: Study, archive: CropArchive, directory: Path) -> Path:
    """Train the first run of the study."""
    experiment = open_experiment(
        crops=str(archive.path), output=str(directory), pue=1.58, intensity="world", carbontracker=False,
        **study.runs[0].options.model_dump(),
    )  # fmt: skip
    experiment.train()
    experiment.test()
    experiment.write_result()
    return directory


def timed(what: str, arguments: list[str], of: str, times: int = 1) -> Finding:
    """Run the command line in a process of its own, and say how long that took and how much memory it had at most.

    Args:
        what: subcommand of "study".
        arguments: of the command line.
        of: what it is done with.
        times: how often; the median is told.
    """
    durations_s = []
    for _ in range(times):
        start = perf_counter()
        subprocess.run([sys.executable, "-c", _CALL, *arguments], check=True, stdout=subprocess.DEVNULL)
        durations_s.append(perf_counter() - start)
    duration_s = median(durations_s)
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    found = f"{duration_s:.1f} s{f', median of {times}' if times > 1 else ''}, {peak_gb:.2f} GB"
    print(f"{what}: {of}: {found}")
    return Finding(f"`study {what}`: {of}", "–", found)


if __name__ == "__main__":
    main()
