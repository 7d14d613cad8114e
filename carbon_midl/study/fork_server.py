"""A process that has imported what every run needs, and forks from itself the papermill of one run after the other.

Importing torch, pandas and matplotlib takes most of the time that a run takes beside its training; here that is done
once a study. Nothing of this package is among it: a run imports the code that decides its numbers itself, so that it is
the code whose fingerprint it writes down, also where that was edited while the study was made.

:class:`carbon_midl.study.starter.Starter` starts this process, its standard input being a socket. Each message is JSON:
the process says ``{}`` when it is ready; each request has the arguments of :mod:`carbon_midl.study.papermill_run`, and
with it come the descriptors of the log and of the run's lock; answers are ``{"pid": …}`` and, once that has ended,
``{"returncode": …}``.
"""

import gc
import importlib
import json
import os
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# Not ipykernel.kernelapp, which takes from the environment, at its import, whose kernel it is to end with.
_MODULES = (
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "papermill.execute",
    "pandas",
    "pydantic",
    "scipy.special",
    "matplotlib.pyplot",
    "safetensors.torch",
    "torch",
)
_LONGEST_REQUEST = 1 << 20
_DESCRIPTORS = 2


def main() -> None:
    """Serve until the runner is gone."""
    name_process("midl-server")
    _import()
    runner = socket.socket(fileno=sys.stdin.fileno())
    with suppress(ConnectionError):
        _tell(runner, {})
        while True:
            request, descriptors, *_ = socket.recv_fds(runner, _LONGEST_REQUEST, _DESCRIPTORS)
            if not request:
                break
            pid = os.fork()
            if pid == 0:
                runner.detach()
                _become_papermill(json.loads(request), descriptors[0])
            for descriptor in descriptors:
                os.close(descriptor)
            _tell(runner, {"pid": pid})
            _, status = os.waitpid(pid, 0)
            _tell(runner, {"returncode": os.waitstatus_to_exitcode(status)})


def name_process(name: str) -> None:
    """Give this process a name of at most 15 characters, which ``ps`` and ``top`` show: forks look all the same."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _import() -> None:
    # Matplotlib takes it once, at its import; a kernel sets it later, for its own.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    gc.disable()
    for module in _MODULES:
        # Whatever is wrong with one, the notebook meets it, too, and says so.
        with suppress(Exception):
            importlib.import_module(module)
    gc.freeze()  # or a collection in a fork would copy what it shares with this process
    gc.enable()


def _tell(runner: socket.socket, message: dict[str, int]) -> None:
    runner.send(json.dumps(message).encode())


def _become_papermill(arguments: list[str], log: int) -> NoReturn:
    """In the fork: execute the notebook, with the log as output, in a session of its own; the lock stays open."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):  # 0 was the runner's socket
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        from carbon_midl.study.papermill_run import run
        from carbon_midl.study.spare_kernel import SpareKernel

        spare = SpareKernel()
        name_process("midl-papermill")
        run(arguments, spare)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # nothing may go on from here as if it were the server


if __name__ == "__main__":
    main()
