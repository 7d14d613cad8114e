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

If it ends without a result, the notebook is renamed to ``failed-notebook.ipynb``.
"""

import ast
import hashlib
import json
import platform
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from carbon_midl import __version__
from carbon_midl.errors import InputError
from carbon_midl.files import check_locks, lock_held, read_json, write_gzipped, write_json, write_text
from carbon_midl.footprint.record import FOOTPRINT
from carbon_midl.footprint.sensors import cpu_name, memory_bytes, usable_cores
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.checkpoint import CHECKPOINT, RESULT, checkpointed_run
from carbon_midl.training.data import Split, SplitRows, select_rows, split_patients
from carbon_midl.training.network import network_size, source_of
from carbon_midl.training.options import BUILT_IN, RunOptions, check_crop_size, fingerprinted

if TYPE_CHECKING:
    import pandas as pd

    from carbon_midl.footprint import FootprintRecord
    from carbon_midl.training.checkpoint import Epoch
    from carbon_midl.training.fit import Fit

NOTEBOOK, FAILED_NOTEBOOK = "notebook.ipynb", "failed-notebook.ipynb"
PARAMETERS, EPOCHS, SLICES, LOG, LOCK = "parameters.yaml", "epochs.csv", "slices.csv.gz", "papermill.log", ".lock"
Fingerprint = dict[Literal["options", "crops", "code"], str]
"""Hashes of everything that decides a run's numbers; runs with equal fingerprints are the same run."""
RESULT_FORMAT, RESULT_VERSION = "carbon-midl run", 1
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
class Run:
    """A run that is about to be made or resumed."""

    directory: Path
    options: RunOptions
    archive: CropArchive
    split: Split
    rows: SplitRows
    fingerprint: Fingerprint
    training_fingerprint: str
    checkpoint: Path | None  #: the state to resume from; None for a new training.
    lock: FileLock  #: keeps other processes out of the directory for as long as this object exists.


def prepare_run(directory: Path, options: RunOptions, archive: CropArchive) -> Run:
    """Check that a run can be made, split the patients, create its directory and lock it for this process.

    A run that was interrupted, or was stopped by a budget that has changed since, resumes from its checkpoint.

    Raises:
        InputError: another process is making the run; the directory holds a finished run or another unfinished one;
            the crops do not fit the options.
    """
    split = split_patients(archive.patients, options.split_seed, training_share=options.training_share)
    if options.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), options.depth)
    rows = select_rows(archive, split, options.readers)
    directory.mkdir(parents=True, exist_ok=True)
    check_locks(directory / LOCK)
    # One lock object for all of this process, which may open a run more than once.
    lock = FileLock(directory / LOCK, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=_LOCK_WAIT_S)
    except Timeout:
        raise lock_held(directory / LOCK, "making this run") from None
    wanted, training = fingerprint(options, archive), training_fingerprint(options, archive)
    checkpoint = directory / CHECKPOINT if checkpointed_run(directory / CHECKPOINT) == training else None
    if (directory / RESULT).exists() and (checkpoint is None or is_finished(directory, wanted)):
        raise InputError(
            f"{directory}: holds a finished run ({RESULT}). Name another directory, or move this one away to repeat it."
        )
    if checkpoint is None and (directory / CHECKPOINT).exists():
        raise InputError(
            f"{directory}: holds an unfinished run ({CHECKPOINT}) with other options, crops or code, or a damaged one. "
            "Name another directory, or move this one away to begin anew."
        )
    return Run(directory, options, archive, split, rows, wanted, training, checkpoint, lock)


def is_finished(directory: Path, wanted: Fingerprint) -> bool:
    """Whether ``directory`` holds the result of a run with the fingerprint ``wanted``."""
    return finished_fingerprint(directory) == wanted


def finished_fingerprint(directory: Path) -> Fingerprint | None:
    """Return the fingerprint of the finished run in ``directory``; None if there is no readable result."""
    try:
        return read_result(directory).get("fingerprint")
    except InputError:
        return None


def fingerprint(options: RunOptions, archive: CropArchive) -> Fingerprint:
    """Return the fingerprint of a run with ``options`` on ``archive`` under the code of this process."""
    values, code = json.dumps(fingerprinted(options.model_dump()), sort_keys=True), code_fingerprint()
    if options.model != BUILT_IN:
        code = _short(code.encode() + source_of(options.model))
    return {"options": _short(values.encode()), "crops": archive.fingerprint[:12], "code": code}


def training_fingerprint(options: RunOptions, archive: CropArchive) -> str:
    """Return the fingerprint of a training: that of its run without the budget, which changes none of its steps."""
    without_budget = options.model_copy(update={"budget_g": 0.0, "budget_kwh": 0.0})
    return "-".join(fingerprint(without_budget, archive).values())


@cache
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


def write_result(run: Run, fit: "Fit", precision: str, scores: "pd.DataFrame", footprint: "FootprintRecord") -> Path:
    """Write the tables of a finished run, then ``result.json``, and return the latter's path.

    ``precision`` is the number format of the training's convolutions. ``scores`` has one row per slice, with ``part``
    "validation" or "test".
    """
    write_epochs(run.directory, fit.epochs)
    write_json(run.directory / FOOTPRINT, footprint.to_dict())
    write_gzipped(run.directory / SLICES, scores.to_csv(index=False))
    archive, rows, budget = run.archive, run.rows, run.options.budget_g or run.options.budget_kwh
    result = {
        "format": RESULT_FORMAT,
        "version": RESULT_VERSION,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": run.fingerprint,
        "options": run.options.model_dump(),
        "crops": {
            "fingerprint": archive.fingerprint,
            "patients": len(archive.patients),
            "slices": len(archive),
            "size": archive.size,
            "intensity": archive.intensity._asdict(),
            "source": archive.source,
        },
        "split": asdict(run.split),
        "slices": {
            "train": len(rows.train),
            "validation": len(rows.validation),
            "test": len(rows.test),
            "without_target": rows.without_target,
        },
        "model": network_size(run.options, archive.size)._asdict(),
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
    write_json(run.directory / RESULT, result)
    # A training that a budget stopped may be resumed with a larger one; any other is finished.
    if len(fit.epochs) == run.options.epochs or not budget:
        (run.directory / CHECKPOINT).unlink(missing_ok=True)
    return run.directory / RESULT


def read_result(directory: Path) -> dict[str, Any]:
    """Read the result of a finished run.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    path = Path(directory) / RESULT
    result = read_json(path)
    kind = [result.get("format"), result.get("version")] if isinstance(result, dict) else "something else"
    if kind != [RESULT_FORMAT, RESULT_VERSION]:
        raise InputError(f"{path}: found {kind}, expected {[RESULT_FORMAT, RESULT_VERSION]}. Repeat the run.")
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
    import torch

    versions = {"python": platform.python_version(), "carbon_midl": __version__}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    hardware = {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(memory_bytes() / 2**30, 1),
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
