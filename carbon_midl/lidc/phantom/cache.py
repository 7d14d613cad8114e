"""The embedded crops: rendered once into ``data/``, then reused."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive

DEFAULT_PATIENTS = 40
DEFAULT_SEED = 0
DEFAULT_SIZE = 64


def phantom_directory(root: Path, patients: int, seed: int, size: int) -> Path:
    """Return where this phantom is kept under ``root``."""
    return root / "data" / "phantom" / f"patients-{patients}-seed-{seed}-size-{size}"


def phantom_crops(
    root: Path,
    patients: int = DEFAULT_PATIENTS,
    seed: int = DEFAULT_SEED,
    size: int = DEFAULT_SIZE,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> CropArchive:
    """Open the phantom of these parameters, rendering it first where that has not been done.

    Raises:
        InputError: parameters that give no phantom, or a directory with a phantom of another version.
    """
    from carbon_midl.lidc.phantom import VERSION, render_phantom

    path = phantom_directory(root, patients, seed, size)
    if not path.exists():
        render_phantom(path, patients=patients, seed=seed, size=size, progress=progress)
    archive = CropArchive.open(path)
    if (found := archive.source.get("version")) != VERSION:
        raise InputError(
            f"{path}: phantom of version {found}, but this carbon-midl renders version {VERSION}. "
            "Remove that directory; it is rendered anew in less than a minute."
        )
    return archive
