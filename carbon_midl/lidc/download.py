"""Download CT series of LIDC-IDRI from the Imaging Data Commons, resumably, into the layout that pylidc reads.

``OUT/LIDC-IDRI-0001/<StudyInstanceUID>/<SeriesInstanceUID>/*.dcm``: with ``path = OUT`` under ``[dicom]`` in
``~/.pylidcrc``, pylidc's `Scan` finds its files there without searching.

A series has its final name only when it is complete: it has as many files as the index says, and in sum they are as
large, give or take half a slice, so that a lost or empty slice is seen; s5cmd itself compares each file of a series
that it fetches with the server's. Until then it grows in ``OUT/.partial/<SeriesInstanceUID>/``. So whatever reads the
tree later, leaving out names that begin with a dot, sees whole series or none, and needs no list of what is complete,
which could go stale. The parts lie outside the patients' directories because pylidc searches these where it does not
find a series.

s5cmd fetches a few series at a time. After each such batch those that are complete get their names; what is missing of
the others is asked for again, with growing pauses, unless the server said that it does not have it.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.files import locked_or_refused
from carbon_midl.lidc.idc import BYTES_PER_GB, Series
from carbon_midl.lidc.s5cmd import Failure, sync

PARTIAL = ".partial"
RETRIES = 5
_LOCK = ".download.lock"
# About 2 GB: several series keep the line busy to the end of a batch, and an interruption leaves few unnamed.
_BATCH = 16
# File systems round files up to blocks; slices are some hundred blocks of 4 KiB large.
_ROUNDING_UP = 1.01
_LONGEST_PAUSE_S = 60.0


class Content(NamedTuple):
    """What is there of a series: its number of files, and their size in sum."""

    slices: int
    size_bytes: int


class Incomplete(NamedTuple):
    """A series that did not become complete, and why."""

    series: Series
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a download has to do.

    complete: series that are there already. to_fetch: the others. missing_bytes: what these still need.
    free_bytes: on the disk where `out` is, or will be.
    """

    out: Path
    complete: tuple[Series, ...]
    to_fetch: tuple[Series, ...]
    missing_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool:
        """Whether the disk has room for what is missing."""
        return self.missing_bytes * _ROUNDING_UP <= self.free_bytes

    def check_space(self) -> None:
        """Raise InputError where the disk has no room for what is missing."""
        if not self.fits:
            raise InputError(
                f"{self.out}: {self.free_bytes / BYTES_PER_GB:.1f} GB free on this disk, but "
                f"{self.missing_bytes * _ROUNDING_UP / BYTES_PER_GB:.1f} GB are needed. Make room, choose another "
                "directory, or choose fewer patients (carbon-midl lidc download OUT --max-gb G)."
            )


def series_directory(out: Path, series: Series) -> Path:
    """Where a complete series lies below `out`."""
    return Path(out) / series.patient_id / series.study_uid / series.series_uid


def is_complete(out: Path, series: Series) -> bool:
    """Whether the series lies below `out` under its final name, with the slices that the index says."""
    return _is_all(_content(series_directory(out, series)), series)


