"""One process at a time on a file or directory; a lock ends with the process that holds it, however that ends."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from carbon_midl.errors import InputError

_POLL_S = 0.2


def machine_lock(name: str) -> Path:
    """The lock's file for what this machine has one of, such as a GPU; the same for all programs of this user."""
    return Path(tempfile.gettempdir()) / f"carbon-midl-{os.getuid()}-{name}.lock"


@contextmanager
def sole_holder(path: Path, what: str) -> Iterator[int]:
    """Hold the lock ``path``, and yield its file descriptor, which a child process may inherit.

    Args:
        path: the lock's file; made when needed.
        what: what another process is doing that holds it, such as "running this study".

    Raises:
        InputError: another process holds it.
    """
    with path.open("a") as lock:
        if not _taken(lock.fileno(), fcntl.LOCK_EX):
            raise InputError(
                f"{path.parent}: another process is {what}. Wait for it, or stop it ('fuser {path}' names it)."
            )
        yield lock.fileno()


@contextmanager
def next_holder(path: Path, poll: Callable[[], None] = lambda: None) -> Iterator[int]:
    """As ``sole_holder``, but waits for whoever holds it; ``poll`` is called meanwhile, and may raise to give up."""
    with path.open("a") as lock:
        while not _taken(lock.fileno(), fcntl.LOCK_EX):
            poll()
            time.sleep(_POLL_S)
        yield lock.fileno()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        with path.open() as lock:
            return not _taken(lock.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _taken(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
