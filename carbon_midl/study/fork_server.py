"""A process that has imported what every run needs, and forks from itself the papermill of one run after the other.

Importing torch and matplotlib takes most of the time that a run takes beside its training; here that is done once a
study. Of this package a kernel gets nothing: it imports the code that decides the run's numbers itself, so that it is
the code whose fingerprint is written down, also where that was edited while the study was made.

:class:`carbon_midl.study.starter.Starter` starts this process, its standard input being a socket. Each message is JSON:
the process says ``{}`` when it is ready; each request has the arguments of :mod:`carbon_midl.study.papermill_run`, and
with it come the descriptors of the log and of the run's lock. The fork answers ``{"pid": …}`` when it has a session of
its own, and the process ``{"returncode": …}`` when that has ended.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# Not what looks around as it is imported, and would find no kernel here: ipykernel.kernelapp, which takes from the
# environment with whom it is to end; pandas, which then shows fewer columns; tqdm.auto, and papermill with it.
_MODULES = (
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "matplotlib.pyplot",
    "pyarrow",
    "pydantic",
    "safetensors.torch",
    "scipy.special",
    "torch",
)
_LONGEST_REQUEST = 1 << 20
_DESCRIPTORS = 2


def main() -> None:
    """Serve until the runner is gone."""
    name_process("midl-server")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, nobody could wait for a fork
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
                _become_papermill(runner, request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            _, status = os.waitpid(pid, 0)
            _tell(runner, {"returncode": os.waitstatus_to_exitcode(status)})


def name_process(name: str) -> None:
    """Give this process a name of at most 15 characters, which ``ps`` and ``top`` show: forks look all the same."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def _import() -> None:
    # Matplotlib takes it once, at its import; a kernel sets it later, for its own.
    if not os.environ.get("MPLBACKEND"):
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    gc.disable()
    for module in _MODULES:
        # Whatever is wrong with one, the notebook has to import it, too, and says so.
        with suppress(Exception):
            importlib.import_module(module)
    gc.freeze()  # or a collection in a fork would copy what it shares with this process
    gc.enable()
    sys.stdout.flush()  # what they print is of no run


def _tell(runner: socket.socket, message: dict[str, int]) -> None:
    runner.send(json.dumps(message).encode())


def _become_papermill(runner: socket.socket, request: bytes, descriptors: list[int]) -> NoReturn:
    """In the fork: execute the notebook, with the log as output, in a session of its own; the lock stays open."""
    try:
        os.setsid()
        _tell(runner, {"pid": os.getpid()})
        nothing, log = os.open(os.devnull, os.O_RDONLY), descriptors[0]
        runner.detach()  # it is descriptor 0
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(log)
        for lock in descriptors[1:]:
            os.set_inheritable(lock, False)  # a program that the notebook starts is not the run
        from carbon_midl.study.papermill_run import run
        from carbon_midl.study.spare_kernel import SpareKernel

        spare = SpareKernel()
        name_process("midl-papermill")
        run(json.loads(request), spare)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # nothing may go on from here as if it were the server


if __name__ == "__main__":
    main()