def plan(out: Path, series: Sequence[Series]) -> Plan:
    """Look what is there of `series` below `out`, and what the disk has room for; changes nothing.

    Raises:
        InputError: `out` is not a directory.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: not a directory. Choose another place, or remove it first.")
    complete = {one: None for one in series if is_complete(out, one)}
    to_fetch = tuple(one for one in series if one not in complete)
    missing_bytes = sum(max(one.size_bytes - _present_bytes(out, one), 0) for one in to_fetch)
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    return Plan(out, tuple(complete), to_fetch, missing_bytes, shutil.disk_usage(existing).free)


def download(planned: Plan, progress: Callable[[int], None] = lambda _: None, retries: int = RETRIES) -> None:
    """Fetch the series of a plan that are not complete.

    Interrupted by Ctrl-C or a broken connection, it goes on from there when called again.

    Args:
        planned: what `plan` found.
        progress: called with the size of each slice that has arrived, bytes.
        retries: how often s5cmd asks again for a slice, and how often a batch is gone through again.

    Raises:
        InputError: no room on the disk; another process downloads to the same place; idc-index is not installed; a
            series is incomplete. In the last case all that could be fetched has been, and the message says which
            series lack what, and why.
    """
    planned.check_space()
    out = planned.out
    out.mkdir(parents=True, exist_ok=True)
    incomplete: list[Incomplete] = []
    not_tried: Sequence[Series] = ()
    with locked_or_refused(out / _LOCK, "downloading to this directory"):
        for start in range(0, len(planned.to_fetch), _BATCH):
            batch = _Batch(out, planned.to_fetch[start : start + _BATCH])
            batch.fetch(progress, retries)
            incomplete += batch.incomplete()
            if batch.is_cut_off:
                not_tried = planned.to_fetch[start + _BATCH :]
                break
        if (out / PARTIAL).exists() and not any((out / PARTIAL).iterdir()):
            (out / PARTIAL).rmdir()
    if incomplete:
        raise InputError(_report(planned, incomplete, not_tried))


@dataclass
class _Batch:
    """Series that are fetched by one run of s5cmd, or by several where connections break."""

    out: Path
    series: Sequence[Series]
    failures: list[Failure] = field(default_factory=list)
    arrived: int = 0

    def fetch(self, progress: Callable[[int], None], retries: int) -> None:
        """Fetch until all is there, the server says that it has no more, or `retries` are used up."""

        def arrived(size_bytes: int) -> None:
            self.arrived += 1
            progress(size_bytes)

        rest = [one for one in self.series if not self._take_stock(one)]
        for attempt in range(retries + 1):
            if not rest:
                return
            if attempt:
                time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE_S))
            directories = {one.url: one.series_uid for one in rest}
            try:
                self.failures = sync(directories, self.out / PARTIAL, retries, arrived)
            finally:
                rest = [one for one in rest if not self._settle(one)]
            if all(failure.is_final for failure in self.failures):
                return

    def incomplete(self) -> list[Incomplete]:
        """The series that are not complete, each with the reason."""
        return [Incomplete(one, self._reason(one)) for one in self.series if not is_complete(self.out, one)]

    @property
    def is_cut_off(self) -> bool:
        """Whether nothing at all arrived, and not because the server said so."""
        return not self.arrived and any(not failure.is_final for failure in self.failures)

    def _take_stock(self, series: Series) -> bool:
        """Prepare the series' partial directory with all that is there; returns whether it was complete."""
        final = series_directory(self.out, series)
        partial = _partial_directory(self.out, series)
        if is_complete(self.out, series):
            return True
        partial.mkdir(parents=True, exist_ok=True)
        if final.exists():
            for path in final.iterdir():
                path.replace(partial / path.name)
            final.rmdir()
        # s5cmd adds digits to a file's name until it is whole, and leaves such files behind only when it is killed.
        for path in partial.glob("*.dcm[0-9]*"):
            path.unlink()
        return self._settle(series)

    def _settle(self, series: Series) -> bool:
        """Give the series its final name if it is complete, and return whether it is."""
        partial = _partial_directory(self.out, series)
        if not _is_all(_content(partial), series):
            return False
        final = series_directory(self.out, series)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(final)
        return True

    def _reason(self, series: Series) -> str:
        found = _content(_partial_directory(self.out, series))
        prefix = series.url.removesuffix("*")
        own = [failure for failure in self.failures if prefix in failure.command]
        other = [failure for failure in self.failures if "s3://" not in failure.command]
        if found.slices > series.slices:
            return (
                f"{found.slices:,} slices, but the index says {series.slices:,}. Remove "
                f"{_partial_directory(self.out, series)}; if that does not help, the index is out of date "
                "(pip install --upgrade idc-index)"
            )
        there = f"{found.slices:,} of {series.slices:,} slices"
        if found.slices == series.slices:
            there += f" but {found.size_bytes:,} of {series.size_bytes:,} bytes"
        if not own and not other:
            return f"{there}; the server lists no more"
        failure = (own or other)[0]
        source = next((word for word in failure.command.split() if word.startswith("s3://")), failure.command)
        more = f", and {len(own) - 1:,} more" if len(own) > 1 else ""
        return f"{there}; {source}: {failure.reason}{more}"


def _report(planned: Plan, incomplete: Sequence[Incomplete], not_tried: Sequence[Series]) -> str:
    total = len(planned.complete) + len(planned.to_fetch)
    lines = [f"{planned.out}: {len(incomplete) + len(not_tried):,} of {total:,} series are incomplete:"]
    lines += [f"  {one.series.patient_id}, series {one.series.series_uid}: {one.reason}" for one in incomplete]
    if not_tried:
        lines.append(
            f"  {not_tried[0].patient_id} to {not_tried[-1].patient_id}, {len(not_tried):,} series: not tried, as "
            "nothing arrived any more"
        )
    lines.append("Run the same command again: it fetches only what is missing.")
    return "\n".join(lines)


def _partial_directory(out: Path, series: Series) -> Path:
    return out / PARTIAL / series.series_uid


def _content(directory: Path) -> Content:
    sizes = [path.stat().st_size for path in directory.glob("*.dcm")]
    return Content(len(sizes), sum(sizes))


def _is_all(found: Content, series: Series) -> bool:
    difference_bytes = abs(found.size_bytes - series.size_bytes)
    return found.slices == series.slices and difference_bytes <= series.size_bytes / series.slices / 2


def _present_bytes(out: Path, series: Series) -> int:
    directories = series_directory(out, series), _partial_directory(out, series)
    return sum(_content(directory).size_bytes for directory in directories)
