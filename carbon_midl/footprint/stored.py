"""Footprint records in files, and the same record under another grid."""

from pathlib import Path

from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint.grid import GIVEN, CarbonIntensity
from carbon_midl.footprint.record import FootprintRecord

RESULT = "result.json"
FOOTPRINT = "footprint.json"


def read_footprint(path: Path | str) -> FootprintRecord:
    """The stored record of a run.

    Args:
        path: the run's directory, with ``result.json`` or, unfinished, only ``footprint.json``; or one of these files.

    Raises:
        InputError: there is no such record, or it is damaged.
    """
    file = footprint_file(Path(path))
    content = read_json(file)
    if isinstance(content, dict) and "footprint" in content:
        content = content["footprint"]
    try:
        return FootprintRecord.from_dict(content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def footprint_file(path: Path) -> Path:
    """The file that holds the record of a run.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return path
    for name in (RESULT, FOOTPRINT):
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: no {RESULT} or {FOOTPRINT} there; expected the directory of a run, such as runs/demo/filters-4-seed-0"
    )


def recost_run(
    path: Path | str,
    intensity: CarbonIntensity | str | float | None = None,
    pue: float | None = None,
    pue_source: str = GIVEN,
) -> FootprintRecord:
    """The footprint of a stored run under another grid or another PUE: ``recost_run("runs/demo/…", "FR", 1.2)``.

    Nothing is written. See `FootprintRecord.recost`.

    Raises:
        InputError: there is no such record, or an intensity or PUE that cannot be.
    """
    return read_footprint(path).recost(intensity, pue, pue_source)
