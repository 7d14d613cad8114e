"""The tables that ship with carbontracker, read without importing it (which takes seconds and opens log files)."""

import csv
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def carbontracker_version() -> str | None:
    """The installed version of carbontracker, or None where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version("carbontracker")
    except metadata.PackageNotFoundError:
        return None


@cache
def bundled_table(file_name: str) -> tuple[dict[str, str], ...]:
    """Rows of `carbontracker/data/<file_name>`, one dict a row.

    Raises:
        FileNotFoundError: carbontracker is not installed, or this version of it ships no such file.
    """
    spec = find_spec("carbontracker")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("carbontracker is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / file_name
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
