"""Files and directories that are written whole or not at all, and by one process at a time."""

import errno
import gzip
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from carbon_midl.errors import InputError

with suppress(ImportError):  # Windows has none; nothing is trained in studies there, but labs read results
    import fcntl

# The highest level of gzip takes several times as long and saves some per cent.
_GZIP_LEVEL = 6
_WAIT_S = 0.5
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
# Errors that say that a place cannot be written to, and those of the disk, which may come without a place.
_PLACES = (errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM)
_DISK = (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE, *_NO_LOCKS)


def in_words(error: InputError | OSError) -> str:
    """Say what was refused, where, and the way out; "" for an error that may be a mistake in the code."""
    if isinstance(error, InputError):
        return str(error)
    place = error.filename2 or error.filename
    if error.errno not in _DISK and not (place and error.errno in _PLACES):
        return ""
    way_out = "see to the place (its permissions, its space), and the same command goes on."
    return f"{place or 'the disk'}: {error.strerror}. Nothing done is lost; {way_out}"


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file beside ``path`` that replaces it on success and is removed on failure."""
    temporary = _beside(path)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it became the file, or could not be made
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; readers see the old file or the new one, never a part of it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def write_gzipped(path: Path, text: str) -> None:
    """Write ``text`` compressed, whole or not at all; equal texts make equal files."""
    write_bytes(path, compressed(text.encode()))


def compressed(content: bytes) -> bytes:
    """Compress ``content`` by gzip, without a file name or time in it."""
    return gzip.compress(content, _GZIP_LEVEL, mtime=0)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}). Make the file again or restore it.") from None


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait for the lock ``path`` and hold it; the operating system releases it if this process is killed.

    Args:
        path: the lock's file, which is created if it is missing, and stays.
        on_wait: called twice a second while another process holds the lock; an exception from it ends the waiting.
    """
    check_locks(path)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_WAIT_S)
            break
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        lock.release()


def check_locks(path: Path) -> None:
    """Check that the lock ``path`` can be held; `InputError` where its file system has none that end with a process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a") as file, suppress(BlockingIOError):  # held by another process
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise InputError(
            f"{path}: this file system has no locks ({error.strerror}), which keep two processes from one directory. "
            "Work on a local disk and copy the results, or have this one mounted with locks."
        ) from None


@contextmanager
def locked_or_refused(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock ``path`` if it is free.

    Raises:
        InputError: another process, which is ``doing`` something, such as "building this archive", holds it.
    """

    def refuse() -> None:
        raise lock_held(path, doing)

    with locked(path, refuse):
        yield


def lock_held(path: Path, doing: str) -> InputError:
    """The error for a lock that another process holds, which is ``doing`` something."""
    return InputError(f"{path.parent}: another process is {doing}. Wait for it, or stop it ('fuser {path}' names it).")


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock ``path`` now. Nothing is created or written, so a read-only disk will do."""
    try:
        with path.open() as file:
            # Shared, so that several may look at the same time; closing the file ends it.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or none that this user may read
        return False
    return False


def refuse_occupied(path: Path) -> None:
    """Check that a new directory can be made at ``path``.

    Raises:
        InputError: ``path`` exists and is not an empty directory.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{path}: already exists and is not an empty directory. Choose another place, or remove it first."
        )


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside ``path`` that is renamed to it on success and removed on failure.

    Raises:
        InputError: ``path`` exists and is not an empty directory.
    """
    path = Path(path).absolute()
    refuse_occupied(path)
    with _temporary_sibling(path) as temporary:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory that replaces ``path`` and everything in it on success."""
    path = Path(path).absolute()
    old = path.with_name(f".{path.name}-old")
    # A crash between the two renames below leaves the old state under this name.
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    with _temporary_sibling(path) as temporary:
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _temporary_sibling(path: Path) -> Iterator[Path]:
    """A directory beside ``path`` that is gone in the end, unless it was renamed."""
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}")
