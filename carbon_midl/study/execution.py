"""Execute one run's notebook with papermill, in a process of its own that can be stopped with its kernel."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from carbon_midl.run_files import RESULT
from carbon_midl.study.starter import Process, Starter

NOTEBOOK = "notebook.ipynb"
PARTIAL = f".partial-{NOTEBOOK}"
FAILED = f"failed-{NOTEBOOK}"
_POLL_S = 0.5
# Long enough to end a batch of a wide network on a slow processor and to save.
_SAVING_S = 60
_ENDING_S = 10


def execute(
    notebook: Path,
    directory: Path,
    parameters: dict[str, Any],
    poll: Callable[[], None],
    starter: Starter,
    lock: int | None = None,
) -> bool:
    """Execute ``notebook`` into ``directory``.

    The executed notebook gets its name on success; of a failed one the part that was executed is kept as
    ``failed-notebook.ipynb``.

    Args:
        notebook: to execute.
        directory: of the run.
        parameters: for the notebook's parameters cell.
        poll: called twice a second while it runs; what it raises stops the run, which saves its training first.
        starter: of its process; the parameters' paths count from its directory.
        lock: file descriptor of the run's lock. Papermill holds it, too, so that a run whose runner was killed goes on
            undisturbed.

    Returns:
        Whether it succeeded.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FAILED).unlink(missing_ok=True)
    executed = directory / PARTIAL
    # Papermill writes both paths into the notebook; relative ones tell nothing of this machine.
    paths = [str(path.relative_to(starter.root)) for path in (notebook, executed)]
    with (directory / "papermill.log").open("wb") as log:
        process = starter.start([*paths, json.dumps(parameters)], log, lock, poll)
        kernels: list[psutil.Process] = []
        try:
            while process.poll() is None:
                kernels = _children(process) or kernels
                poll()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
        except BaseException:
            _stop(process)
            raise
        finally:
            # Of a papermill that was killed a kernel may be left, still writing.
            _end(kernels)
    if process.returncode == 0 and (directory / RESULT).is_file():
        executed.rename(directory / NOTEBOOK)
        (directory / FAILED).unlink(missing_ok=True)
        return True
    if executed.exists():
        executed.rename(directory / FAILED)
    return False


def _stop(process: Process) -> None:
    """Let the kernel save its training, then interrupt papermill, then insist."""
    for kernel in _children(process):
        with suppress(psutil.NoSuchProcess):
            kernel.terminate()
    # A kernel that has saved ends its cell with an error, and papermill ends with it.
    for number, patience_s in ((None, _SAVING_S), (signal.SIGINT, _ENDING_S), (signal.SIGKILL, _ENDING_S)):
        try:
            if number is not None:
                os.killpg(process.pid, number)
            process.wait(timeout=patience_s)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _children(process: Process) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []


def _end(kernels: list[psutil.Process]) -> None:
    for kernel in kernels:
        with suppress(psutil.NoSuchProcess):
            kernel.kill()
    psutil.wait_procs(kernels, timeout=_ENDING_S)
