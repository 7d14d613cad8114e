"""A study file: which runs, on which crops, with which options."""

import itertools
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.footprint import DEFAULT_PUE, carbon_intensity
from carbon_midl.lidc import PHANTOM_SIZE
from carbon_midl.training.options import RunOptions, explain, parse_options, suggestion


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StudySection(_Section):
    """Name and title of a study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str


class PhantomSection(_Section):
    """Synthetic crops, rendered when a run first needs them."""

    patients: int = Field(gt=2)
    seed: int = Field(0, ge=0)
    size: int = Field(PHANTOM_SIZE, gt=0)


class CropsSection(_Section):
    """The crops: either an archive or a phantom."""

    archive: str | None = None
    phantom: PhantomSection | None = None


class FootprintSection(_Section):
    """The factors that turn energy into carbon."""

    pue: float = Field(DEFAULT_PUE, ge=1)
    intensity: str | float = "world"
    carbontracker: bool = True


class _File(_Section):
    study: StudySection
    crops: CropsSection
    axes: dict[str, list[Any]]
    options: dict[str, Any] = Field(default_factory=dict)
    footprint: FootprintSection = FootprintSection()


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
    crops: CropsSection
    footprint: FootprintSection
    runs: tuple[PlannedRun, ...]

    @cached_property
    def root(self) -> Path:
        """The parent of ``studies/`` and of ``runs/``, from which relative paths start."""
        return self.path.absolute().parent.parent

    @cached_property
    def directory(self) -> Path:
        """The directory of the study's runs."""
        return self.root / "runs" / self.name

    @property
    def crops_path(self) -> Path:
        """The directory of the study's crops; that of a phantom is made when a run first needs it."""
        if (phantom := self.crops.phantom) is not None:
            from carbon_midl.lidc.phantom import phantom_directory

            return phantom_directory(self.root, phantom.patients, phantom.seed, phantom.size)
        return self.root / str(self.crops.archive)

    @property
    def results(self) -> Path:
        """The directory of the study's tables."""
        return self.directory / "results"


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
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        nearby = ", ".join(sorted(map(str, path.parent.glob("*.toml"))))
        raise InputError(f"{path}: no such study file.{f' There are {nearby}.' if nearby else ''}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path}: not valid TOML: {error}.") from None
    try:
        file = _File(**content)
    except ValidationError as error:
        sections = (_File, StudySection, CropsSection, PhantomSection, FootprintSection)
        known = [name for section in sections for name in section.model_fields]
        raise InputError(f"{path}: {explain(error, known)}") from None
    if (file.crops.archive is None) == (file.crops.phantom is None):
        raise InputError(f"{path}: [crops] needs either 'archive' (a directory) or 'phantom' (a table), not both.")
    carbon_intensity(file.footprint.intensity)
    return Study(
        path=path,
        name=file.study.name,
        title=file.study.title,
        crops=file.crops,
        footprint=file.footprint,
        runs=tuple(_expand(path, file)),
    )


def _expand(path: Path, file: _File) -> list[PlannedRun]:
    """Return a run for every combination of the axes; the first axis varies slowest."""
    for axis, values in file.axes.items():
        if axis not in RunOptions.model_fields:
            raise InputError(f"{path}: unknown axis '{axis}' in [axes]; {suggestion(axis, RunOptions.model_fields)}")
        if axis in file.options and not (axis == "filters" and isinstance(file.options[axis], dict)):
            raise InputError(f"{path}: '{axis}' is in [axes] and in [options]; keep one.")
        if not values or len(values) != len({repr(value) for value in values}):
            raise InputError(f"{path}: axis '{axis}' is {values!r}; expected one or more values, each once.")
    for axis in ("filters", "seed"):
        if axis not in file.axes:
            raise InputError(f"{path}: [axes] needs '{axis}', a list of one or more values.")
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
        options = parse_options({**common, **by_width.get(chosen["filters"], {}), **chosen}, where=str(path))
        runs[name] = PlannedRun(name, options)
    return list(runs.values())


def _options_by_width(path: Path, file: _File) -> dict[int, dict[str, Any]]:
    """Return the options that only runs of one width get, as in ``[options.filters.32]``, by width."""
    by_width = {}
    for width, options in file.options.get("filters", {}).items():
        where = f"{path}: [options.filters.{width}]"
        widths = {str(known): known for known in file.axes["filters"]}
        if width not in widths:
            raise InputError(f"{where}: no such width in [axes]; its filters are {', '.join(widths)}.")
        if not isinstance(options, dict):
            raise InputError(f"{where}: {options!r}; expected a table of options, such as learning_rate = 3e-4.")
        if twice := sorted(options.keys() & file.axes.keys()):
            raise InputError(f"{where}: '{twice[0]}' is in [axes], too; keep one.")
        parse_options(options, where)
        by_width[widths[width]] = options
    return by_width


def _in_name(value: Any) -> str:
    """Write a value as in a run's name: ``studies.own_models:basic_unet`` becomes ``own-models-basic-unet``."""
    text = str(value)
    if ":" in text:
        module, _, function = text.partition(":")
        text = f"{module.rpartition('.')[2]}-{function}"
    return text.replace("_", "-").replace(" ", "-")
