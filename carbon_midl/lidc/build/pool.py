"""Work in processes that a crash, Ctrl-C or a killed parent cannot leave in disorder."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 4  # tasks a process that are waiting or being worked on


def in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Generator[tuple[Task, Result | None], None, None]:
    """Yield every task with its result, in order; None where its process died of it.

    Tasks are taken a few at a time. Close the iterator (`contextlib.closing`) to have the processes end.

    Args:
        work: a function of a module.
        tasks: what is sent to it.
        jobs: processes.
    """
    rest = iter(tasks)
    waiting: deque[tuple[Task, Future[Result]]] = deque()
    pool = _pool(jobs)
    try:
        while True:
            for task in islice(rest, _AHEAD * jobs - len(waiting)):
                waiting.append((task, _submit(pool, work, task)))
            if not waiting:
                return
            task, future = waiting.popleft()
            try:
                result: Result | None = future.result()
            except BrokenProcessPool:
                # A dead process takes the whole pool with it; which task it died of shows when each is run alone.
                pool.shutdown(cancel_futures=True)
                result = _alone(work, task)
                pool = _pool(jobs)
                waiting = deque(
                    (other, begun if _succeeded(begun) else _submit(pool, work, other)) for other, begun in waiting
                )
            yield task, result
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, work: Callable[[Task], Result], task: Task) -> "Future[Result]":
    try:
        return pool.submit(work, task)
    except BrokenProcessPool as broken:
        failed: Future[Result] = Future()
        failed.set_exception(broken)
        return failed


def _succeeded(future: "Future[Result]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _alone(work: Callable[[Task], Result], task: Task) -> Result | None:
    with _pool(1) as pool:
        try:
            return pool.submit(work, task).result()
        except BrokenProcessPool:
            return None


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start)


def _start() -> None:
    """In each process: leave Ctrl-C to the parent, which lets begun work finish, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
