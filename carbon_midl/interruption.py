"""A request to end, taken when it suits: Ctrl-C, or the SIGTERM of a cluster or a system that shuts down."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """Whether the process was asked to end, and by which signal."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None

    def leave(self, told: str) -> NoReturn:
        """End as the signal wants: by KeyboardInterrupt, or with the exit code of a process that SIGTERM ended."""
        if self.by is signal.SIGTERM:
            print(told, flush=True)
            raise SystemExit(128 + self.by)
        raise KeyboardInterrupt(told)


@contextmanager
def asked_to_end() -> Iterator[Asked]:
    """Note the first request to end instead of obeying it at once; a second one is obeyed.

    Outside the main thread, where Python takes no signals, nothing is changed.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.by is not None:
            raise KeyboardInterrupt
        asked.by = signal.Signals(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
