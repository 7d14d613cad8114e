"""Execute one run's notebook with papermill, in a process of its own that can be stopped with its kernel."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from carbon_midl.run_files import RESULT

NOTEBOOK = "notebook.ipynb"
_POLL_S = 0.5
# Long enough to end a batch of a wide network on a slow processor and to save.
_SAVING_S = 60
_ENDING_S = 10


def execute(notebook: Path, directory: Path, parameters: dict[str, Any], poll: Callable[[], None]) -> bool:
    """Execute ``notebook`` into ``directory``.

    The executed notebook gets its name on success; of a failed one the part that was executed is kept as
    ``failed-notebook.ipynb``.

    Args:
        notebook: to execute.
        directory: of the run.
        parameters: for the notebook's parameters cell.
        poll: called twice a second while it runs.

    Returns:
        Whether it succeeded.
    """
    directory.mkdir(parents=True, exist_ok=True)
    executed = directory / f".partial-{NOTEBOOK}"
    root = notebook.parent.parent
    # Papermill writes both paths into the notebook; relative ones tell nothing of this machine.
    paths = [str(path.relative_to(root)) for path in (notebook, executed)]
    # As YAML writes them: papermill would take JSON's 1e-05 for a text.
    encoded = base64.b64encode(yaml.safe_dump(parameters, allow_unicode=True).encode()).decode()
    options = ["--no-progress-bar", "--log-level", "ERROR", "-b", encoded]
    with (directory / "papermill.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "papermill", *paths, *options],
            cwd=root,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=False,  # papermill inherits the study's lock
        )
        try:
            while process.poll() is None:
                poll()
                time.sleep(_POLL_S)
        except BaseException:
            _stop(process)
            raise
    if process.returncode == 0 and (directory / RESULT).is_file():
        executed.rename(directory / NOTEBOOK)
        return True
    if executed.exists():
        executed.rename(directory / f"failed-{NOTEBOOK}")
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Let the kernel save its training, then interrupt papermill, then insist."""
    import psutil

    try:
        kernels = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return
    for kernel in kernels:
        try:
            kernel.terminate()
        except psutil.NoSuchProcess:
            continue
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
