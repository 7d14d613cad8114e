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

from carbon_midl.book.evidence import TRANSFER
from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.crops import CropArchive, CropWriter
from carbon_midl.lidc.phantom import VERSION, phantom_crops
from carbon_midl.measures import interval, patient_draws
from carbon_midl.study.results import read_csv
from carbon_midl.study.run import describe_environment
from carbon_midl.training.data import Split, select_rows, split_patients
from carbon_midl.training.fit import begin, fit
from carbon_midl.training.options import RunOptions
from carbon_midl.training.scoring import score

PHANTOM_SEED = 0
COLUMNS = ["seed", "trained_on", "tested_on", "patient_id", "slices", "dice"]


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
    summary = summarise(read_csv(table))
    write_text(options.out / "summary.csv", summary.to_csv(index=False))
    print(summary.round(3).to_string(index=False))


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
    return pd.concat(tested).assign(seed=options.seed, trained_on=side)[COLUMNS]


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Each side of training on each side of testing, a row each: Dice, and its share of that of training on that side.

    Means over slices and seeds, with 95 % intervals over patients (``…_low``, ``…_high``).

    Args:
        scores: a row a seed, side of training, side of testing and patient, with their ``slices`` and mean ``dice``.

    Raises:
        InputError: a side was not trained on, or not tested on.
    """
    sides = ("real", "phantom")
    scores = scores.assign(dice=scores["dice"] * scores["slices"])
    sums = scores.groupby(["trained_on", "tested_on", "patient_id"])[["dice", "slices"]].sum()
    seeds, rows = int(scores["seed"].nunique()), []
    for tested_on, trained_on in ((tested, trained) for tested in sides for trained in sides):
        if (trained_on, tested_on) not in sums.index:
            raise InputError(f"scores: nothing trained on {trained_on} and tested on {tested_on}. Record them again.")
        chosen, own = (sums.loc[(side, tested_on), :] for side in (trained_on, tested_on))
        weights = patient_draws(len(chosen))
        dice, own_dice = (float(part["dice"].sum() / part["slices"].sum()) for part in (chosen, own))
        drawn, own_drawn = (
            (weights @ part["dice"].to_numpy()) / (weights @ part["slices"].to_numpy()) for part in (chosen, own)
        )
        row: dict[str, object] = {"trained_on": trained_on, "tested_on": tested_on}
        for name, found in (("dice", interval(dice, drawn)), ("share", interval(dice / own_dice, drawn / own_drawn))):
            row |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
        slices = int(chosen["slices"].sum()) // seeds
        rows.append(row | {"seeds": seeds, "patients": len(chosen), "slices": slices})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
