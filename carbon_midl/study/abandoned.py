"""Attempts that gave no result of a study; what they used counts all the same."""

import os
from collections.abc import Iterator
from pathlib import Path

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint import FootprintRecord, carbon_intensity
from carbon_midl.run_files import FOOTPRINT, RESULT
from carbon_midl.study.spec import Study

SUPERSEDED = ".superseded-"
"""In the name of a directory that was moved aside."""


def costed(study: Study, record: FootprintRecord) -> FootprintRecord:
    """The record under the study's own PUE and grid, which may have changed since the run was made."""
    intensity = carbon_intensity(study.footprint.intensity)
    if (intensity, study.footprint.pue) == (record.intensity, record.pue):
        return record
    return record.recost(intensity, study.footprint.pue)


def abandoned_attempts(study: Study) -> list[tuple[str, FootprintRecord]]:
    """Directory and footprint of attempts that gave no result of this study: interrupted, failed, or replaced since."""
    records = []
    for path in _abandoned(study):
        try:
            records.append((path.parent.name, costed(study, FootprintRecord.from_dict(read_json(path)))))
        except InputError:
            continue  # written by another version, or never
    return records


def _abandoned(study: Study) -> Iterator[Path]:
    planned = {run.name for run in study.runs}
    try:
        entries = sorted(entry.name for entry in os.scandir(study.directory) if entry.is_dir())
    except FileNotFoundError:
        return
    for name in entries:
        run, superseded, _ = name.partition(SUPERSEDED)
        # Thousands of Path objects would take longer than looking.
        if run in planned and (superseded or not os.path.exists(f"{study.directory}/{name}/{RESULT}")):  # noqa: PTH110
            yield study.directory / name / FOOTPRINT
