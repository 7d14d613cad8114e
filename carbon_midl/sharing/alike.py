"""Whether parts are of one study: the same crops, code, options, split, grid and PUE."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.sharing.axes import axes
from carbon_midl.sharing.stored import PART, RUNS, TABLES, StoredResults

_TRAIN_AGAIN = "Make the runs of one part again as those of the other were made."
_COLLECT_AGAIN = (
    "Nothing needs to be trained again: put the same [footprint] into both study files and collect each part again, "
    "with carbon-midl study collect studies/NAME.toml"
)
_COLLECTED = "Collect both parts again with the same version: carbon-midl study collect studies/NAME.toml"
_GIVEN = ["pue", "intensity_g_per_kwh", "intensity_source"]


def check_alike(parts: Sequence[StoredResults]) -> None:
    """Check that parts can be one study.

    Raises:
        InputError: they cannot; the message names what differs and what to do.
    """
    first = parts[0]
    for other in parts[1:]:
        _same("study", first, other, lambda part: part.manifest["study"], "Merge parts of one study.")
        _same("crops", first, other, lambda part: part.manifest["crops"]["fingerprint"][:12], _TRAIN_AGAIN)
        _same("code", first, other, _code, "Make the runs of one part again with the carbon-midl of the other.")
        _same("axes", first, other, lambda part: sorted(axes(part.manifest, part.runs)), _TRAIN_AGAIN)
        _check_options(first, other)
        if not axes(first.manifest, first.runs) & {"split_seed", "readers"}:
            for key in ("split", "split_patients", "slices"):
                if first.manifest[key] != other.manifest[key]:
                    raise InputError(f"{first.where} and {other.where}: {key} is not the same in both. {_TRAIN_AGAIN}")
        _same("PUE and carbon intensity", first, other, _factors, _COLLECT_AGAIN)
        for file in TABLES:
            _same(f"columns of {file}", first, other, partial(_columns, file), _COLLECTED)


def _same(
    what: str, first: StoredResults, other: StoredResults, of: Callable[[StoredResults], Any], way_out: str
) -> None:
    one, two = of(first), of(other)
    if one != two:
        raise InputError(f"{what}: {_text(one)} in {first.where}, {_text(two)} in {other.where}. {way_out}")


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _check_options(first: StoredResults, other: StoredResults) -> None:
    """Options that the runs are named by vary within a study, and a manifest has them of one run only."""
    varying = axes(first.manifest, first.runs)
    one, two = first.manifest["options"], other.manifest["options"]
    for option in sorted((one.keys() | two.keys()) - varying):
        if one.get(option) != two.get(option):
            raise InputError(
                f"option {option}: {one.get(option)!r} in {first.where}, {two.get(option)!r} in {other.where}. "
                f"{_TRAIN_AGAIN}"
            )


def _code(part: StoredResults) -> list[str]:
    return sorted({str(fingerprint).rsplit("-", 1)[-1] for fingerprint in part.runs["fingerprint"]})


def _factors(part: StoredResults) -> list[str]:
    rows = part.runs[_GIVEN].drop_duplicates().to_numpy().tolist()
    return sorted(f"PUE {pue} and {intensity} g/kWh ({source})" for pue, intensity, source in rows)


def _columns(file: str, part: StoredResults) -> list[str]:
    return [name for name in part.tables[file].columns if file != RUNS or name != PART]
