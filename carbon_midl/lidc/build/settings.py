"""What decides how a crop looks and which nodules have crops."""

from typing import NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS
from carbon_midl.lidc.annotations import Nodule, Scan
from carbon_midl.lidc.crops import packed_width

SMALLEST_SIZE = 32
FINEST_MM, COARSEST_MM = 0.1, 5.0


class Settings(NamedTuple):
    """How crops are cut.

    size: height and width, px. spacing_mm: the size of a pixel, or None to keep the scan's own. min_readers: a nodule
    with fewer readings has no crops.
    """

    size: int = 128
    spacing_mm: float | None = None
    min_readers: int = 1

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            InputError: a value out of range.
        """
        if self.size < SMALLEST_SIZE or self.size % 2:
            raise InputError(f"size: {self.size} px, expected an even number of at least {SMALLEST_SIZE}.")
        if self.spacing_mm is not None and not FINEST_MM <= self.spacing_mm <= COARSEST_MM:
            raise InputError(
                f"spacing: {self.spacing_mm:g} mm, expected native or {FINEST_MM:g} to {COARSEST_MM:g} mm."
            )
        if not 1 <= self.min_readers <= READERS:
            raise InputError(f"min-readers: {self.min_readers}, expected 1 to {READERS}.")

    @property
    def crop_bytes(self) -> int:
        """What a crop takes in an archive, the image and four packed masks."""
        return 2 * self.size**2 + READERS * self.size * packed_width(self.size)

    def nodules(self, scan: Scan) -> list[Nodule]:
        """The nodules of a scan that have crops."""
        return [nodule for nodule in scan.nodules if len(nodule.readings) >= self.min_readers]

    def __str__(self) -> str:
        spacing = "native" if self.spacing_mm is None else f"{self.spacing_mm:g}"
        return f"--size {self.size} --spacing {spacing} --min-readers {self.min_readers}"
