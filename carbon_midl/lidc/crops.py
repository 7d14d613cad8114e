"""The crop archive: a directory of equally sized CT crops with up to four readers' masks.

=============  ===================================================================================
``images.npy`` ``(n, size, size)`` int16 (HU) or uint8, memory-mapped on opening
``masks.npy``  ``(n, 4, size, ceil(size / 8))`` uint8, ``numpy.packbits`` along the last axis
``index.csv``  a row a crop: ``patient_id, nodule, slice, readers_with_mask``
``meta.json``  format, version, size, intensity scale, source with licence, fingerprint
=============  ===================================================================================

It is written whole or not at all, and checked when it is opened.
"""

import csv
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, read_json, write_json
from carbon_midl.lidc import READERS

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "carbon-midl crops"
VERSION = 1
INDEX_COLUMNS = ("patient_id", "nodule", "slice", "readers_with_mask")
_WAY_OUT = "Make the archive again with 'carbon-midl crops build', 'crops import-slices' or 'crops phantom'."


class Intensity(NamedTuple):
    """How stored intensities become a network's input: ``clip((image - low) / (high - low), 0, 1)``."""

    unit: str
    low: float
    high: float

    def to_unit_range(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Scale ``images`` of any shape to float32 in [0, 1]."""
        scaled = (images.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        return np.clip(scaled, 0.0, 1.0)


class CropWriter:
    """Collect crops and write them as an archive that appears whole when the ``with`` block ends well.

    Args:
        out: the archive's directory; `InputError` if it holds something already.
        size: height and width of every crop, px.
        intensity: the scale of the images.
        source: where the crops come from: ``kind`` ("lidc" or "phantom"), ``licence``, ``citation``, and more.
    """

    def __init__(self, out: Path, size: int, intensity: Intensity, source: dict[str, Any]) -> None:
        self.out = Path(out)
        self.size = size
        self.intensity = intensity
        self.source = source
        self._rows: list[tuple[str, int, int, int]] = []

    def __enter__(self) -> Self:
        self._staging = new_directory(self.out)
        self._directory = self._staging.__enter__()
        # Crops are streamed to disk, so that memory does not grow with their number.
        self._image_file = (self._directory / "images.raw").open("wb")
        self._mask_file = (self._directory / "masks.raw").open("wb")
        self._dtype: np.dtype[Any] | None = None
        return self

    def add(self, image: NDArray[Any], masks: NDArray[np.bool_], *, patient_id: str, nodule: int, slice: int) -> None:
        """Append one crop; `InputError` where its shape or type differ from those before it.

        Args:
            image: ``(size, size)``, the same integer type for every crop.
            masks: ``(4, size, size)`` bool; an empty mask where a reader did not outline the nodule on this slice.
            patient_id: as in the collection, "LIDC-IDRI-0001".
            nodule: number of the nodule in the patient, from 0.
            slice: number of the slice in the nodule, from 0.
        """
        crop = f"{patient_id} nodule {nodule} slice {slice}"
        for name, array, shape in (
            ("image", image, (self.size, self.size)),
            ("masks", masks, (READERS, self.size, self.size)),
        ):
            if array.shape != shape:
                raise InputError(f"{crop}: {name} of shape {array.shape}, expected {shape}.")
        self._dtype = self._dtype or image.dtype
        if image.dtype != self._dtype:
            raise InputError(f"{crop}: image of type {image.dtype}, expected {self._dtype} like the crops before it.")
        self._image_file.write(np.ascontiguousarray(image).tobytes())
        self._mask_file.write(np.packbits(masks, axis=-1).tobytes())
        self._rows.append((patient_id, int(nodule), int(slice), int(masks.any(axis=(1, 2)).sum())))

    def attach(self, name: str, text: str) -> None:
        """Put a text file beside the crops, such as a report on what was left out."""
        (self._directory / name).write_text(text, encoding="utf-8")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._image_file.close()
        self._mask_file.close()
        if error is None:
            try:
                self._finish()
            except BaseException as failed:
                self._staging.__exit__(type(failed), failed, failed.__traceback__)
                raise
        self._staging.__exit__(kind, error, traceback)

    def _finish(self) -> None:
        if self._dtype is None:
            raise InputError(f"{self.out}: no crops to write.")
        count = len(self._rows)
        shapes = {
            "images": (count, self.size, self.size),
            "masks": (count, READERS, self.size, packed_width(self.size)),
        }
        for name, dtype in (("images", self._dtype), ("masks", np.dtype(np.uint8))):
            raw = self._directory / f"{name}.raw"
            # Copied as a file: memory maps of both would fill memory with an archive's pages.
            with raw.open("rb") as source, (self._directory / f"{name}.npy").open("wb") as array:
                header = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shapes[name]}
                write_array_header_1_0(array, header)
                shutil.copyfileobj(source, array, 1 << 20)
            raw.unlink()
        with (self._directory / "index.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(INDEX_COLUMNS)
            table.writerows(self._rows)
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "crops": count,
            "size": self.size,
            "intensity": self.intensity._asdict(),
            "source": self.source,
            "fingerprint": _fingerprint(self._directory, self.intensity),
        }
        write_json(self._directory / "meta.json", meta)


@dataclass(frozen=True)
class CropArchive:
    """An opened crop archive; images and masks stay on disk until they are indexed."""

    path: Path
    images: NDArray[Any]
    packed_masks: NDArray[np.uint8]
    index: "pd.DataFrame"
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> "CropArchive":
        """Open the archive at ``path`` memory-mapped; `InputError` unless its parts are whole and belong together."""
        import pandas as pd

        path = Path(path)
        if not (path / "meta.json").is_file():
            raise InputError(
                f"{path}: not a crop archive (no meta.json). Make one with 'carbon-midl crops build', "
                "'crops import-slices' or 'crops phantom', or name the directory of another."
            )
        meta = read_json(path / "meta.json")
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise InputError(f"{path / 'meta.json'}: not the description of a crop archive. {_WAY_OUT}")
        if meta.get("version") != VERSION:
            raise InputError(
                f"{path}: crop archive of version {meta.get('version')!r}; this carbon-midl reads {VERSION}. {_WAY_OUT}"
            )
        try:
            count, size = int(meta["crops"]), int(meta["size"])
            Intensity(**meta["intensity"])
            meta["source"]["kind"], meta["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path / 'meta.json'}: incomplete or malformed ({error!r}). {_WAY_OUT}") from None
        images = _open_array(path / "images.npy", (count, size, size))
        masks = _open_array(path / "masks.npy", (count, READERS, size, packed_width(size)))
        if masks.dtype != np.uint8:
            raise InputError(
                f"{path / 'masks.npy'}: masks of type {masks.dtype}, expected bit-packed uint8. {_WAY_OUT}"
            )
        try:
            index = pd.read_csv(path / "index.csv", dtype={"patient_id": str})
        except (OSError, ValueError) as error:
            raise InputError(f"{path / 'index.csv'}: cannot be read ({error}). {_WAY_OUT}") from None
        if tuple(index.columns) != INDEX_COLUMNS or len(index) != count:
            raise InputError(
                f"{path / 'index.csv'}: {len(index)} rows with columns {', '.join(map(str, index.columns))}; "
                f"expected {count} rows with {', '.join(INDEX_COLUMNS)}. {_WAY_OUT}"
            )
        return cls(path, images, masks, index, meta)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Height and width of a crop, px."""
        return int(self.meta["size"])

    @property
    def intensity(self) -> Intensity:
        """The scale of the images."""
        return Intensity(**self.meta["intensity"])

    @property
    def source(self) -> dict[str, Any]:
        """Where the crops come from, with licence and citation."""
        return dict(self.meta["source"])

    @property
    def is_phantom(self) -> bool:
        """Whether the images are synthetic; every picture made of them says so."""
        return bool(self.source["kind"] == "phantom")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over intensity scale, images, masks and index, as recorded when the archive was written."""
        return str(self.meta["fingerprint"])

    @property
    def patients(self) -> list[str]:
        """The patients, sorted."""
        return sorted(self.index["patient_id"].unique())

    def rows_of(self, patients: Iterable[str]) -> NDArray[np.int64]:
        """Return the rows of the crops of ``patients``, all of them in the archive, in the archive's order."""
        wanted = set(patients)
        unknown = sorted(wanted - set(self.patients))
        if unknown:
            raise InputError(
                f"{self.path}: no crops of patient {', '.join(unknown[:3])}; it has {len(self.patients)} others."
            )
        return np.flatnonzero(self.index["patient_id"].isin(wanted).to_numpy())

    def reader_masks(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the readers' masks of ``rows`` as bool ``(len(rows), 4, size, size)``."""
        packed = self.packed_masks[np.asarray(rows, dtype=np.int64)]
        return np.unpackbits(packed, axis=-1, count=self.size).view(np.bool_)

    def inputs(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the images of ``rows`` scaled to [0, 1], float32 ``(len(rows), size, size)``."""
        return self.intensity.to_unit_range(self.images[np.asarray(rows, dtype=np.int64)])

    def verify(self) -> None:
        """Read every byte; `InputError` where the content has changed since the archive was written."""
        found = _fingerprint(self.path, self.intensity)
        if found != self.fingerprint:
            raise InputError(
                f"{self.path}: content has fingerprint {found[:12]}, meta.json records {self.fingerprint[:12]}: "
                f"the archive was changed or damaged. {_WAY_OUT}"
            )


def packed_width(size: int) -> int:
    """Bytes that one bit-packed mask row of ``size`` px takes."""
    return -(-size // 8)


def _open_array(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: missing, truncated or no array ({error}). {_WAY_OUT}") from None
    if array.shape != shape:
        raise InputError(f"{path}: array of shape {array.shape}, expected {shape} from meta.json. {_WAY_OUT}")
    return array


def _fingerprint(directory: Path, intensity: Intensity) -> str:
    digest = hashlib.sha256(repr(tuple(intensity)).encode())
    for name in ("images.npy", "masks.npy", "index.csv"):
        digest.update(name.encode())
        with (directory / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
