"""One run: one U-Net, one seed, one crop archive, and a directory with all that came of it.

====================  ========================================================
``weights.safetensors``  best-validation weights
``epochs.csv``           a row an epoch, rewritten after each
``slices.csv.gz``        a row a test slice
``footprint.json``       the footprint so far, rewritten after each epoch: it counts even if the run is never finished
``footprint/``           carbontracker's logs
``result.json``          everything else; written last, so it marks the run as done
====================  ========================================================
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.errors import InputError
from carbon_midl.files import read_json, replaced, write_json, write_text
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.split import Split, split_patients
from carbon_midl.options import RunOptions
from carbon_midl.unet_size import unet_size

if TYPE_CHECKING:
    from carbon_midl.footprint import FootprintRecord
    from carbon_midl.training import Epoch, Fit, Parts

RESULT_FORMAT = "carbon-midl run"
RESULT_VERSION = 1
RUN_FILES = ("weights.safetensors", "epochs.csv", "slices.csv.gz", "footprint.json", "footprint", "result.json")
# The modules that decide a run's numbers; a change in one makes earlier runs stale.
DECIDING_MODULES = (
    "batches.py",
    "lidc/crops.py",
    "lidc/split.py",
    "lidc/targets.py",
    "metrics.py",
    "training.py",
    "unet.py",
)


@dataclass(frozen=True)
class Fingerprint:
    """What a run's numbers follow from; two runs with equal fingerprints are the same run."""

    options: str
    crops: str
    code: str


@dataclass(frozen=True)
class Run:
    """A run that is about to be made."""

    directory: Path
    options: RunOptions
    archive: CropArchive
    split: Split
    parts: "Parts"
    fingerprint: Fingerprint


def prepare_run(directory: Path, options: RunOptions, archive: CropArchive) -> Run:
    """Check that a run can be made, split the patients and make its directory.

    Raises:
        InputError: the directory holds something that is no run, or a finished one; the crops do not fit the options.
    """
    from carbon_midl.training import select_parts

    directory = Path(directory)
    if (directory / "result.json").exists():
        raise InputError(
            f"{directory}: holds a finished run (result.json). "
            "Name another directory, or move this one away to repeat it."
        )
    foreign = sorted(path.name for path in directory.glob("*") if not _belongs_to_a_run(path))
    if foreign:
        raise InputError(
            f"{directory}: holds {', '.join(foreign[:3])}, which is no part of a run. Name a new or empty directory."
        )
    split = split_patients(archive.patients, options.split_seed)
    parts = select_parts(archive, split, options)
    directory.mkdir(parents=True, exist_ok=True)
    return Run(directory, options, archive, split, parts, fingerprint(options, archive))


def fingerprint(options: RunOptions, archive: CropArchive) -> Fingerprint:
    """Return the fingerprint of a run with ``options`` on ``archive`` under today's code."""
    return Fingerprint(
        options=_short(json.dumps(options.model_dump(), sort_keys=True).encode()),
        crops=archive.fingerprint[:12],
        code=code_fingerprint(),
    )


def code_fingerprint() -> str:
    """Return a hash of the modules that decide a run's numbers."""
    package = Path(__file__).parent
    return _short(b"".join((package / name).read_bytes() for name in DECIDING_MODULES))


def write_epochs(directory: Path, epochs: list["Epoch"]) -> None:
    """Write the per-epoch table so far."""
    import pandas as pd

    write_text(directory / "epochs.csv", pd.DataFrame([asdict(epoch) for epoch in epochs]).to_csv(index=False))


def write_footprint(directory: Path, footprint: "FootprintRecord") -> None:
    """Write the footprint so far."""
    write_json(directory / "footprint.json", footprint.to_dict())


def write_result(run: Run, fit: "Fit", slices: list[dict[Any, Any]], footprint: "FootprintRecord") -> Path:
    """Write the tables of a finished run, then ``result.json``, and return the latter's path.

    Args:
        run: the run.
        fit: what training gave.
        slices: the table of test scores.
        footprint: the record with the windows "training" and "test".
    """
    import pandas as pd

    from carbon_midl.environment import describe_environment

    write_epochs(run.directory, fit.epochs)
    write_footprint(run.directory, footprint)
    table = pd.DataFrame(slices)
    with replaced(run.directory / "slices.csv.gz") as temporary:
        # Without a time stamp, equal scores make equal files.
        table.to_csv(temporary, index=False, compression={"method": "gzip", "mtime": 0})
    size = unet_size(run.options.filters, run.options.depth, size=run.archive.size)
    result = {
        "format": RESULT_FORMAT,
        "version": RESULT_VERSION,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": asdict(run.fingerprint),
        "options": run.options.model_dump(),
        "crops": {
            "fingerprint": run.archive.fingerprint,
            "patients": len(run.archive.patients),
            "slices": len(run.archive),
            "size": run.archive.size,
            "intensity": run.archive.intensity._asdict(),
            "source": run.archive.source,
        },
        "split": asdict(run.split),
        "slices": {
            "train": len(run.parts.train),
            "validation": len(run.parts.validation),
            "test": len(run.parts.test),
            "without_target": run.parts.without_target,
        },
        "model": size._asdict(),
        "training": {"epochs_trained": len(fit.epochs), "best_epoch": fit.best_epoch, "val_dice": fit.val_dice},
        "test": {
            "dice": float(table["dice"].mean()),
            "dice_patients": float(table.groupby("patient_id")["dice"].mean().mean()),
            "patients": int(table["patient_id"].nunique()),
            "slices": len(table),
        },
        "footprint": footprint.to_dict(),
        "environment": describe_environment(),
    }
    path = run.directory / "result.json"
    write_json(path, result)
    return path


def read_result(directory: Path) -> dict[str, Any]:
    """Read the result of a finished run.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    path = Path(directory) / "result.json"
    result = read_json(path)
    if not isinstance(result, dict) or result.get("format") != RESULT_FORMAT:
        raise InputError(f"{path}: not the result of a run. Repeat the run.")
    if result.get("version") != RESULT_VERSION:
        raise InputError(
            f"{path}: result of version {result.get('version')!r}; this carbon-midl reads {RESULT_VERSION}. "
            "Repeat the run."
        )
    return result


def _belongs_to_a_run(path: Path) -> bool:
    """Whether an interrupted run, or papermill on its way, may have left ``path``."""
    return path.name in RUN_FILES or path.suffix in (".ipynb", ".log")


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
