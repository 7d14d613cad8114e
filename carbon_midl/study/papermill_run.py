"""Execute one notebook as papermill's command does, sooner: a study starts it once a run.

    python -m carbon_midl.study.papermill_run NOTEBOOK EXECUTED PARAMETERS

PARAMETERS is JSON. The kernel starts while papermill is being imported, and is ended at once. Papermill's command would
wait one to two seconds for it to end in order; but with the last cell of a run all its files are written.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from jupyter_core.utils import run_sync

# As nbclient starts it: the history is not for other notebooks.
_KERNEL_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]


def run(arguments: list[str], provisioner: KernelProvisionerBase | None = None) -> NoReturn:
    """Execute the notebook and end this process, with 1 where a cell failed; its traceback is on standard error.

    Args:
        arguments: NOTEBOOK, EXECUTED and PARAMETERS.
        provisioner: of a kernel for whose kind nothing else is set up; None takes Jupyter's.
    """
    code = 1
    try:
        notebook, executed, parameters = arguments
        code = _execute(notebook, executed, parameters, provisioner)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Taking down what papermill has imported takes a quarter of a second, and nothing is left to be written.
        os._exit(code)


def _execute(notebook: str, executed: str, parameters: str, provisioner: KernelProvisionerBase | None) -> int:
    with _kernel(notebook, provisioner) as kernel:
        from papermill.exceptions import PapermillExecutionError
        from papermill.execute import execute_notebook

        try:
            execute_notebook(notebook, executed, json.loads(parameters), progress_bar=False, km=kernel)
        except PapermillExecutionError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


@contextmanager
def _kernel(notebook: str, provisioner: KernelProvisionerBase | None) -> Iterator[AsyncKernelManager]:
    """The kernel that a notebook asks for, from its start to its end."""
    metadata = json.loads(Path(notebook).read_text(encoding="utf-8"))["metadata"]
    # A notebook that names no kernel is papermill's to refuse.
    manager = AsyncKernelManager(kernel_name=metadata.get("kernelspec", {}).get("name", "python3"))
    specification = manager.kernel_spec
    if provisioner is not None and specification is not None and "kernel_provisioner" not in specification.metadata:
        provisioner.kernel_spec, provisioner.parent = specification, manager
        manager.provisioner = provisioner
    run_sync(manager.start_kernel)(extra_arguments=_KERNEL_ARGUMENTS)
    try:
        yield manager
    finally:
        run_sync(manager.shutdown_kernel)(now=True)


if __name__ == "__main__":
    run(sys.argv[1:])
