"""Kill a study again and again, and see that it ends as if nobody had.

    python -m tests.study.faults [--kills 100] [--seed 0]

A tiny study is started, and its kernel, its papermill, its runner or the server that papermill is forked from is killed
(SIGKILL) at a random moment, or at the moment at which a file is being written; then it is started again. After some
kills it is let go on to its end. Then:

- every run is done, its tables and weights equal those of a study that was never disturbed;
- no process is left;
- no energy is lost: what was ever written down as used is in the final records and tables.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from safetensors.numpy import load_file

from carbon_midl.errors import InputError
from carbon_midl.footprint import read_footprint
from carbon_midl.study.spec import Study, read_study
from carbon_midl.study.states import last_line

ROOT = Path(__file__).parents[2]
RUN = "import sys; from carbon_midl.cli import main; sys.exit(main())"
TEXT = """
[study]
name = "tiny"
title = "Tiny study"
[crops]
archive = "data/discs"
[axes]
filters = [2, 3]
seed = [0]
[options]
depth = 2
epochs = 3
batch_size = 8
[footprint]
carbontracker = false
"""
TARGETS = ("kernel", "papermill", "server", "runner")
NAMES = {"midl-kernel": "kernel", "midl-papermill": "papermill", "midl-server": "server"}
"""Of the processes that are forked, and of the one that they are forked from."""
PER_STUDY = 6
"""Kills before a study is let go on to its end."""
_LONGEST_S = 300


@dataclass
class Harness:
    """One tiny study that is killed.

    Attributes:
        root: of its working copy.
        random: chooses targets and moments.
        typical_s: how long a start takes until its end, about.
        kills: that hit something, by target and moment.
        starts: of the runner.
        seen_kwh: the most that was ever written down for a run.
    """

    root: Path
    random: random.Random
    typical_s: float
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    seen_kwh: dict[str, float] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """Its study."""
        return read_study(self.root / "studies" / "tiny.toml")

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the runner."""
        self.starts += 1
        return subprocess.Popen(
            [sys.executable, "-c", RUN, "study", "run", "studies/tiny.toml"],
            cwd=self.root,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def disturb(self, runner: "subprocess.Popen[bytes]") -> None:
        """Kill something at some moment; nothing, where the study ends before."""
        target, writing = self.random.choice(TARGETS), self.random.random() < 0.4
        # The first is early, so that it comes before the end however fast the machine has become.
        share = 0.6 if self.kills else 0.25
        until = time.monotonic() + self.random.uniform(0, share * self.typical_s)
        while time.monotonic() < until and runner.poll() is None:
            time.sleep(0.01)
        while writing and runner.poll() is None and time.monotonic() < until + self.typical_s:
            if self._being_written():
                break
            time.sleep(0.0005)
        self._look()
        for process in self._processes(target, runner.pid):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
                self.kills[f"{target}{', while writing' if writing else ''}"] += 1
                break
        if target == "runner":
            runner.wait()

    def finish(self) -> None:
        """Start until the study is complete."""
        for _ in range(5):
            if self.start().wait(timeout=_LONGEST_S) == 0:
                return
            self._look()
        said = {run.name: last_line(self.study.directory / run.name) for run in self.study.runs}
        raise AssertionError(f"{self.root}: not complete after five undisturbed starts: {said}")

    def check(self, reference: Path) -> None:
        """Compare with an undisturbed working copy, and look for what should not be there.

        Raises:
            AssertionError: something is left, lost or different.
        """
        study = self.study
        left = [(target, list(self._processes(target, 0))) for target in TARGETS]
        assert not any(processes for _, processes in left), left
        for run in study.runs:
            own, other = study.directory / run.name, reference / "runs" / "tiny" / run.name
            names = {path.name for path in own.iterdir()}
            assert "notebook.ipynb" in names
            assert not [name for name in names if name.startswith((".", "failed-"))], names
            weights = [load_file(path / "weights.safetensors") for path in (own, other)]
            assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[1])
            for table, timed in (("slices.csv.gz", []), ("epochs.csv", ["duration_s"])):
                made, expected = (pd.read_csv(path / table).drop(columns=timed) for path in (own, other))
                pd.testing.assert_frame_equal(made, expected, check_exact=True)
            assert set(read_footprint(own).finished_epochs) == {1, 2, 3}
            used_kwh, seen_kwh = self._used_kwh(run.name), self.seen_kwh.get(run.name, 0.0)
            assert used_kwh >= seen_kwh * (1 - 1e-9), f"{run.name}: {used_kwh} kWh in the end, {seen_kwh} before"
        runs = pd.read_csv(study.results / "runs.csv")
        assert list(runs["run"]) == [run.name for run in study.runs]
        told = json.loads((study.results / "manifest.json").read_text())["abandoned"]["energy_kwh"]
        assert np.isclose(
            runs["energy_whole_run_kwh"].sum() + told, sum(self._used_kwh(run.name) for run in study.runs)
        )

    def _look(self) -> None:
        """Remember what each run is said to have used."""
        for run in self.study.runs:
            self.seen_kwh[run.name] = max(self.seen_kwh.get(run.name, 0.0), self._used_kwh(run.name))

    def _used_kwh(self, name: str) -> float:
        """Of all attempts, also of those that were killed before their first checkpoint and so moved aside."""
        total = 0.0
        for directory in (self.study.directory / name, *self.study.directory.glob(f"{name}.superseded-*")):
            with suppress(InputError):
                total += read_footprint(directory).energy_kwh
        return total

    def _being_written(self) -> bool:
        with suppress(OSError):
            for directory in (self.root / "runs" / "tiny").glob("filters-*"):
                hidden = [path.name for path in directory.iterdir() if path.name.startswith(".")]
                if any(not name.startswith(".partial") for name in hidden):
                    return True
        return False

    def _processes(self, target: str, runner: int) -> Iterator[psutil.Process]:
        for process in psutil.process_iter(["pid", "name", "cmdline", "cwd"]):
            told = process.info
            if target == "runner":
                if told["pid"] == runner:
                    yield process
            elif told["cwd"] == str(self.root) and target in (NAMES.get(told["name"]), _started_as(told["cmdline"])):
                yield process


