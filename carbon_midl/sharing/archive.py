"""The packed file: a zip whose ``pack.json`` has the size and SHA-256 of every other file in it.

Files are stored without compression: the one large table is compressed already, and equal content then gives equal
bytes whatever compresses on a machine. A file from elsewhere is read in memory, never unpacked by its names, and only
as far as bounds allow.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError

PACK = "pack.json"
PACK_FORMAT = "carbon-midl pack"
PACK_VERSION = 1
MOST_FILES = 1024
MOST_BYTES = 1 << 32
"""Of all files in a packed file together."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_AGAIN = "Get the file again from where it came from."


def packed(about: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """The bytes of a packed file; equal content gives equal bytes.

    Args:
        about: what ``pack.json`` says beside the files' sizes and hashes.
        files: content by name.
    """
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    head = {"format": PACK_FORMAT, "version": PACK_VERSION, **about, "files": listed}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {
            PACK: (json.dumps(head, indent=2) + "\n").encode(),
            **dict(sorted(files.items())),
        }.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = 3  # Unix, wherever it is written
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_archive(path: Path) -> dict[str, bytes]:
    """The files in a packed file, by name, each checked against its hash; ``pack.json`` too.

    Raises:
        InputError: no packed file, damaged, changed, of a newer version, or larger than a packed file may be.
    """
    try:
        with _opened(path) as archive:
            files = _read_entries(path, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable zip file, or damaged ({error}). {_AGAIN}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    _check_hashes(path, files)
    return files


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        yield archive


def _read_entries(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = [name for name in names if "/" in name or "\\" in name or name in ("", ".", "..")]
    if strange:
        raise InputError(f"{path}: holds {strange[0]!r}; a packed file has no directories in it. {_AGAIN}")
    if len(names) > MOST_FILES or len(set(names)) < len(names):
        raise InputError(
            f"{path}: holds {len(names)} files, or one name twice; expected {MOST_FILES} at most. {_AGAIN}"
        )
    files: dict[str, bytes] = {}
    left = MOST_BYTES
    for entry in entries:
        # What an entry says of its size need not be true, so that reading itself is bounded.
        with archive.open(entry) as file:
            files[entry.filename] = file.read(left + 1)
        left -= len(files[entry.filename])
        if left < 0:
            raise InputError(
                f"{path}: more than {MOST_BYTES:,} bytes when unpacked; expected a study's tables. {_AGAIN}"
            )
    return files


def _check_hashes(path: Path, files: dict[str, bytes]) -> None:
    try:
        head = json.loads(files[PACK])
        kind, version, listed = head["format"], head["version"], {**head["files"]}
        hashes = {str(name): str(entry["sha256"]) for name, entry in listed.items()}
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: no {PACK} that can be read; expected what 'carbon-midl results pack' writes."
        ) from None
    if kind != PACK_FORMAT or version != PACK_VERSION:
        raise InputError(
            f"{path}: {kind!r}, version {version!r}; this carbon-midl reads {PACK_FORMAT!r}, version {PACK_VERSION}. "
            "Update carbon-midl if the file is newer."
        )
    for name in sorted(hashes.keys() | (files.keys() - {PACK})):
        if name not in files:
            raise InputError(f"{path}: {name} is missing, which {PACK} names. {_AGAIN}")
        if name not in hashes:
            raise InputError(f"{path}: holds {name}, which {PACK} does not name. {_AGAIN}")
        found = hashlib.sha256(files[name]).hexdigest()
        if found != hashes[name]:
            raise InputError(
                f"{path}: {name} is not what was packed: SHA-256 found {found}, expected {hashes[name]} as in {PACK}. "
                f"{_AGAIN}"
            )
