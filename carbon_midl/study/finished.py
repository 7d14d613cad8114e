"""What finished runs say, remembered in one file, so that the status of thousands of runs takes no thousand files."""

import os
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.files import read_json, write_compact_json
from carbon_midl.footprint import FootprintRecord
from carbon_midl.run import read_result
from carbon_midl.run_files import RESULT
from carbon_midl.study.spec import Study

_VERSION = 1


class FinishedRuns:
    """Reads ``result.json`` of runs, and reads it again only where its size or time has changed.

    What is remembered lies in ``.finished.json`` in the study's directory; without it everything is read again.
    """

    def __init__(self, study: Study) -> None:
        self._directory = str(study.directory)
        self._file = study.directory / ".finished.json"
        self._rows = self._remembered()
        self._changed = False

    def read(self, name: str) -> dict[str, Any] | None:
        """Fingerprint, epochs, test Dice, energy, carbon and duration of a finished run; None where there is none."""
        path = f"{self._directory}/{name}/{RESULT}"
        try:
            stat = os.stat(path)  # noqa: PTH116 (thousands of Path objects would take longer than looking)
        except OSError:
            return None
        known = self._rows.get(name)
        if known is not None and known["file"] == [stat.st_size, stat.st_mtime_ns]:
            return known
        try:
            row = _summary(read_result(Path(path).parent))
        except (InputError, KeyError, TypeError):
            return None
        self._rows[name] = row | {"file": [stat.st_size, stat.st_mtime_ns]}
        self._changed = True
        return self._rows[name]

    def remember(self) -> None:
        """Write what was read; where that cannot be, it is read again next time."""
        if self._changed:
            try:
                write_compact_json(self._file, {"version": _VERSION, "runs": self._rows})
            except OSError:
                return

    def _remembered(self) -> dict[str, Any]:
        try:
            content = read_json(self._file)
            return dict(content["runs"]) if content["version"] == _VERSION else {}
        except (InputError, KeyError, TypeError, OSError):
            return {}


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    record = FootprintRecord.from_dict(result["footprint"])
    return {
        "fingerprint": result["fingerprint"],
        "epochs": result["training"]["epochs_trained"],
        "dice": result["test"]["dice"],
        "energy_kwh": record.energy_kwh,
        "carbon_g": record.carbon_g(record.energy_kwh),
        "duration_s": record.window("training").duration_s,
    }
