"""A folder of DICOM files, as TCIA or IDC deliver it, sorted into series.

Names of files and folders say nothing here, and other modalities and other files may lie among the CT. Only headers are
read, once: what they say is kept in a small file, and is read again only for files whose size or time has changed.
"""

import contextlib
import gzip
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.lidc.ct import POSITION_TOLERANCE_MM, Form, Header, SliceFault, read_header

_VERSION = 1
_CHUNK = 256  # files a process reads at a time
_FEW = 2048  # files that one process has read before others have started
_STRAYED = 3  # a series of no more files than these, among those of another, may be theirs with a damaged header


class SliceFile(NamedTuple):
    """One file of CT: its folder (relative to the tree's root) and name, size and time as found, and header."""

    folder: str
    name: str
    size_bytes: int
    mtime_ns: int
    header: Header

    @property
    def path(self) -> str:
        """The path relative to the tree's root."""
        return str(Path(self.folder, self.name))


class Fault(NamedTuple):
    """A file, by its path relative to the tree's root, that cannot be used, and why."""

    path: str
    reason: str


class SeriesFiles(NamedTuple):
    """What the tree has of one series.

    files: those that say they belong to it. damaged: files of its folders without a readable header. strangers: files
    of its folders that say they belong to another series, of which there is little more.
    """

    files: tuple[SliceFile, ...]
    damaged: tuple[Fault, ...]
    strangers: tuple[SliceFile, ...]


class DicomTree:
    """The series of CT under a folder.

    Attributes:
        root: the folder.
        files: how many files there are of each kind: "CT", other modalities, "not DICOM", "unreadable".
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: Counter[str] = Counter()
        self._series: dict[str, list[SliceFile]] = defaultdict(list)
        self._folders: dict[str, list[SliceFile]] = defaultdict(list)
        self._damaged: dict[str, list[Fault]] = defaultdict(list)
        self._shares: dict[str, Counter[str]] = defaultdict(Counter)  # of each folder: files of each series

    @property
    def series_uids(self) -> list[str]:
        """The series of CT, sorted."""
        return sorted(self._series)

    def series(self, uid: str) -> SeriesFiles:
        """Return the files of one series.

        A file that lies apart from its series, in a folder of another, is taken for mislabelled and left out; it is
        a stranger there.
        """
        own = self._series.get(uid, [])
        owned = [folder for folder in dict.fromkeys(file.folder for file in own) if self._owner(folder) == uid]
        return SeriesFiles(
            files=tuple(file for file in own if file.folder in owned or self._share(file) > 0.5),
            damaged=tuple(fault for folder in owned for fault in self._damaged.get(folder, [])),
            strangers=tuple(
                file
                for folder in owned
                if len(self._shares[folder]) > 1
                for file in self._folders[folder]
                if file.header.form.series_uid != uid
                and (self._share(file) <= 0.5 or len(self._series[file.header.form.series_uid]) <= _STRAYED)
            ),
        )

    def _owner(self, folder: str) -> str:
        """The series that most files of a folder belong to."""
        return self._shares[folder].most_common(1)[0][0]

    def _share(self, file: SliceFile) -> float:
        """How much of the file's series lies in the file's folder."""
        uid = file.header.form.series_uid
        return self._shares[file.folder][uid] / len(self._series[uid])

    def _add(self, file: "_File") -> None:
        if file.fault is not None:
            self.files["unreadable"] += 1
            self._damaged[file.folder].append(Fault(str(Path(file.folder, file.name)), file.fault))
        elif file.header is None:
            self.files["not DICOM"] += 1
        elif file.header.form.modality != "CT":
            self.files[file.header.form.modality or "DICOM without modality"] += 1
        else:
            self.files["CT"] += 1
            found = SliceFile(file.folder, file.name, file.size_bytes, file.mtime_ns, file.header)
            uid = found.header.form.series_uid
            self._series[uid].append(found)
            self._folders[found.folder].append(found)
            self._shares[found.folder][uid] += 1


class _File(NamedTuple):
    """A file as found, and what its header says: `fault` where it is damaged, neither where it is not DICOM."""

    folder: str
    name: str
    size_bytes: int
    mtime_ns: int
    header: Header | None = None
    fault: str | None = None


def read_tree(
    root: Path,
    index: Path | None = None,
    jobs: int = 1,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> DicomTree:
    """Sort the files under a folder into series.

    Args:
        root: the folder, which may be read-only.
        index: where to keep what was read; nothing is kept without it, or where it cannot be written.
        jobs: processes that read headers.
        progress: wraps the files (by the hundred) whose headers are read.

    Raises:
        InputError: no such folder, or nothing in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: no such directory. Name the one that holds the DICOM files, in whatever folders.")
    known = _load(index, root) if index else {}
    files = []
    unread = []
    for file in _walk(root):
        kept = known.pop((file.folder, file.name), None)
        if kept is not None and kept[2:4] == file[2:4]:
            files.append(kept)
        else:
            unread.append(file)
    changed = bool(unread or known)
    known.clear()
    files += _read_headers(root, unread, jobs, progress)
    # Sorted so that what is kept of several copies does not depend on the order in which a disk lists them.
    files.sort(key=lambda file: (file.folder, file.name))
    if index and changed:
        _save(index, root, files)
    tree = DicomTree(root)
    for file in files:
        tree._add(file)
    if not files:
        raise InputError(f"{root}: no files. Name the directory that holds the DICOM files, in whatever folders.")
    return tree


