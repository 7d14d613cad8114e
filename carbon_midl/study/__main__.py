"""Execute a run's notebook by papermill: ``python -m carbon_midl.study NOTEBOOK EXECUTED PARAMETERS``.

Jupyter may know another environment's kernel by the notebook's name for it; the kernel here is this Python's, reached
through files of its own, not over TCP. What was executed is written last, so that a full disk costs no result.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import papermill
import yaml
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager


class OwnKernel(AsyncKernelManager):
    """A kernel of this Python: where no kernel is looked for, that of the ipykernel beside it is left."""

    def __init__(self, **options: Any) -> None:
        # The path of a socket may have some hundred characters.
        options |= {"transport": "ipc" if len(folder) < 70 else "tcp", "connection_file": f"{folder}/kernel.json"}
        super().__init__(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **options)


if __name__ == "__main__":
    notebook, executed, parameters = sys.argv[1:]
    given = yaml.safe_load(Path(parameters).read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="kernel-") as folder:
        own = {"request_save_on_cell_execute": False, "kernel_manager_class": OwnKernel}
        papermill.execute_notebook(notebook, executed, given, progress_bar=False, **own)