def _started_as(command: list[str] | None) -> str | None:
    """What a process is that was started anew, as happens after the fork server was killed."""
    for word, target in (("ipykernel_launcher", "kernel"), ("carbon_midl.study.papermill_run", "papermill")):
        if word in (command or []):
            return target
    return None


def working_copy(root: Path, discs: Path) -> Path:
    """Make a working copy with the study in it."""
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(discs, root / "data" / "discs")
    (root / "studies").mkdir()
    (root / "studies" / "tiny.toml").write_text(TEXT)
    return root


def undisturbed(root: Path, discs: Path) -> tuple[Path, float]:
    """Make the study without disturbing it; returns its working copy and how long that took, s."""
    harness = Harness(working_copy(root, discs), random.Random(0), 0.0)
    began = time.monotonic()
    harness.finish()
    return harness.root, time.monotonic() - began


def torment(root: Path, discs: Path, reference: Path, typical_s: float, seed: int, kills: int) -> Counter[str]:
    """Kill one study so many times, let it end, and check it; returns what was killed."""
    harness = Harness(working_copy(root, discs), random.Random(seed), typical_s)
    runner = harness.start()
    while sum(harness.kills.values()) < kills:
        if runner.poll() is not None:
            if runner.returncode == 0:
                break  # it was faster
            runner = harness.start()
        harness.disturb(runner)
    runner.wait(timeout=_LONGEST_S)
    harness.finish()
    harness.check(reference)
    return harness.kills


def main() -> None:
    """Kill, and say how often what was killed."""
    from tests.conftest import write_discs

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of targets and moments (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        discs = write_discs(Path(folder) / "discs").path
        reference, typical_s = undisturbed(Path(folder) / "reference", discs)
        print(f"undisturbed: {typical_s:.0f} s", flush=True)
        total: Counter[str] = Counter()
        studies = 0
        while sum(total.values()) < options.kills:
            studies += 1
            root = Path(folder) / f"study-{studies}"
            total += torment(root, discs, reference, typical_s, options.seed + studies, PER_STUDY)
            print(f"{studies} studies, {sum(total.values())} kills: {dict(total)}", flush=True)
            shutil.rmtree(root)
    print(f"{sum(total.values())} kills in {studies} studies; each ended complete and equal to the undisturbed one.")


if __name__ == "__main__":
    main()
