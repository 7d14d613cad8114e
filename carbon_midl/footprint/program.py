"""Run any program as a child, so that its footprint can be measured from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from carbon_midl.errors import InputError

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_KILLED = 128


def run_program(command: Sequence[str]) -> int:
    """Run a program to its end and return its exit code, 128 + n where signal n ended it, as a shell does.

    Signals that ask this process to end, or that a program may use, go to the program instead.

    Args:
        command: the program and its arguments; no shell reads them.

    Raises:
        InputError: there is no such program, or it cannot be executed.
    """
    process: subprocess.Popen[bytes] | None = None
    waiting: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if process is None:
            waiting.append(number)
        elif not (number in (signal.SIGINT, signal.SIGQUIT) and _is_in_foreground()):
            process.send_signal(number)

    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        process = subprocess.Popen(command)
        for number in waiting:
            process.send_signal(number)
        code = process.wait()
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be run ({error.strerror}); check its name, or give its path") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else _KILLED - code


def _is_in_foreground() -> bool:
    """Whether the terminal's keys (Ctrl-C) reach the program, too: a second signal would cut its ending short."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) == os.getpgrp()  # type: ignore[union-attr]
    except (OSError, AttributeError, ValueError):
        return False