def index_beside(out: Path, root: Path) -> Path:
    """Where to keep what the headers of a tree say: a hidden file, which all archives built in one place share."""
    name = hashlib.sha256(os.fsencode(Path(root).absolute())).hexdigest()[:8]
    return Path(out).absolute().with_name(f".dicom-index-{name}.gz")


def fits(a_mm: float, b_mm: float) -> bool:
    """Whether two positions along z are the same."""
    return abs(a_mm - b_mm) <= POSITION_TOLERANCE_MM


def _walk(root: Path) -> Iterator[_File]:
    """List all files; links to folders are followed, each folder once."""
    seen = set()
    waiting = [""]
    while waiting:
        folder = intern(waiting.pop())
        try:
            here = (root / folder).stat()
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(str(Path(folder, entry.name)))
                    elif entry.is_file():
                        found = entry.stat()
                        yield _File(folder, entry.name, found.st_size, found.st_mtime_ns)
        except OSError as error:
            yield _File(folder, "", 0, 0, fault=f"cannot be listed ({error.strerror})")


def _read_headers(
    root: Path, files: list[_File], jobs: int, progress: Callable[[Sequence[Any]], Iterable[Any]]
) -> Iterator[_File]:
    chunks = [(root, files[first : first + _CHUNK]) for first in range(0, len(files), _CHUNK)]
    forms: dict[Form, Form] = {}
    if jobs == 1 or len(files) <= _FEW:
        for chunk in progress(chunks):
            yield from (_sharing(forms, file) for file in _read_chunk(chunk))
        return
    # Parsing holds the interpreter's lock, so that threads would gain little.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for _, read in zip(progress(chunks), pool.map(_read_chunk, chunks), strict=True):
            yield from (_sharing(forms, file) for file in read)


def _read_chunk(chunk: tuple[Path, list[_File]]) -> list[_File]:
    root, files = chunk
    return [_with_header(root, file) for file in files]


def _with_header(root: Path, file: _File) -> _File:
    if file.fault is not None:
        return file
    if file.size_bytes == 0:
        return file._replace(fault="empty")
    try:
        header = read_header(root / file.folder / file.name)
    except SliceFault as fault:
        return file._replace(fault=fault.reason)
    if header is None and file.name.lower().endswith(".dcm"):
        return file._replace(fault="not DICOM, for all its name says")
    return file._replace(header=header)


def _sharing(forms: dict[Form, Form], file: _File) -> _File:
    """The file with text that it shares with its series: a quarter of a million files should not fill memory."""
    if file.header is None:
        return file
    form = forms.setdefault(file.header.form, file.header.form)
    return file._replace(folder=intern(file.folder), header=Header(form, file.header.z_mm))


def _load(index: Path, root: Path) -> dict[tuple[str, str], _File]:
    """What an earlier call kept; nothing where that is missing, of another tree or version, or damaged."""
    known = {}
    forms: dict[Form, Form] = {}
    try:
        with gzip.open(index, "rt", encoding="utf-8") as lines:
            if json.loads(next(lines)) != [_VERSION, str(root.absolute())]:
                return {}
            for line in lines:
                folder, here, files = json.loads(line)
                shared = [Form._make(tuple(part) if isinstance(part, list) else part for part in form) for form in here]
                for name, size_bytes, mtime_ns, form, z_mm, fault in files:
                    header = None if form is None else Header(shared[form], z_mm)
                    file = _File(folder, name, size_bytes, mtime_ns, header, fault)
                    known[folder, name] = _sharing(forms, file)
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, StopIteration):
        return {}
    return known


def _save(index: Path, root: Path, files: Iterable[_File]) -> None:
    """Write a line a folder: its name, the forms of its files, and the files."""
    with (
        contextlib.suppress(OSError),
        replaced(index) as temporary,
        gzip.open(temporary, "wt", encoding="utf-8") as out,
    ):
        out.write(json.dumps([_VERSION, str(root.absolute())]) + "\n")
        for folder, here in groupby(files, key=lambda file: file.folder):
            forms: dict[Form, int] = {}
            rows = []
            for file in here:
                number = None if file.header is None else forms.setdefault(file.header.form, len(forms))
                z_mm = None if file.header is None else file.header.z_mm
                rows.append([file.name, file.size_bytes, file.mtime_ns, number, z_mm, file.fault])
            out.write(json.dumps([folder, list(forms), rows]) + "\n")
