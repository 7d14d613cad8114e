"""One run: one network, one seed, one crop archive, and a directory with its outcome.

==========================  ==========================================================================================
``parameters.yaml``         the parameters that papermill passes to the notebook
``notebook.ipynb``          the executed notebook
``papermill.log``           standard output and error of papermill and the notebook's kernel
``weights.safetensors``     weights of the epoch with the best validation Dice
``checkpoint.safetensors``  the state of an unfinished training, to resume from; removed when it is finished
``epochs.csv``              one row per epoch, rewritten after each
``slices.csv.gz``           one row per validation and test slice
``footprint.json``          the footprint so far, rewritten after each epoch, so that it counts even without a result
``footprint/``              carbontracker's logs
``result.json``             everything else; written last, so it marks the run as done
``.lock``                   locked by the process that writes the run, for as long as it lives
==========================  ==========================================================================================

While papermill executes it, the notebook is ``.partial-notebook.ipynb``; if it ends without a result, it is renamed to
``failed-notebook.ipynb``.
"""

import ast
import hashlib
import json
import os
import platform
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from carbon_midl import __version__
from carbon_midl.errors import InputError
from carbon_midl.files import is_left_over, lock_held, read_json, write_gzipped, write_json, write_text
from carbon_midl.footprint.record import FOOTPRINT
from carbon_midl.footprint.sensors import cpu_name
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.checkpoint import CHECKPOINT, RESULT, WEIGHTS, checkpointed_run
from carbon_midl.training.data import Split, SplitRows, select_rows, split_patients
from carbon_midl.training.network import network_size, source_of
from carbon_midl.training.options import BUILT_IN, RunOptions, check_crop_size, fingerprinted

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.footprint import FootprintRecord
    from carbon_midl.training.checkpoint import Epoch
    from carbon_midl.training.fit import Fit

PARAMETERS = "parameters.yaml"
NOTEBOOK = "notebook.ipynb"
PARTIAL_NOTEBOOK = f".partial-{NOTEBOOK}"
FAILED_NOTEBOOK = f"failed-{NOTEBOOK}"
LOG = "papermill.log"
EPOCHS = "epochs.csv"
SLICES = "slices.csv.gz"
CARBONTRACKER_LOGS = "footprint"
LOCK = ".lock"
RUN_FILES = (PARAMETERS, WEIGHTS, CHECKPOINT, EPOCHS, SLICES, FOOTPRINT, CARBONTRACKER_LOGS, RESULT, LOCK)
"""The files of a run beside notebooks and logs, which may have any name."""
RESULT_FORMAT = "carbon-midl run"
RESULT_VERSION = 1
PACKAGES = ("torch", "numpy", "carbontracker", "pylidc", "papermill", "pandas", "jupyter-book")
# A look at whether the lock is held (``files.is_locked``) holds it for a moment.
_LOCK_WAIT_S = 2.0
# In Python 3.11, parsing in two threads at the same time may fail.
_PARSING = threading.Lock()
# The modules that decide a run's numbers; a change in one makes earlier runs stale.
DECIDING_MODULES = (
    "lidc/crops.py",
    "metrics.py",
    "training/batches.py",
    "training/data.py",
    "training/fit.py",
    "training/recipes.py",
    "training/scoring.py",
    "training/unet.py",
)


@dataclass(frozen=True)
class Fingerprint:
    """Hashes of everything that decides a run's numbers; runs with equal fingerprints are the same run."""

    options: str
    crops: str
    code: str


@dataclass(frozen=True)
class Run:
    """A run that is about to be made or resumed.

    ``checkpoint`` is the state to resume from; None for a new training. ``lock`` keeps other processes out of the
    directory for as long as this object exists.
    """

    directory: Path
    options: RunOptions
    archive: CropArchive
    split: Split
    rows: SplitRows
    fingerprint: Fingerprint
    training_fingerprint: str
    checkpoint: Path | None
    lock: FileLock


