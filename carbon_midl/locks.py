"""One process at a time on a directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carbon_midl.errors import InputError


@contextmanager
def sole_holder(path: Path, what: str) -> Iterator[int]:
    """Hold the lock ``path``, and yield its file descriptor, which a child process may inherit.

    Args:
        path: the lock's file; made when needed. Its lock ends with the process, however that ends.
        what: what another process is doing that holds it, such as "running this study".

    Raises:
        InputError: another process holds it.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{path.parent}: another process is {what}. Wait for it, or stop it ('fuser {path}' names it)."
            ) from None
        yield lock.fileno()
