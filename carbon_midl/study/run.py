"""One run: one U-Net, one seed, one crop archive, and a directory with all that came of it.

==========================  ==========================================================================================
``parameters.yaml``         what a study asked for, as papermill gets it
``notebook.ipynb``          the executed notebook
``papermill.log``           what papermill and the notebook's kernel wrote to their standard output and error
``weights.safetensors``     best-validation weights
``checkpoint.safetensors``  where an unfinished training goes on; gone when it is finished
``epochs.csv``              a row an epoch, rewritten after each
``slices.csv.gz``           a row a validation and test slice
``footprint.json``          the footprint so far, rewritten after each epoch, so that it counts even without a result
``footprint/``              carbontracker's logs
``result.json``             everything else; written last, so it marks the run as done
``.lock``                   held by the process that writes the run, as long as it lives
==========================  ==========================================================================================

While papermill executes it, the notebook is ``.partial-notebook.ipynb``; one that gave no result stays as
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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from carbon_midl import __version__
from carbon_midl.errors import InputError
from carbon_midl.files import is_left_over, lock_held, read_json, write_gzipped, write_json, write_text
from carbon_midl.footprint.sensors import cpu_name
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

PARAMETERS = "parameters.yaml"
NOTEBOOK = "notebook.ipynb"
PARTIAL_NOTEBOOK = f".partial-{NOTEBOOK}"
FAILED_NOTEBOOK = f"failed-{NOTEBOOK}"
LOG = "papermill.log"
WEIGHTS = "weights.safetensors"
EPOCHS = "epochs.csv"
SLICES = "slices.csv.gz"
FOOTPRINT = "footprint.json"
CARBONTRACKER_LOGS = "footprint"
LOCK = ".lock"
RUN_FILES = (PARAMETERS, WEIGHTS, CHECKPOINT, EPOCHS, SLICES, FOOTPRINT, CARBONTRACKER_LOGS, RESULT, LOCK)
"""Beside notebooks and logs, which may have any name."""
RESULT_FORMAT = "carbon-midl run"
RESULT_VERSION = 1
PACKAGES = ("torch", "numpy", "carbontracker", "pylidc", "papermill", "pandas", "jupyter-book")
# Whoever only looks whether the lock is held holds it for a moment.
_LOCK_WAIT_S = 2.0
# Of two threads that parse at the same time, Python 3.11 may fail one.
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
    """What a run's numbers follow from; two runs with equal fingerprints are the same run."""

    options: str
    crops: str
    code: str


@dataclass(frozen=True)
class Run:
    """A run that is about to be made, or to be gone on with.

    ``checkpoint`` is where its training goes on; None where it begins. ``lock`` keeps other processes out of the
    directory as long as this object is there.
    """

    directory: Path
    options: RunOptions
    archive: CropArchive
    split: Split
    rows: SplitRows
    fingerprint: Fingerprint
    training: str
    checkpoint: Path | None
    lock: FileLock


def prepare_run(directory: Path, options: RunOptions, archive: CropArchive) -> Run:
    """Check that a run can be made, split the patients, make its directory and lock it for this process.

    Where the same run was interrupted, or was stopped by a budget that is another one now, it goes on from its
    checkpoint.

    Raises:
        InputError: another process is making the run; the directory holds something that is no run, a finished one, or
            another unfinished one; the crops do not fit the options.
    """
    directory = Path(directory)
    foreign = sorted(path.name for path in directory.glob("*") if not _belongs_to_a_run(path))
    if foreign:
        raise InputError(
            f"{directory}: holds {', '.join(foreign[:3])}, which is no part of a run. Name a new or empty directory."
        )
    split = split_patients(archive.patients, options.split_seed, training_share=options.training_share)
    if options.model == BUILT_IN:
        check_crop_size((archive.size, archive.size), options.depth)
    rows = select_rows(archive, split, options.readers)
    directory.mkdir(parents=True, exist_ok=True)
    lock = _locked_by_this_process(directory)
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


def _locked_by_this_process(directory: Path) -> FileLock:
    """The lock of a run's directory, one object for all of this process, which may open a run more than once."""
    lock = FileLock(directory / LOCK, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=_LOCK_WAIT_S)
    except Timeout:
        raise lock_held(directory / LOCK, "making this run") from None
    return lock


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


def earlier_attempts(directory: Path) -> "FootprintRecord | None":
    """What earlier attempts in this directory have used; a torn record tells nothing."""
    from carbon_midl.footprint import read_footprint

    try:
        return read_footprint(directory / FOOTPRINT)
    except InputError:
        return None


def fingerprint(options: RunOptions, archive: CropArchive, code: str | None = None) -> Fingerprint:
    """Return the fingerprint of a run with ``options`` on ``archive`` under today's code.

    Args:
        options: of the run.
        archive: its crops.
        code: from ``code_fingerprint``, where it was made for other runs a moment ago.
    """
    values, code = fingerprinted(options.model_dump()), code or code_fingerprint()
    if options.model != BUILT_IN:
        code = _short(code.encode() + source_of(options.model))
    return Fingerprint(
        options=_short(json.dumps(values, sort_keys=True).encode()), crops=archive.fingerprint[:12], code=code
    )


def training_fingerprint(options: RunOptions, archive: CropArchive) -> str:
    """Return the fingerprint of a training, which a budget may end early but does not change."""
    without_budget = options.model_copy(update={"budget_g": 0.0, "budget_kwh": 0.0})
    return "-".join(asdict(fingerprint(without_budget, archive)).values())


def code_fingerprint() -> str:
    """Return a hash of what the modules that decide a run's numbers compute.

    Comments, docstrings, the order of statements at the top of a module and the names of this package's modules do not
    count, so that code may be explained, moved and renamed without making earlier runs stale.
    """
    package = Path(__file__).parents[1]
    with _PARSING:
        statements = {
            text for name in DECIDING_MODULES for text in _statements((package / name).read_text(encoding="utf-8"))
        }
    return _short("\n".join(sorted(statements)).encode())


def _statements(source: str) -> Iterator[str]:
    """The statements at the top of a module as canonical text, which all Python versions give alike."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("carbon_midl"):
            # Where a name comes from does not count, only that it is called otherwise here.
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
        fit: what training gave.
        precision: number format of its convolutions.
        scores: a row a slice, with ``part`` "validation" or "test".
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
    # With a larger budget, training could go on; otherwise nothing is left to be gone on with.
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
    """Dice of a table of slice scores, and how many slices and patients it has."""
    return {
        "dice": float(scores["dice"].mean()),
        "dice_patients": float(scores.groupby("patient_id")["dice"].mean().mean()),
        "patients": int(scores["patient_id"].nunique()),
        "slices": len(scores),
    }


def _belongs_to_a_run(path: Path) -> bool:
    """Whether an interrupted run, or papermill on its way, may have left ``path``."""
    return path.name in RUN_FILES or path.suffix in (".ipynb", ".log") or is_left_over(path, RUN_FILES)


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def describe_environment() -> dict[str, Any]:
    """Return hardware, versions and the code's commit, as they go into a run's result."""
    return {"hardware": hardware(), "versions": versions(), "commit": commit()}


def hardware() -> dict[str, Any]:
    """Return processor, logical cores in use, memory in GB, and the GPUs that torch sees."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpus,
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and those that decide its numbers."""
    found = {"python": platform.python_version(), "carbon_midl": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the code's git commit, with ``-dirty`` when files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
