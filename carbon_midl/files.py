"""Writing files and directories whole or not at all."""

import gzip
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError

_LEVEL = 6
"""Of gzip: the highest takes several times as long for some per cent."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_over(directory: Path, names: Iterable[str]) -> None:
    """Remove what `replaced` has left of files of these names where it was killed.

    Only for a directory that nobody else writes to.
    """
    for name in names:
        for path in directory.glob(f".{name}-????????"):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; a reader sees the old file or the new one, never a part."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


def write_gzipped(path: Path, text: str) -> None:
    """Write ``text`` compressed, whole or not at all; without name and time in it, equal texts make equal files."""
    write_bytes(path, compressed(text.encode()))


def compressed(content: bytes) -> bytes:
    """The content as gzip writes it, without name and time."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=packed, mtime=0) as out:
        out.write(content)
    return packed.getvalue()


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}). Make the file again or restore it.") from None


def refuse_occupied(path: Path) -> None:
    """Refuse a place for a new directory where there is something already.

    Raises:
        InputError: ``path`` exists and is not an empty directory.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f"{path}: already exists and is not an empty directory. Choose another place, or remove it first."
        )


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling directory that becomes ``path`` on success and is removed on failure.

    Raises:
        InputError: ``path`` exists and is not an empty directory.
    """
    path = Path(path).absolute()
    refuse_occupied(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling directory that takes the place of ``path``, and of all it held, on success."""
    path = Path(path).absolute()
    old = path.with_name(f".{path.name}-old")
    # A crash between the two renames below leaves the old state under this name.
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    """The process's umask; the standard library can only read it by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
