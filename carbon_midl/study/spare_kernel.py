"""Python's own kernel as a fork of the process that asks for it, which has imported already what a kernel imports."""

import json
import os
import runpy
import signal
import sys
import traceback
from typing import Any, NoReturn

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from carbon_midl.study.fork_server import name_process

# What jupyter_client may put between the interpreter and "-m"; it concerns debuggers.
_FLAG = "-Xfrozen_modules=off"


class SpareKernel(LocalProvisioner):
    """Starts a kernel in a fork that was made when this was, and waits for its command.

    To be made before the first event loop and the first socket, which a fork must not share. A notebook's kernel that
    is not this very Python's, or wants an environment of its own, is started as always. The fork keeps the run's lock
    open, so that nobody else makes the run while a kernel whose papermill was killed still writes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        reading, self._command = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(self._command)
            _become_kernel(reading, parent)
        os.close(reading)
        self._spare = _Child(pid)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Give the fork its command."""
        arguments = None if self.kernel_spec.env else _launcher(cmd)
        with os.fdopen(self._command, "w", encoding="utf-8") as command:
            if arguments is not None:
                json.dump({"arguments": arguments, "environment": kwargs["env"], "cwd": kwargs.get("cwd")}, command)
        if arguments is None:
            self._spare.wait()
            return await super().launch_kernel(cmd, **kwargs)
        self.process = self._spare  # type: ignore[assignment]
        self.pid = self.pgid = self._spare.pid
        return self.connection_info


class _Child:
    """As much of :class:`subprocess.Popen` as a provisioner needs."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._waited(os.WNOHANG)

    def wait(self) -> int | None:
        return self._waited(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _waited(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _launcher(command: list[str]) -> list[str] | None:
    """The module that this very Python is to run, and its arguments; None where it is something else."""
    interpreter, *rest = command
    if rest[:1] == [_FLAG]:
        rest = rest[1:]
    return rest[1:] if interpreter == sys.executable and rest[:1] == ["-m"] else None


def _become_kernel(reading: int, parent: int) -> NoReturn:
    """In the fork: wait for a command and follow it."""
    code = 1
    try:
        os.setsid()
        name_process("midl-kernel")
        with os.fdopen(reading, encoding="utf-8") as command:
            request = command.read()
        # Without a command there is no use for it, or papermill is gone; of one just gone no kernel would notice.
        if request and os.getppid() == parent:
            _follow(**json.loads(request), parent=parent)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing may go on from here as if it were papermill


def _follow(arguments: list[str], environment: dict[str, str], cwd: str | None, parent: int) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.environ["JPY_PARENT_PID"] = str(parent)  # a kernel ends when its parent does
    if cwd is not None:
        os.chdir(cwd)
    # The notebook is to get this package as it is now, not as papermill's process has it in part.
    for name in [name for name in sys.modules if name.partition(".")[0] == __name__.partition(".")[0]]:
        del sys.modules[name]
    # What draws without a seed is not to draw the same in each run; Python's own generator sees to that itself.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()
    module, *sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
