"""One training at a time on a metered GPU.

The energy counter of a board counts everybody on it. Whoever trains there keeps the others waiting, so that what was
counted is the training's; what needs no GPU, such as the start of the next run, goes on beside it.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from carbon_midl.files import is_locked, locked


def machine_lock(name: str) -> Path:
    """The lock's file for what this machine has one of, such as a GPU; the same for all programs of this user."""
    return Path(tempfile.gettempdir()) / f"carbon-midl-{os.getuid()}-{name}.lock"


@contextmanager
def gpu_lock(boards: Sequence[str], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep others from these boards, once those who are on them have finished.

    Args:
        boards: their names, the same in every program; see :func:`carbon_midl.footprint.nvml.visible_boards`.
        on_wait: called once where somebody is there.
    """
    # In one order, so that two who want the same two boards do not wait for each other.
    paths = [machine_lock(f"{board}-training") for board in sorted(set(boards))]
    if any(is_locked(path) for path in paths):
        on_wait()
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(locked(path))
        yield
