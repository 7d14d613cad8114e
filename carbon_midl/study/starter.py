"""Start the processes in which papermill executes the runs of one place."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from carbon_midl.study.devices import Slot

PLATFORM = sys.platform
"""Forks after such imports are safe on Linux; on macOS some of its own libraries forbid them."""
_READY_S = 0.5
_FORKED_S = 60
_LONGEST_ANSWER = 1 << 10
_SERVER_LOST = (
    b"The process 'midl-server', from which runs are started, has ended; perhaps it was killed for want of memory. "
    b"Started again, the run goes on from its checkpoint.\n"
)


class Process(Protocol):
    """As much of :class:`subprocess.Popen` as a runner needs, of a process in a session of its own."""

    pid: int
    returncode: int | Any

    def poll(self) -> int | None:
        """Its return code, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its return code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not in this time, s.
        """


class Starter:
    """Starts one process at a time: on Linux a fork of one that has imported torch and more, once a study.

    Elsewhere, and where that one cannot be had, a process is started anew each time. Both execute
    :mod:`carbon_midl.study.papermill_run`. Leave it as a context, so that nothing stays behind.

    Args:
        root: the directory that the processes work in.
        slot: the place that they are for; they get its environment.
    """

    def __init__(self, root: Path, slot: Slot) -> None:
        self.root, self.slot = root, slot
        self._server: _ForkServer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    def start(self, arguments: list[str], log: BinaryIO, lock: int | None, poll: Callable[[], None]) -> Process:
        """Start a process; the one before it must have ended.

        Args:
            arguments: of :mod:`carbon_midl.study.papermill_run`.
            log: gets its output.
            lock: file descriptor that stays open in it.
            poll: called twice a second while it does not run yet; what it raises is passed on.
        """
        environment = {**os.environ, **self.slot.environment}
        if PLATFORM == "linux":
            self._server = self._server or _ForkServer(self.root, environment)
            while not self._server.ready(_READY_S):
                poll()
            try:
                return self._server.fork(arguments, log, lock)
            except ConnectionError:  # the next run gets another one
                self._server.close()
                self._server = None
        return subprocess.Popen(
            [sys.executable, "-m", "carbon_midl.study.papermill_run", *arguments],
            cwd=self.root,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )


class _ForkServer:
    """A process of :mod:`carbon_midl.study.fork_server`."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._socket, served = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with served:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "carbon_midl.study.fork_server"],
                cwd=root,
                stdin=served.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._ready = False
        self._forked: _Fork | None = None

    def ready(self, timeout_s: float) -> bool:
        """Whether it takes requests, or has ended; waits for that so long."""
        if not self._ready:
            try:
                self._ready = self.answer(timeout_s) is not None
            except ConnectionError:
                self._ready = True
        return self._ready

    def fork(self, arguments: list[str], log: BinaryIO, lock: int | None) -> "_Fork":
        """Ask for a process; returns it when it runs.

        Raises:
            ConnectionError: there will be none.
        """
        descriptors = [log.fileno(), *([] if lock is None else [lock])]
        socket.send_fds(self._socket, [json.dumps(arguments).encode()], descriptors)
        answer = self.answer(_FORKED_S)
        if answer is None or "pid" not in answer:
            raise ConnectionResetError("the process that starts runs did not start one")
        self._forked = _Fork(self, answer["pid"], log)
        return self._forked

    def answer(self, timeout_s: float | None) -> dict[str, int] | None:
        """The next message, or None where there is none in this time.

        Raises:
            ConnectionError: there will be none.
        """
        self._socket.settimeout(timeout_s)
        try:
            message = self._socket.recv(_LONGEST_ANSWER)
        except (TimeoutError, BlockingIOError):
            return None
        if not message:
            raise ConnectionResetError("the process that starts runs has ended")
        return dict(json.loads(message))

    def close(self) -> None:
        """End it, unless a process of its is still waited for, by another thread; then it ends with the runner."""
        if self._forked is not None and self._forked.returncode is None:
            return
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _Fork:
    """A process that a fork server has started and tells the end of."""

    def __init__(self, server: _ForkServer, pid: int, log: BinaryIO) -> None:
        self._server, self._log = server, log
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("papermill", timeout or 0.0)
        return code

    def _ended(self, timeout_s: float | None) -> int | None:
        if self.returncode is None:
            try:
                if answer := self._server.answer(timeout_s):
                    self.returncode = answer["returncode"]
            except ConnectionError:
                # Nobody will tell how it ends, so it ends now.
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self._log.write(_SERVER_LOST)
                self.returncode = -signal.SIGKILL
        return self.returncode
