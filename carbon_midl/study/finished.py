"""What finished runs say, remembered in one file, so that the status of thousands of runs takes no thousand files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.footprint import FootprintRecord
from carbon_midl.run import read_result
from carbon_midl.run_files import RESULT

_VERSION = 2
REMEMBERED = ".finished.jsonl"


class FinishedRuns:
    """Reads ``result.json`` of runs, and reads it again only where its size or time has changed.

    What is remembered lies in ``.finished.jsonl`` in the study's directory, a line a run, of which the last counts.
    Lines are only ever added, so that runners beside each other need not wait for each other. Without the file
    everything is read again.

    Args:
        directory: of the study's runs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._rows = _remembered(directory / REMEMBERED)
        self._read: dict[str, Any] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        """Fingerprint, epochs, test Dice, energy, carbon and duration of a finished run; None where there is none."""
        known = self._rows.get(name)
        stamp = _stamp(f"{self._directory}/{name}/{RESULT}")
        if known is not None and known["file"] == stamp:
            return known
        row = _row(Path(self._directory, name))
        if row is not None:
            self._rows[name] = self._read[name] = row
        return row

    def remember(self) -> None:
        """Write down what was read and not known."""
        _add(Path(self._directory), self._read.items())


def remember_finished(directory: Path) -> None:
    """Write down a run that has just been finished, for whoever looks next.

    Args:
        directory: of the run.
    """
    row = _row(directory)
    if row is not None:
        _add(directory.parent, [(directory.name, row)])


def _add(study: Path, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    lines = [json.dumps({"version": _VERSION, "run": name, **row}, separators=(",", ":")) for name, row in rows]
    if lines:
        try:
            with (study / REMEMBERED).open("a", encoding="utf-8") as file:
                # Begun with a line's end: of a writer that was killed half a line may be there.
                file.write("\n" + "\n".join(lines))
        except OSError:
            return  # It is read again next time.


def _remembered(path: Path) -> dict[str, Any]:
    rows = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
            if row["version"] == _VERSION:
                rows[row["run"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return rows


def _row(directory: Path) -> dict[str, Any] | None:
    stamp = _stamp(f"{directory}/{RESULT}")
    if stamp is None:
        return None
    try:
        result = read_result(directory)
        record = FootprintRecord.from_dict(result["footprint"])
        return {
            "file": stamp,
            "fingerprint": result["fingerprint"],
            "epochs": result["training"]["epochs_trained"],
            "dice": result["test"]["dice"],
            "energy_kwh": record.energy_kwh,
            "carbon_g": record.carbon_g(record.energy_kwh),
            "duration_s": record.window("training").duration_s,
        }
    except (InputError, KeyError, TypeError):
        return None


def _stamp(path: str) -> list[int] | None:
    """Size and time of a file; None where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116 (thousands of Path objects would take longer than looking)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]
