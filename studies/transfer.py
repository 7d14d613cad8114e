"""How good is the phantom? The same U-Net trained on phantom and on real crops, tested on both, in one run.

    python studies/transfer.py data/lidc [--patients 120] [--epochs 8] [--seeds 0 1] [--out results/phantom-transfer]

The real archive is split by patient as every study is. For the patients of each part, phantom crops are rendered around
the same outlines and brought to the archive's intensity scale, so that the images alone differ; no outline of a test
patient is seen in training, on either side. Scores are appended to OUT/scores.csv as they come; `--report` only prints
what is there.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carbon_midl.book.evidence import TRANSFER, TRANSFER_COLUMNS, read_transfer, transfers
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.crops import CropArchive, CropWriter
from carbon_midl.lidc.phantom import VERSION, phantom_crops
from carbon_midl.study.run import describe_environment
from carbon_midl.training.data import Split, select_rows, split_patients
from carbon_midl.training.fit import begin, fit
from carbon_midl.training.options import RunOptions
from carbon_midl.training.scoring import score

PHANTOM_SEED = 0


def main() -> None:
    """Train on each side, test on both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="archive of real crops")
    parser.add_argument("--patients", type=int, default=120, help="to train on (default: %(default)s)")
    parser.add_argument("--filters", type=int, default=16, help="width (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="(default: 0 1)")
    parser.add_argument("--out", type=Path, default=TRANSFER, help="(default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="train nothing, print what is there")
    options = parser.parse_args()
    table = options.out / "scores.csv"
    if not options.report:
        options.out.mkdir(parents=True, exist_ok=True)
        real = CropArchive.open(options.crops)
        split = split_patients(real.patients, seed=0)
        # Fewer patients than there are, so that it ends on a laptop; never chosen by a result.
        split = replace(split, train=split.train[: options.patients], validation=split.validation[:40])
        with tempfile.TemporaryDirectory() as folder:
            archives = {"real": real, "phantom": make_phantom(real, split, Path(folder) / "phantom")}
            for seed in options.seeds:
                for side in archives:
                    chosen = RunOptions(filters=options.filters, epochs=options.epochs, seed=seed)
                    scores = train_and_score(archives, side, split, chosen, Path(folder))
                    earlier = [pd.read_csv(table)] if table.exists() else []
                    write_text(table, pd.concat([*earlier, scores]).to_csv(index=False))
        write_json(
            options.out / "manifest.json",
            {
                "filters": options.filters,
                "epochs": options.epochs,
                "training_patients": len(split.train),
                "test_patients": len(split.test),
                "phantom_version": VERSION,
                "crops": real.source,
                "crops_fingerprint": real.fingerprint,
                **describe_environment(),
            },
        )
    print(report(read_transfer(options.out)[0]))


def make_phantom(real: CropArchive, split: Split, out: Path) -> CropArchive:
    """Render the phantom of the split's patients, each crop on the scale of the real ones."""
    min_max = real.images.dtype == np.uint8
    with CropWriter(out, real.size, real.intensity, {"kind": "phantom"}) as crops:
        for scan in read_scans([*split.train, *split.validation, *split.test]):
            for image, readers, place in phantom_crops(scan, PHANTOM_SEED, real.size):
                crops.add(to_bytes(image) if min_max else image, readers, **place)
    return CropArchive.open(out)


def to_bytes(image: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Scale one crop from its own minimum to its own maximum, as the public crops were."""
    low, high = int(image.min()), int(image.max())
    return np.rint((image.astype(np.float32) - low) * (255 / max(high - low, 1))).astype(np.uint8)


def train_and_score(
    archives: dict[str, CropArchive], side: str, split: Split, options: RunOptions, folder: Path
) -> pd.DataFrame:
    """Train on one side and score the test patients of both: a row a side and test slice."""
    parts = select_rows(archives[side], split, options.readers)
    training = begin(options)
    fit(
        training,
        archives[side],
        parts,
        options,
        folder / f"{side}-{options.seed}",
        on_epoch=lambda epoch: print(
            f"seed {options.seed}, trained on {side}: epoch {epoch.epoch}, validation Dice {epoch.val_dice:.3f}",
            flush=True,
        ),
    )
    tested = []
    for other, archive in archives.items():
        slices = pd.DataFrame(
            score(training.model, archive, select_rows(archive, split, options.readers).test, options.readers)
        )
        patients = slices.groupby("patient_id")["dice"].agg(slices="size", dice="mean").reset_index()
        tested.append(patients.assign(tested_on=other))
    return pd.concat(tested).assign(seed=options.seed, trained_on=side)[list(TRANSFER_COLUMNS)]


def report(scores: pd.DataFrame) -> str:
    """The table of what was recorded."""
    return "\n".join(
        f"trained on {found.trained_on:<7} tested on {found.tested_on:<7} "
        "Dice {:.3f} ({:.3f} to {:.3f}), {:.0%} ({:.0%} to {:.0%}) ".format(*found.dice, *found.share)
        + f"of training on {found.tested_on} crops; "
        f"{found.seeds} seeds, {found.patients} patients, {found.slices} slices"
        for found in transfers(scores)
    )


if __name__ == "__main__":
    main()
