"""One study whose runs were made in parts, on several machines: their tables as one, each row with the part it is from.

Only what may differ between machines differs between parts: the hardware, the versions around the code that decides the
numbers, the dates, the sensors. Each is recorded by part. The order in which parts are named changes nothing.
"""

import json
import math
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from carbon_midl.errors import InputError
from carbon_midl.files import compressed
from carbon_midl.sharing.alike import check_alike
from carbon_midl.sharing.stored import MANIFEST, PART, RESULTS_FILES, RUNS, SLICES, TABLES, StoredResults, sha256
from carbon_midl.sharing.verify import checked

_OF_THE_FIRST = ("title", "options", "hardware", "versions", "commit", "split", "split_patients", "slices")
_BY_PART = ("runs_left_out", "abandoned", "dates", "environments", "sensors", "pue_sources", "footprint_notes")
_COMPUTED = ("runs_done", "widths", "seeds", "sha256", "parts", *_BY_PART)


def merge(parts: Sequence[StoredResults]) -> StoredResults:
    """Join the parts of a study.

    Args:
        parts: two or more; one that was merged itself keeps its own parts.

    Returns:
        The merged results, checked against themselves. Their ``runs.csv`` has a column ``part``, and their manifest has
        ``parts``: machines, dates, counts and the hash of each file, by part.

    Raises:
        InputError: fewer than two parts, one that disagrees with itself, parts of different studies, or a run that is
            in two parts.
    """
    if len(parts) < 2:
        raise InputError("merge: one part; expected two or more of the same study. Name the results of each machine.")
    for part in parts:
        checked(part)
    check_alike(parts)
    _check_each_run_once(parts)
    ordered = sorted(parts, key=lambda part: min(map(_natural, part.names)))
    tables = {file: _joined([_marked(part, file) for part in ordered]) for file in TABLES}
    files = {file: table.to_csv(index=False).encode() for file, table in tables.items()}
    files[SLICES] = compressed(files[SLICES])
    manifest = _manifest(ordered, tables[RUNS]) | {"sha256": {file: sha256(files[file]) for file in TABLES}}
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    results = StoredResults.of_files("the merged results", files)
    checked(results)
    return results


def part_id(part: StoredResults) -> str:
    """A name for a part that follows from its content alone; the word in front keeps it from being read as a number."""
    return f"part-{part.digest[:12]}"


def without_part(table: pd.DataFrame) -> pd.DataFrame:
    """``runs.csv`` as its machine wrote it."""
    return table.drop(columns=PART, errors="ignore")


def _marked(part: StoredResults, file: str) -> pd.DataFrame:
    table = part.tables[file]
    return table if file != RUNS or PART in table.columns else table.assign(**{PART: part_id(part)})


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows, by run; within a run they stay as they are."""
    return pd.concat(tables).sort_values("run", key=lambda runs: runs.map(_natural), kind="stable")


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """A key that sorts ``filters-4`` before ``filters-16``."""
    pieces = re.findall(r"\d+|\D+", name)
    return tuple((piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in pieces)


def _check_each_run_once(parts: Sequence[StoredResults]) -> None:
    for one, other in combinations(parts, 2):
        both = sorted(set(one.names) & set(other.names), key=_natural)
        if not both:
            continue
        changed = sorted(_changed(one, other, both), key=_natural)
        if changed:
            raise InputError(
                f"{one.where} and {other.where}: run {changed[0]} is in both, with other numbers; "
                f"{len(changed)} such in all. A study has each run once. Rename the run's directory on one machine to "
                f"{changed[0]}.superseded-twice, so that its energy counts as an abandoned attempt, and collect there "
                "again: carbon-midl study collect studies/NAME.toml"
            )
        raise InputError(
            f"{one.where} and {other.where}: run {both[0]} is in both, the same; {len(both)} such in all. Counting it "
            "twice would count its energy twice. Leave out the part that the other contains, or collect one of them "
            "without these runs."
        )


def _changed(one: StoredResults, other: StoredResults, both: list[str]) -> set[str]:
    """Those runs of which one part has a row that the other does not have."""
    changed: set[str] = set()
    for file in TABLES:
        tables = [part.tables[file] for part in (one, other)]
        rows = pd.concat([without_part(table) for table in tables] if file == RUNS else tables)
        rows = rows[rows["run"].isin(both)]
        changed |= set(rows.loc[~rows.duplicated(keep=False), "run"])
    return changed


def _manifest(parts: list[StoredResults], runs: pd.DataFrame) -> dict[str, Any]:
    """From the manifest of each part, the one with the first run in front."""
    manifests = [part.manifest for part in parts]
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for manifest in manifests for key in manifest):
        given = [manifest[key] for manifest in manifests if key in manifest]
        if key in _COMPUTED:
            merged[key] = None  # below; here for its place
        elif key in _OF_THE_FIRST or all(value == given[0] for value in given):
            merged[key] = given[0]
        else:
            raise InputError(
                f"{MANIFEST}: {key!r} is not the same in {' and '.join(part.where for part in parts)}, and this "
                "carbon-midl knows no way to join it. Collect all parts with the same version."
            )
    for key in ("widths", "seeds"):
        merged[key] = _united(manifests, key)
    entries = {str(entry["part"]): entry for part in parts for entry in part.manifest.get("parts") or [_entry(part)]}
    return merged | _joined_entries([entries[name] for name in runs[PART].unique()], set(runs["run"]))


def _entry(part: StoredResults) -> dict[str, Any]:
    """What the merged manifest keeps of a part."""
    return {
        "part": part_id(part),
        "runs": len(part.runs),
        **{key: part.manifest[key] for key in _BY_PART},
        "files": {name: sha256(part.files[name]) for name in RESULTS_FILES},
    }


def _joined_entries(entries: list[dict[str, Any]], done: set[str]) -> dict[str, Any]:
    """Sums and unions over the parts as they were made, so that merging in several steps gives the same."""
    abandoned = [entry["abandoned"] for entry in entries]
    return {
        "runs_done": sum(entry["runs"] for entry in entries),
        "runs_left_out": sorted(set(_united(entries, "runs_left_out")) - done),
        "abandoned": {
            "attempts": sum(one["attempts"] for one in abandoned),
            "energy_kwh": math.fsum(one["energy_kwh"] for one in abandoned),
            "carbon_g": math.fsum(one["carbon_g"] for one in abandoned),
        },
        "dates": {
            "first": min(entry["dates"]["first"] for entry in entries),
            "last": max(entry["dates"]["last"] for entry in entries),
        },
        "environments": _distinct([one for entry in entries for one in entry["environments"]]),
        "sensors": _united(entries, "sensors"),
        "pue_sources": _united(entries, "pue_sources"),
        "footprint_notes": _distinct([note for entry in entries for note in entry["footprint_notes"]]),
        "parts": entries,
    }


def _united(items: Sequence[dict[str, Any]], key: str) -> list[Any]:
    return sorted({value for item in items for value in item[key]})


def _distinct(items: list[Any]) -> list[Any]:
    return [item for position, item in enumerate(items) if item not in items[:position]]
