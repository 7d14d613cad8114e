"""A study file: which runs, on which crops, with which options."""

import itertools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.footprint import DEFAULT_PUE, carbon_intensity
from carbon_midl.lidc import PHANTOM_SIZE
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.options import RunOptions, explain, parse_options, suggestion


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Study(_Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str


class _Phantom(_Section):
    patients: int = Field(gt=2)
    seed: int = Field(0, ge=0)
    size: int = Field(PHANTOM_SIZE, gt=0)


class _Crops(_Section):
    archive: str | None = None
    phantom: _Phantom | None = None  # synthetic crops, rendered when a run first needs them


class _Footprint(_Section):
    pue: float = Field(DEFAULT_PUE, ge=1)
    intensity: str | float = "world"
    carbontracker: bool = True


class _File(_Section):
    study: _Study
    crops: _Crops
    axes: dict[str, list[Any]]
    options: dict[str, Any] = Field(default_factory=dict)
    footprint: _Footprint = _Footprint()


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study."""

    name: str
    options: RunOptions


@dataclass(frozen=True)
class Study:
    """A study file, read and checked."""

    path: Path
    name: str
    title: str
    crops: _Crops
    footprint: _Footprint
    runs: tuple[PlannedRun, ...]

    @property
    def root(self) -> Path:
        """The parent of ``studies/`` and of ``runs/``, from which relative paths start."""
        return self.path.absolute().parent.parent

    @property
    def directory(self) -> Path:
        """The directory of the study's runs."""
        return self.root / "runs" / self.name

    @property
    def results(self) -> Path:
        """The directory of the study's tables."""
        return self.directory / "results"


def open_crops(study: Study, render: bool = True) -> CropArchive:
    """Open the study's crops.

    Raises:
        InputError: there is no such archive, or the phantom is not there and not to be rendered.
    """
    if study.crops.phantom is None:
        return CropArchive.open(study.root / str(study.crops.archive))
    from carbon_midl.lidc.phantom import open_phantom

    return open_phantom(study.root, **study.crops.phantom.model_dump(), render=render)


def read_study(path: Path | str) -> Study:
    """Read a study file.

    >>> study = read_study("studies/demo.toml")
    >>> len(study.runs), study.runs[0].name
    (8, 'filters-2-seed-0')

    Raises:
        InputError: no such file, malformed TOML, an unknown key or a bad value; the message names each.
    """
    path = Path(path)
    try:
        file = _File(**tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        nearby = ", ".join(sorted(map(str, path.parent.glob("*.toml"))))
        raise InputError(f"{path}: no such study file.{f' There are {nearby}.' if nearby else ''}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: not valid TOML: {error}.") from None
    except ValidationError as error:
        sections = (_File, _Study, _Crops, _Phantom, _Footprint)
        known = [name for section in sections for name in section.model_fields]
        raise InputError(f"{path}: {explain(error, known)}") from None
    if (file.crops.archive is None) == (file.crops.phantom is None):
        raise InputError(f"{path}: [crops] needs either 'archive' (a directory) or 'phantom' (a table), not both.")
    carbon_intensity(file.footprint.intensity)
    return Study(path, file.study.name, file.study.title, file.crops, file.footprint, tuple(_expand(path, file)))


def _expand(path: Path, file: _File) -> list[PlannedRun]:
    """Return a run for every combination of the axes; the first axis varies slowest."""
    for axis, values in file.axes.items():
        if axis not in RunOptions.model_fields:
            raise InputError(f"{path}: unknown axis '{axis}' in [axes]; {suggestion(axis, RunOptions.model_fields)}")
        if axis in file.options and not (axis == "filters" and isinstance(file.options[axis], dict)):
            raise InputError(f"{path}: '{axis}' is in [axes] and in [options]; keep one.")
        if not values or len(values) != len({repr(value) for value in values}):
            raise InputError(f"{path}: axis '{axis}' is {values!r}; expected one or more values, each once.")
    if missing := {"filters", "seed"} - file.axes.keys():
        raise InputError(f"{path}: [axes] needs '{min(missing)}', a list of one or more values.")
    by_width = _options_by_width(path, file)
    common = {name: value for name, value in file.options.items() if name != "filters"}
    runs: dict[str, PlannedRun] = {}
    for combination in itertools.product(*file.axes.values()):
        chosen = dict(zip(file.axes, combination, strict=True))
        name = "-".join(_in_name(word) for pair in chosen.items() for word in pair)
        if name in runs:
            raise InputError(
                f"{path}: two runs would be called {name!r}; rename a value of [axes] so that they differ."
            )
        options = parse_options({**common, **by_width.get(str(chosen["filters"]), {}), **chosen}, where=str(path))
        runs[name] = PlannedRun(name, options)
    return list(runs.values())


def _options_by_width(path: Path, file: _File) -> dict[str, dict[str, Any]]:
    """Return the options that only runs of one width get, as in ``[options.filters.32]``, by width."""
    by_width: dict[str, Any] = file.options.get("filters", {})
    widths = [str(width) for width in file.axes["filters"]]
    for width, options in by_width.items():
        where = f"{path}: [options.filters.{width}]"
        if width not in widths:
            raise InputError(f"{where}: no such width in [axes]; its filters are {', '.join(widths)}.")
        if not isinstance(options, dict):
            raise InputError(f"{where}: {options!r}; expected a table of options, such as learning_rate = 3e-4.")
        if twice := sorted(options.keys() & file.axes.keys()):
            raise InputError(f"{where}: '{twice[0]}' is in [axes], too; keep one.")
        parse_options(options, where)
    return by_width


def _in_name(value: Any) -> str:
    """Write a value as in a run's name: ``studies.own_models:basic_unet`` becomes ``own-models-basic-unet``."""
    without_package = re.sub(r"^(\w+\.)*(\w+):", r"\2-", str(value))
    return re.sub("[_ ]", "-", without_package)
