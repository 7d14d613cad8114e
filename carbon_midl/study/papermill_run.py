"""Execute one notebook as papermill's command does, sooner: a study starts it once a run.

    python -m carbon_midl.study.papermill_run NOTEBOOK EXECUTED PARAMETERS

PARAMETERS is JSON. The kernel starts while papermill is being imported, and is ended at once. Papermill's command would
wait one to two seconds for it to end in order; but with the last cell of a run all its files are written.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

# As nbclient starts it: the history is not for other notebooks.
_KERNEL_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]


def main() -> int:
    """Execute the notebook; returns 1 where one of its cells failed, with its traceback on standard error."""
    notebook, executed, parameters = sys.argv[1:]
    with _kernel(notebook) as kernel:
        from papermill.exceptions import PapermillExecutionError
        from papermill.execute import execute_notebook

        try:
            execute_notebook(notebook, executed, json.loads(parameters), progress_bar=False, km=kernel)
        except PapermillExecutionError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


@contextmanager
def _kernel(notebook: str) -> Iterator[AsyncKernelManager]:
    """The kernel that a notebook asks for, from its start to its end."""
    metadata = json.loads(Path(notebook).read_text(encoding="utf-8"))["metadata"]
    # A notebook that names no kernel is papermill's to refuse.
    manager = AsyncKernelManager(kernel_name=metadata.get("kernelspec", {}).get("name", "python3"))
    run_sync(manager.start_kernel)(extra_arguments=_KERNEL_ARGUMENTS)
    try:
        yield manager
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Taking down what papermill has imported takes a quarter of a second, and nothing is left to be written.
    os._exit(code)