def prepare_run(directory: Path, options: RunOptions, archive: CropArchive) -> Run:
    """Check that a run can be made, split the patients, create its directory and lock it for this process.

    A run that was interrupted, or was stopped by a budget that has changed since, resumes from its checkpoint.

    Raises:
        InputError: another process is making the run; the directory holds a finished run, another unfinished one, or
            files of something else; the crops do not fit the options.
    """
    directory = Path(directory)
    foreign = sorted(
        path.name
        for path in directory.glob("*")
        if not (path.name in RUN_FILES or path.suffix in (".ipynb", ".log") or is_left_over(path, RUN_FILES))
    )
    if foreign:
        raise InputError(
            f"{directory}: holds {', '.join(foreign[:3])}, which is no part of a run. Name a new or empty directory."
        )
    split = split_patients(archive.patients, options.split_seed, training_share=options.training_share)
    if options.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), options.depth)
    rows = select_rows(archive, split, options.readers)
    directory.mkdir(parents=True, exist_ok=True)
    # One lock object for all of this process, which may open a run more than once.
    lock = FileLock(directory / LOCK, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=_LOCK_WAIT_S)
    except Timeout:
        raise lock_held(directory / LOCK, "making this run") from None
    wanted, training = fingerprint(options, archive), training_fingerprint(options, archive)
    checkpoint = resumable(directory, training)
    if (directory / RESULT).exists() and (checkpoint is None or is_finished(directory, wanted)):
        raise InputError(
            f"{directory}: holds a finished run ({RESULT}). Name another directory, or move this one away to repeat it."
        )
    if checkpoint is None and (directory / CHECKPOINT).exists():
        raise InputError(
            f"{directory}: holds an unfinished run ({CHECKPOINT}) with other options, crops or code, or a damaged one. "
            "Name another directory, or move this one away to begin anew."
        )
    for path in directory.glob(".*"):
        if is_left_over(path, RUN_FILES):
            path.unlink()
    return Run(directory, options, archive, split, rows, wanted, training, checkpoint, lock)


def is_finished(directory: Path, wanted: Fingerprint) -> bool:
    """Whether ``directory`` holds the result of a run with the fingerprint ``wanted``."""
    try:
        return Fingerprint(**read_result(directory)["fingerprint"]) == wanted
    except (InputError, KeyError, TypeError):
        return False


def resumable(directory: Path, training: str) -> Path | None:
    """Return the checkpoint in ``directory`` if it is of the training with this fingerprint."""
    checkpoint = directory / CHECKPOINT
    return checkpoint if checkpointed_run(checkpoint) == training else None


def fingerprint(options: RunOptions, archive: CropArchive, code: str | None = None) -> Fingerprint:
    """Return the fingerprint of a run with ``options`` on ``archive`` under today's code.

    Args:
        options: of the run.
        archive: its crops.
        code: what ``code_fingerprint`` returned, to save computing it again for each of many runs.
    """
    values, code = fingerprinted(options.model_dump()), code or code_fingerprint()
    if options.model != BUILT_IN:
        code = _short(code.encode() + source_of(options.model))
    return Fingerprint(
        options=_short(json.dumps(values, sort_keys=True).encode()), crops=archive.fingerprint[:12], code=code
    )


def training_fingerprint(options: RunOptions, archive: CropArchive) -> str:
    """Return the fingerprint of a training: that of its run without the budget, which changes none of its steps."""
    without_budget = options.model_copy(update={"budget_g": 0.0, "budget_kwh": 0.0})
    return "-".join(asdict(fingerprint(without_budget, archive)).values())


def code_fingerprint() -> str:
    """Return a hash of the code that decides a run's numbers.

    Comments, docstrings, the order of a module's statements and the names of this package's modules do not count, so
    code can be explained, moved and renamed without making earlier runs stale.
    """
    package = Path(__file__).parents[1]
    with _PARSING:
        statements = {
            text for name in DECIDING_MODULES for text in _statements((package / name).read_text(encoding="utf-8"))
        }
    return _short("\n".join(sorted(statements)).encode())


