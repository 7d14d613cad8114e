"""What a person sees while a study runs."""

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from tqdm import tqdm

from carbon_midl.footprint import FootprintRecord
from carbon_midl.footprint.record import Window
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.forecast import Cost, Forecast
from carbon_midl.study.spec import PlannedRun, Study
from carbon_midl.study.states import last_line, so_far
from carbon_midl.units import duration as duration_text
from carbon_midl.units import energy as energy_text


@dataclass
class _Running:
    run: PlannedRun
    device: str
    began: float = field(default_factory=monotonic)
    epochs: int = 0
    dice: float | None = None
    cost: Cost = field(default_factory=lambda: Cost(0.0, 0.0))


class Display:
    """One line a run on standard error, and on a terminal a table of the runs that are being made.

    Threads that make runs side by side may call it.

    Args:
        out: where to write; standard error by default.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._console = Console(file=self._out, highlight=False, soft_wrap=True)
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._running: dict[str, _Running] = {}
        self._number = 0
        self._spent_kwh = 0.0

    def wrap(self, items: Iterable[Any]) -> Iterable[Any]:
        """Show a progress bar over the patients of a phantom that is being rendered."""
        return tqdm(items, desc="rendering the phantom", unit="patient", file=self._out, disable=not self._terminal)

    def start(self, study: Study, archive: CropArchive, runs: int, places: int) -> None:
        """Tell what is about to be done: how many runs, and how many of them at the same time."""
        self._total, self._places = runs, places
        self._forecast = Forecast(study.runs, archive.size)
        kind = "phantom" if archive.is_phantom else archive.source["kind"]
        self._line(
            f"{study.title}: {runs} run{'' if runs == 1 else 's'} on {len(archive):,} {kind} crops "
            f"of {len(archive.patients)} patients"
        )
        if self._terminal:
            self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=2, transient=True)
            self._live.start()

    def note(self, text: str) -> None:
        """Tell something about the study as a whole."""
        self._line(text)

    def end(self) -> None:
        """Take the table away; what was printed stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def skipped(self, run: PlannedRun, result: dict[str, Any]) -> None:
        """Tell that a run was done before."""
        with self._lock:
            self._count(run, FootprintRecord.from_dict(result["footprint"]))
            self._line(f"{self._place()} {run.name:<24} done before")

    def began(self, run: PlannedRun, device: str) -> None:
        """Tell that a run starts."""
        with self._lock:
            self._running[run.name] = _Running(run, device)

    def saw(self, run: PlannedRun, directory: Path) -> None:
        """Look how far a run has come."""
        running = self._running.get(run.name)
        if running is None or self._live is None:
            return
        figures = so_far(directory)
        with self._lock:
            running.epochs, running.dice = figures.get("epochs", 0), figures.get("dice")
            running.cost = Cost(figures.get("energy_kwh", 0.0), figures.get("duration_s", 0.0))
            if running.epochs:
                self._forecast.saw(run.name, running.cost, running.epochs / run.options.epochs)

    def finished(self, run: PlannedRun, result: dict[str, Any]) -> None:
        """Tell what came of a run."""
        record = FootprintRecord.from_dict(result["footprint"])
        training = record.window("training")
        with self._lock:
            running = self._running.pop(run.name)
            self._count(run, record)
            self._line(
                f"{self._place()} {run.name:<24} test Dice {result['test']['dice']:.3f}   "
                f"{training.energy_kwh * 1000:.3g} Wh{how_known(training)}   {record.carbon_g():.3g} gCO2eq   "
                f"{monotonic() - running.began:.0f} s"
            )

    def failed(self, run: PlannedRun, notebook: Path, reason: str = "") -> None:
        """Tell that a run failed, why, and where to look."""
        with self._lock:
            self._running.pop(run.name, None)
            self._number += 1
            self._line(f"{self._place()} {run.name:<24} failed: {reason or last_line(notebook.parent)}")
            self._line(f"        see {notebook if notebook.exists() else notebook.parent / 'papermill.log'}")

    def collected(self, results: Path) -> None:
        """Tell where the tables are."""
        self._line(f"Tables: {results}")

    def _count(self, run: PlannedRun, record: FootprintRecord) -> None:
        self._number += 1
        self._spent_kwh += record.energy_kwh
        self._forecast.saw(run.name, Cost(record.energy_kwh, record.window("training").duration_s))

    def _place(self) -> str:
        width = len(str(self._total))
        return f"[{self._number:>{width}}/{self._total}]"

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _table(self) -> Table:
        with self._lock:
            table = Table(box=None, pad_edge=False, caption=self._summary(), caption_justify="left")
            for name, justify in (
                ("run", "left"),
                ("on", "left"),
                ("epoch", "right"),
                ("Dice", "right"),
                ("used", "right"),
            ):
                table.add_column(name, justify=justify, style="bold" if name == "run" else None)  # type: ignore[arg-type]
            table.add_column("time", justify="right")
            for running in self._running.values():
                table.add_row(
                    running.run.name,
                    running.device or "–",
                    f"{running.epochs}/{running.run.options.epochs}",
                    "–" if running.dice is None else f"{running.dice:.3f}",
                    energy_text(running.cost.energy_kwh) if running.cost.energy_kwh else "–",
                    duration_text(monotonic() - running.began),
                )
        return table

    def _summary(self) -> str:
        spent_kwh = self._spent_kwh + sum(running.cost.energy_kwh for running in self._running.values())
        text = f"{self._number} of {self._total} runs, {energy_text(spent_kwh)} so far"
        left = self._forecast.left()
        if left is not None:
            text += f", about {energy_text(spent_kwh + left.energy_kwh)} in all"
            text += f"; {duration_text(left.duration_s / self._places)} left"
        return text


def how_known(window: Window) -> str:
    """What to say behind an energy: nothing where all of it was measured or sampled."""
    estimated = ["estimated" in part.method for part in window.components]
    if not any(estimated):
        return ""
    return " (estimated)" if all(estimated) else " (partly estimated)"
