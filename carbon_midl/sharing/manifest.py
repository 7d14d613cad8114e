"""The manifest of a study's results, checked as far as checking, packing and merging rely on it."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.options import explain
from carbon_midl.study.format import check_format


class _Abandoned(BaseModel):
    attempts: NonNegativeInt
    energy_kwh: NonNegativeFloat
    carbon_g: NonNegativeFloat


class _Dates(BaseModel):
    first: str
    last: str


class _Crops(BaseModel):
    fingerprint: str
    size: int


class _Part(BaseModel):
    part: str
    runs: NonNegativeInt
    runs_left_out: list[str]
    abandoned: _Abandoned
    dates: _Dates
    environments: list[dict[str, Any]]
    sensors: list[str]
    pue_sources: list[str]
    footprint_notes: list[str]


class _Manifest(BaseModel):
    """What checking and merging rely on; a manifest may say more."""

    model_config = ConfigDict(extra="allow")

    study: str
    title: str
    widths: list[int]
    seeds: list[int]
    runs_done: int
    runs_left_out: list[str]
    abandoned: _Abandoned
    crops: _Crops
    options: dict[str, Any]
    split: dict[str, int]
    split_patients: dict[str, list[str]]
    slices: dict[str, int]
    dates: _Dates
    environments: list[dict[str, Any]]
    sensors: list[str]
    pue_sources: list[str]
    footprint_notes: list[str]
    sha256: dict[str, str] = {}
    parts: list[_Part] = []


def read_manifest(where: str, content: bytes) -> dict[str, Any]:
    """Read a manifest and check what the rest relies on.

    Args:
        where: the file, for messages.
        content: of the file.

    Raises:
        InputError: not a manifest, of another version, or a value is missing or cannot be.
    """
    try:
        manifest = json.loads(content, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({error}). Restore it, or collect the study again.") from None
    check_format(manifest, where)
    try:
        _Manifest(**manifest)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, [])} Restore it, or collect the study again.") from None
    return manifest


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