def _statements(source: str) -> Iterator[str]:
    """Yield a module's statements as canonical text, which is the same in all versions of Python."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("carbon_midl"):
            # The module that a name comes from does not count, only that it is given another name here.
            yield from (f"{alias.asname} = {alias.name}" for alias in statement.names if alias.asname)
        elif not _is_text(statement):
            yield _canonical(statement)


def _canonical(node: Any) -> str:
    if isinstance(node, list):
        return f"[{','.join(_canonical(item) for item in node if not _is_text(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({','.join(f'{name}={_canonical(value)}' for name, value in fields)})"


def _is_text(node: Any) -> bool:
    """Whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def write_epochs(directory: Path, epochs: list["Epoch"]) -> None:
    """Write the per-epoch table so far."""
    import pandas as pd

    write_text(directory / EPOCHS, pd.DataFrame([asdict(epoch) for epoch in epochs]).to_csv(index=False))


def write_footprint(directory: Path, footprint: "FootprintRecord") -> None:
    """Write the footprint so far."""
    write_json(directory / FOOTPRINT, footprint.to_dict())


def write_result(run: Run, fit: "Fit", precision: str, scores: "pd.DataFrame", footprint: "FootprintRecord") -> Path:
    """Write the tables of a finished run, then ``result.json``, and return the latter's path.

    Args:
        run: the run.
        fit: the outcome of the training.
        precision: number format of its convolutions.
        scores: one row per slice, with ``part`` "validation" or "test".
        footprint: the record with the windows "training" and "test".
    """
    write_epochs(run.directory, fit.epochs)
    write_footprint(run.directory, footprint)
    write_gzipped(run.directory / SLICES, scores.to_csv(index=False))
    size = network_size(run.options, run.archive.size)
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
            "train": len(run.rows.train),
            "validation": len(run.rows.validation),
            "test": len(run.rows.test),
            "without_target": run.rows.without_target,
        },
        "model": size._asdict(),
        "training": {
            "epochs_trained": len(fit.epochs),
            "best_epoch": fit.best_epoch,
            "val_dice": fit.val_dice,
            "stopped": fit.stopped,
            "precision": precision,
        },
        **{str(part): summary(table) for part, table in scores.groupby("part")},
        "footprint": footprint.to_dict(),
        "environment": describe_environment(),
    }
    path = run.directory / RESULT
    write_json(path, result)
    # A training that a budget stopped may be resumed with a larger one; any other is finished.
    if len(fit.epochs) == run.options.epochs or not (run.options.budget_g or run.options.budget_kwh):
        (run.directory / CHECKPOINT).unlink(missing_ok=True)
    return path


def read_result(directory: Path) -> dict[str, Any]:
    """Read the result of a finished run.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    path = Path(directory) / RESULT
    result = read_json(path)
    if not isinstance(result, dict) or result.get("format") != RESULT_FORMAT:
        raise InputError(f"{path}: not the result of a run. Repeat the run.")
    if result.get("version") != RESULT_VERSION:
        raise InputError(
            f"{path}: result of version {result.get('version')!r}; this carbon-midl reads {RESULT_VERSION}. "
            "Repeat the run."
        )
    return result


def summary(scores: "pd.DataFrame") -> dict[str, Any]:
    """Return mean Dice over slices and over patients, and the numbers of both, from a table of slice scores."""
    return {
        "dice": float(scores["dice"].mean()),
        "dice_patients": float(scores.groupby("patient_id")["dice"].mean().mean()),
        "patients": int(scores["patient_id"].nunique()),
        "slices": len(scores),
    }


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def describe_environment() -> dict[str, Any]:
    """Return hardware, versions of Python and the libraries, and the code's commit."""
    import psutil
    import torch

    versions = {"python": platform.python_version(), "carbon_midl": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    hardware = {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "system": platform.system(),
    }
    return {"hardware": hardware, "versions": versions, "commit": commit()}


def commit() -> str | None:
    """Return the code's git commit, with ``-dirty`` if files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.check_output(
            command, cwd=Path(__file__).parent, text=True, stderr=subprocess.DEVNULL, timeout=10
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None
