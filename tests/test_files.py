import errno
import fcntl
import os
from pathlib import Path
from typing import NoReturn

import pytest

from carbon_midl.errors import InputError
from carbon_midl.files import (
    in_words,
    is_locked,
    locked,
    new_directory,
    read_json,
    replaced,
    replaced_directory,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(OSError, match="disk full"), replaced(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_directory(tmp_path / "archive") as directory:
        (directory / "images.npy").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with new_directory(tmp_path / "deep" / "archive") as directory:
        (directory / "a").write_text("a")
        assert not (tmp_path / "deep" / "archive").exists()
    assert (tmp_path / "deep" / "archive" / "a").read_text() == "a"


def test_an_occupied_directory_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis: already exists.*another place"), new_directory(tmp_path / "thesis"):
        pass
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results"
    with replaced_directory(path) as directory:
        (directory / "runs.csv").write_text("old")
    with pytest.raises(OSError, match="disk full"), replaced_directory(path) as directory:
        (directory / "runs.csv").write_text("half")
        raise OSError("disk full")
    assert (path / "runs.csv").read_text() == "old"
    with replaced_directory(path) as directory:
        (directory / "epochs.csv").write_text("new")
    assert [entry.name for entry in path.iterdir()] == ["epochs.csv"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / ".results-old").mkdir()
    (tmp_path / ".results-old" / "runs.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), replaced_directory(tmp_path / "results"):
        raise KeyboardInterrupt
    assert (tmp_path / "results" / "runs.csv").read_text() == "old"


@pytest.mark.parametrize("content", [b'{"kwh": 0.', b"\xff\xfe\x00"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(InputError, match=r"result\.json: not valid JSON"):
        read_json(tmp_path / "result.json")
    with pytest.raises(InputError, match=r"missing\.json: no such file"):
        read_json(tmp_path / "missing.json")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named_and_reading_needs_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(InputError, match=r"run/\.lock: this file system has no locks .* Work on a local disk"):
        locked(tmp_path / "run" / ".lock").__enter__()
    assert not is_locked(tmp_path / "run" / ".lock")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk: No space left on device. Nothing done is lost"),
        (OSError(errno.EROFS, "Read-only file system", "/place"), "/place: Read-only file system."),
        (OSError(errno.EISDIR, "Is a directory", "/temporary", None, "/place"), "/place: Is a directory."),
        (OSError(errno.ENOENT, "No such file or directory", "/mistake"), ""),
    ],
)
def test_what_a_disk_refuses_is_a_sentence_and_a_mistake_is_not(error: OSError, told: str) -> None:
    assert in_words(error).startswith(told)
    assert bool(in_words(error)) == bool(told)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b'\xef\xbb\xbf{"kwh": 1}')
    assert read_json(tmp_path / "result.json") == {"kwh": 1}
