"""The phantom as DICOM: CT series with LIDC-IDRI's own identifiers, geometry and slice positions.

Whatever reads LIDC-IDRI from disk, pylidc included, can be tried on them without a download. Each file says that it is
a phantom: in Manufacturer, which `carbon-midl crops build` looks at, in ImageComments and in SeriesDescription.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory
from carbon_midl.lidc.annotations import Scan, read_scans
from carbon_midl.lidc.dicom import PHANTOM_MANUFACTURER
from carbon_midl.lidc.phantom.archive import choose_patients
from carbon_midl.lidc.phantom.scan import LOWEST_HU, VERSION, ScanPhantom
from carbon_midl.lidc.phantom.space import IMAGE_SIZE

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

COMMENT = "Synthetic image around real LIDC-IDRI outlines; no voxel is from a patient"


def write_phantom(
    root: Path,
    patients: int,
    seed: int,
    nodule_slices_only: bool = False,
    jobs: int = 1,
    progress: Callable[..., Iterable[Any]] = lambda items, total: items,
) -> int:
    """Write the series of some patients, in the layout that pylidc expects, and return how many there are.

    The patients are those of `render_phantom` with the same seed. A series that is there already, which is to say
    complete, is kept.

    Args:
        root: gets ``LIDC-IDRI-0078/<study>/<series>/1-001.dcm`` and so on, the topmost slice first.
        patients: how many; which ones, the seed decides.
        seed: 0 or more.
        nodule_slices_only: leave out the slices that no nodule touches.
        jobs: processes.
        progress: wraps the finished series, with their number as keyword `total`, for example `tqdm.tqdm`.

    Raises:
        InputError: `patients` or `seed` out of range, or a series directory that holds something else.
    """
    scans = read_scans(choose_patients(patients, seed))
    write = partial(write_series, root=Path(root), seed=seed, nodule_slices_only=nodule_slices_only)
    if jobs == 1:
        for scan in progress(scans, total=len(scans)):
            write(scan)
        return len(scans)
    with ProcessPoolExecutor(jobs) as pool:
        written = [pool.submit(write, scan) for scan in scans]
        try:
            for finished in progress(as_completed(written), total=len(written)):
                finished.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(scans)


def series_directory(root: Path, scan: Scan) -> Path:
    """Where a scan's series lies under `root`, as pylidc looks for it."""
    return root / scan.patient_id / scan.study_uid / scan.series_uid


def write_series(scan: Scan, root: Path, seed: int, nodule_slices_only: bool = False) -> None:
    """Write the series of one scan, whole or not at all, unless it is there.

    Raises:
        InputError: its directory holds something else.
    """
    directory = series_directory(root, scan)
    highest = len(scan.slice_z_mm)
    slices = set(range(highest))
    if nodule_slices_only:
        slices = {index for nodule in scan.nodules for index in nodule.slice_indices()}
    # Numbered from the top, as scanners do.
    names = {index: f"1-{highest - index:03d}.dcm" for index in sorted(slices)}
    if directory.is_dir() and (present := {path.name for path in directory.iterdir()}):
        if present >= set(names.values()):
            return
        raise InputError(
            f"{directory}: holds {len(present)} files, but not the {len(names)} of this phantom series. "
            "Name another directory, or remove this one."
        )
    phantom = ScanPhantom(scan, seed)
    with new_directory(directory) as staging:
        for index, name in names.items():
            image = _dataset(scan, seed, index, phantom.slice(index))
            if phantom.padding_hu is not None:
                image.add_new("PixelPaddingValue", "SS", phantom.padding_hu - LOWEST_HU)
            image.save_as(staging / name, enforce_file_format=True)


def _dataset(scan: Scan, seed: int, index: int, hu: NDArray[np.int16]) -> "FileDataset":
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
    from pydicom.valuerep import DSfloat

    instance_uid = generate_uid(entropy_srcs=[scan.series_uid, str(VERSION), str(seed), str(index)])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)

    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, instance_uid
    image.StudyInstanceUID, image.SeriesInstanceUID = scan.study_uid, scan.series_uid
    image.FrameOfReferenceUID = generate_uid(entropy_srcs=[scan.series_uid, "frame of reference"])
    image.PatientID, image.PatientName = scan.patient_id, f"PHANTOM^{scan.patient_id}"
    image.Modality = "CT"
    image.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    image.Manufacturer = PHANTOM_MANUFACTURER
    image.ManufacturerModelName = f"version {VERSION}, seed {seed}"
    image.SeriesDescription = "PHANTOM, not a patient"
    image.ImageComments = COMMENT
    image.InstanceNumber = len(scan.slice_z_mm) - index

    def decimal(value: float) -> DSfloat:
        return DSfloat(value, auto_format=True)

    corner_mm = -(IMAGE_SIZE - 1) / 2 * scan.pixel_spacing_mm
    image.ImagePositionPatient = [decimal(corner_mm), decimal(corner_mm), decimal(float(scan.slice_z_mm[index]))]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [decimal(scan.pixel_spacing_mm)] * 2
    image.SliceThickness = decimal(scan.slice_thickness_mm)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = hu.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = LOWEST_HU, 1, "HU"
    image.WindowCenter, image.WindowWidth = -600, 1500
    image.PixelData = (hu - np.int16(LOWEST_HU)).astype("<i2").tobytes()
    return image
