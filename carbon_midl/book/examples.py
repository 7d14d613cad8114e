"""Example crops for the data chapter, where the study's own crop archive is at hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from carbon_midl.book import figures
from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.pictures import Picture
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.lidc.crops import CropArchive

EXAMPLES = 4
NO_ARCHIVE = "Example crops with the readers' outlines are in every run's notebook; see {doc}`/book/runs`.\n"


def find_archive(data: Path, evidence: Evidence) -> "CropArchive | None":
    """The archive below ``data`` that has the fingerprint in the results, or None."""
    from carbon_midl.lidc.crops import CropArchive

    for meta in sorted(data.glob("**/meta.json")):
        try:
            archive = CropArchive.open(meta.parent)
        except InputError:
            continue
        if archive.fingerprint == evidence.results.manifest["crops"]["fingerprint"]:
            return archive
    return None


def example_crops(archive: "CropArchive") -> Picture:
    """Crops that most readers outlined, one a patient, from the smallest outlines to the largest."""
    readers = archive.index["readers_with_mask"]
    rows = np.flatnonzero(readers == readers.max())
    area = pd.Series(archive.reader_masks(rows).sum(axis=(1, 2, 3)), index=rows)
    largest = area.groupby(archive.index["patient_id"].to_numpy()[rows]).idxmax()
    ordered = area.loc[largest].sort_values(kind="stable").index.to_numpy()
    chosen = ordered[np.linspace(0, len(ordered) - 1, min(EXAMPLES, len(ordered))).round().astype(int)]
    kind = "phantom" if archive.is_phantom else "CT"
    titles = [f"{kind}, {patient[-4:]}" for patient in archive.index["patient_id"].to_numpy()[chosen]]
    table = pd.DataFrame(
        {"image": list(archive.inputs(chosen)), "masks": list(archive.reader_masks(chosen)), "title": titles}
    )
    alt = (
        f"{w.count(len(chosen)).capitalize()} grey {kind} crops, each with a nodule near its centre that "
        f"{w.count(int(readers.max()))} readers outlined in different colours; the outlines differ. The nodules grow "
        "from left to right."
    )
    return Picture(figures.crops, table, alt, size_in=(6.4, 1.85), shared=False)


def examples_text(archive: "CropArchive | None") -> str:
    """The figure with its caption, or where to look instead."""
    if archive is None:
        return NO_ARCHIVE
    made = "Phantom crops around real nodules" if archive.is_phantom else "Crops of LIDC-IDRI"
    caption = (
        f"**{made}, with the outlines of the readers, a colour each.** The number above is the patient's in LIDC-IDRI. "
        "The same colour in two crops need not be the same person."
    )
    return f"```{{result-figure}} crops\n{caption}\n```\n"
