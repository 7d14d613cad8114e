"""What a study's results come from, gathered run by run, so that no more than one run's record is in memory."""

from typing import Any

from carbon_midl.footprint import FootprintRecord


class Provenance:
    """What the manifest says about crops, options, split, dates, machines and sensors."""

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}
        self._started, self._finished = "", ""
        self._environments: list[Any] = []
        self._notes: list[str] = []
        self._sensors: set[str] = set()
        self._pue_sources: set[str] = set()

    def add(self, result: dict[str, Any], record: FootprintRecord) -> None:
        """Take in a run.

        Args:
            result: of the run.
            record: its footprint, under the study's grid and PUE.
        """
        self._first = self._first or result
        started = min(window.started for window in record.windows)
        self._started = min(self._started or started, started)
        self._finished = max(self._finished, result["finished"])
        # Runs may come from several machines; each kind is listed once.
        if result["environment"] not in self._environments:
            self._environments.append(result["environment"])
        self._notes += [note for note in record.notes if note not in self._notes]
        self._sensors.add(record.window("training").method)
        self._pue_sources.add(record.pue_source)

    def to_dict(self) -> dict[str, Any]:
        """The manifest's part."""
        first = self._first
        return {
            "crops": {**first["crops"], "kind": first["crops"]["source"]["kind"]},
            "options": {key: value for key, value in first["options"].items() if key not in ("filters", "seed")},
            "split": {part: len(patients) for part, patients in first["split"].items()},
            "split_patients": first["split"],
            "slices": first["slices"],
            "dates": {"first": self._started, "last": self._finished},
            "environments": self._environments,
            **first["environment"],
            "sensors": sorted(self._sensors),
            "pue_sources": sorted(self._pue_sources),
            "footprint_notes": self._notes,
        }
