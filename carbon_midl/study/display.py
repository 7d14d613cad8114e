"""What a person sees while a study runs."""

import sys
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from tqdm import tqdm

from carbon_midl.footprint import FootprintRecord
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.spec import PlannedRun, Study


class Display:
    """One line a run on standard error, and on a terminal the epoch of the run that is being made.

    Args:
        out: where to write; standard error by default.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._number = 0

    def wrap(self, items: Iterable[Any]) -> Iterable[Any]:
        """Show a progress bar over the patients of a phantom that is being rendered."""
        return tqdm(items, desc="rendering the phantom", unit="patient", file=self._out, disable=not self._live)

    def start(self, study: Study, archive: CropArchive) -> None:
        """Tell what is about to be done."""
        self._total = len(study.runs)
        kind = "phantom" if archive.is_phantom else archive.source["kind"]
        self._line(
            f"{study.title}: {self._total} runs on {len(archive):,} {kind} crops of {len(archive.patients)} patients"
        )

    def skipped(self, run: PlannedRun) -> None:
        """Tell that a run was done before."""
        self._number += 1
        self._line(f"{self._place()} {run.name:<24} done before")

    def began(self, run: PlannedRun) -> None:
        """Tell that a run starts."""
        self._number += 1
        self._run = run
        self._began = monotonic()
        self._epochs = -1
        self._live_line("starting")

    def saw(self, directory: Path) -> None:
        """Look how far the run has come."""
        try:
            lines = (directory / "epochs.csv").read_text().splitlines()
        except OSError:
            return
        epochs = len(lines) - 1
        if epochs > self._epochs:
            self._epochs = epochs
            row = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
            self._live_line(f"epoch {epochs}/{self._run.options.epochs}, validation Dice {float(row['val_dice']):.3f}")

    def finished(self, run: PlannedRun, result: dict[str, Any]) -> None:
        """Tell what came of a run."""
        record = FootprintRecord.from_dict(result["footprint"])
        training = record.window("training")
        known = " (estimated)" if "estimated" in training.method else ""
        self._line(
            f"{self._place()} {run.name:<24} test Dice {result['test']['dice']:.3f}   "
            f"{training.energy_kwh * 1000:.3g} Wh{known}   {record.carbon_g():.3g} gCO2eq   "
            f"{monotonic() - self._began:.0f} s"
        )

    def failed(self, run: PlannedRun, notebook: Path) -> None:
        """Tell that a run failed, and where to look."""
        log = notebook.parent / "papermill.log"
        reason = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        self._line(f"{self._place()} {run.name:<24} failed: {reason[0] if reason else 'no message'}")
        self._line(f"        see {notebook if notebook.exists() else log}")

    def collected(self, study: Study, results: Path) -> None:
        """Tell where the tables are."""
        self._line(f"Tables: {results}")

    def _place(self) -> str:
        width = len(str(self._total))
        return f"[{self._number:>{width}}/{self._total}]"

    def _line(self, text: str) -> None:
        clear = "\r\x1b[2K" if self._live else ""
        print(f"{clear}{text}", file=self._out, flush=True)

    def _live_line(self, text: str) -> None:
        if self._live:
            print(f"\r\x1b[2K{self._place()} {self._run.name:<24} {text}", end="", file=self._out, flush=True)
