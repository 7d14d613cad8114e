"""What a build has cut so far, beside the archive to be: a file a series, each written whole or not at all."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from carbon_midl.errors import InputError
from carbon_midl.files import locked_or_refused, read_json, replaced, write_json
from carbon_midl.lidc.build.cutting import LeftOut, SeriesCrops
from carbon_midl.lidc.build.settings import Settings
from carbon_midl.lidc.tree import SeriesFiles

VERSION = 1  # another number whenever the same files and settings give other crops


class Fragments:
    """The folder ``.OUT.building``, and in it ``settings.json`` and a fragment for each series that was cut.

    Args:
        out: the archive to be.
        settings: how its crops are cut.
    """

    def __init__(self, out: Path, settings: Settings) -> None:
        out = Path(out).absolute()
        self.directory = out.with_name(f".{out.name}.building")
        self.settings = settings

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, or take up the one that a stopped build left, and keep a second build off it.

        Raises:
            InputError: it holds a build with other settings, or one that is running.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked_or_refused(self.directory / "lock", "building this archive"):
            self._check_settings()
            yield

    def _check_settings(self) -> None:
        path = self.directory / "settings.json"
        ours = {"version": VERSION, **self.settings._asdict()}
        if not path.exists():
            write_json(path, ours)
            return
        theirs = read_json(path)
        if theirs != ours:
            try:
                started = str(Settings(**{name: theirs[name] for name in Settings._fields}))
            except (KeyError, TypeError):
                started = "another version of carbon-midl"
            raise InputError(
                f"{self.directory}: a build of this archive was begun with {started}, not {self.settings}. Go on with "
                "the former, choose another archive, or remove that directory to start afresh."
            )

    def write(self, scan_id: int, state: str, crops: SeriesCrops) -> None:
        """Keep the crops of a scan; `state` is that of the files they come from, as `state_of` gives it."""
        about = json.dumps({"state": state, "left_out": crops.left_out, "read_bytes": crops.read_bytes})
        with replaced(self._path(scan_id)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                about=np.array(about),
                images=crops.images,
                packed_masks=crops.packed_masks,
                nodules=crops.nodules,
                slices=crops.slices,
            )
        self._note(scan_id).unlink(missing_ok=True)

    def read(self, scan_id: int, state: str) -> SeriesCrops | None:
        """The crops of a scan; None where there are none, or the files have changed since."""
        try:
            with np.load(self._path(scan_id), allow_pickle=False) as fragment:
                about = json.loads(str(fragment["about"]))
                if about["state"] != state:
                    return None
                arrays = {name: fragment[name] for name in ("images", "packed_masks", "nodules", "slices")}
            left_out = [LeftOut(*line) for line in about["left_out"]]
            return SeriesCrops(**arrays, left_out=left_out, read_bytes=about["read_bytes"])
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None

    def note(self, scan_id: int, path: str) -> None:
        """Keep which file a scan's process is about to decode, for decoders can take the process with them."""
        self._note(scan_id).write_bytes(os.fsencode(path))

    def noted(self, scan_id: int) -> str | None:
        """The file that a scan's process was decoding last; None where it came to none."""
        try:
            return os.fsdecode(self._note(scan_id).read_bytes())
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.directory)

    def _path(self, scan_id: int) -> Path:
        return self.directory / f"{scan_id}.npz"

    def _note(self, scan_id: int) -> Path:
        return self.directory / f"{scan_id}.reading"


def state_of(found: SeriesFiles) -> str:
    """What tells whether the files of a series are those that were read: names, sizes, times and headers."""
    return hashlib.sha256(repr(found).encode("utf-8", "surrogatepass")).hexdigest()
