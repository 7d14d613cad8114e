"""What a split by slice is worth to a network: an archive in which every slice passes for a patient of its own.

    python studies/leak.py data/lidc data/lidc-by-slice
    carbon-midl study run studies/lidc-leak.toml

A study splits by patient, and cannot be asked to do otherwise. On this archive its split is one by slice, so neighbours
of one nodule land on both sides. Everything else is as it was; ``nodule`` and ``slice`` stay, and the patient is the
first part of the name.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from carbon_midl.lidc.crops import CropArchive, CropWriter


def by_slice(archive: CropArchive, out: Path) -> None:
    """Write ``archive`` again with every slice as a patient of its own."""
    source = archive.source | {"note": "every slice passes for a patient of its own, so that a split by patient leaks"}
    with CropWriter(out, archive.size, archive.intensity, source) as writer:
        for row, crop in enumerate(tqdm(archive.index.itertuples(), total=len(archive), unit="crop")):
            writer.add(
                archive.images[row],
                archive.reader_masks([row])[0],
                patient_id=f"{crop.patient_id}-{crop.nodule}-{crop.slice}",
                nodule=int(crop.nodule),
                slice=int(crop.slice),
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    by_slice(CropArchive.open(chosen.archive), chosen.out)
