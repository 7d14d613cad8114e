"""Taking turns on a metered GPU.

Its counter counts everybody on the board. Whoever trains there keeps the others waiting, so that what was counted is
the training's; what needs no GPU, such as the start of the next run, goes on beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from carbon_midl.locks import machine_lock, next_holder


@contextmanager
def turn(boards: Sequence[str], on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep others from these boards, once those who are on them have finished.

    Args:
        boards: their names, the same in every program; see :func:`carbon_midl.footprint.nvml.visible_boards`.
        on_wait: called once where somebody is there.
    """
    told = False

    def waiting() -> None:
        nonlocal told
        if not told:
            told = True
            on_wait()

    with ExitStack() as stack:
        # In one order, so that two who want the same two boards do not wait for each other.
        for board in sorted(set(boards)):
            stack.enter_context(next_holder(machine_lock(f"{board}-turn"), waiting))
        yield
