"""How good is the phantom? The same U-Net trained on phantom and on real crops, tested on both, in one run.

    python benchmarks/transfer.py data/lidc [--patients 120] [--epochs 8] [--seeds 0 1] [--out results/phantom-transfer]

The real archive is split by patient as every study is. For the patients of each part, phantom crops are rendered around
the same outlines and brought to the archive's intensity scale, so that the images alone differ; no outline of a test
patient is seen in training, on either side. Scores are appended to OUT/scores.csv as they come; `--report` only prints
what is there.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carbon_midl.environment import describe_environment
from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.crops import CropArchive, CropWriter
from carbon_midl.lidc.phantom import VERSION
from carbon_midl.lidc.phantom.archive import phantom_crops
from carbon_midl.lidc.split import Split, split_patients
from carbon_midl.options import RunOptions
from carbon_midl.training import build_model, build_optimiser, fit, score, select_parts

PHANTOM_SEED = 0
DRAWS = 4000


def main() -> None:
    """Train on each side, test on both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path, help="archive of real crops")
    parser.add_argument("--patients", type=int, default=120, help="to train on (default: %(default)s)")
    parser.add_argument("--filters", type=int, default=16, help="width (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="(default: 0 1)")
    parser.add_argument("--out", type=Path, default=Path("results/phantom-transfer"), help="(default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="train nothing, print what is there")
    options = parser.parse_args()
    table = options.out / "scores.csv"
    if not options.report:
        options.out.mkdir(parents=True, exist_ok=True)
        real = CropArchive.open(options.crops)
        split = split_patients(real.patients, seed=0)
        # Fewer patients than there are, so that the benchmark ends on a laptop; never chosen by a result.
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
    if not table.exists():
        raise InputError(f"{table}: no scores. Run this once without --report.")
    print(report(pd.read_csv(table)).to_string(index=False))


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
    model = build_model(options)
    parts = select_parts(archives[side], split, options)
    fit(
        model,
        build_optimiser(model, options),
        archives[side],
        parts,
        options,
        weights=folder / f"{side}-{options.seed}.safetensors",
        epoch_window=lambda epoch: nullcontext(),
        on_epoch=lambda epoch: print(
            f"seed {options.seed}, trained on {side}: epoch {epoch.epoch}, validation Dice {epoch.val_dice:.3f}",
            flush=True,
        ),
    )
    tested = []
    for other, archive in archives.items():
        slices = pd.DataFrame(score(model, archive, select_parts(archive, split, options).test, options))
        tested.append(slices[["patient_id", "nodule", "slice", "dice"]].assign(tested_on=other))
    return pd.concat(tested).assign(seed=options.seed, trained_on=side)


def report(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice over slices and seeds, its 95 % interval over patients, and the share of the real-trained Dice."""
    return pd.DataFrame(rows(scores))


def rows(scores: pd.DataFrame) -> Iterator[dict[str, object]]:
    """A row a pair of training and test side."""
    for tested_on, tested in scores.groupby("tested_on"):
        sums = tested.groupby(["patient_id", "trained_on"])["dice"].agg(["sum", "size"]).unstack("trained_on")
        draws = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
        means = {
            side: sums[("sum", side)].to_numpy()[draws].sum(axis=1) / sums[("size", side)].to_numpy()[draws].sum(axis=1)
            for side in ("real", "phantom")
        }
        for side in ("real", "phantom"):
            dice = tested.loc[tested["trained_on"] == side, "dice"].mean()
            share = dice / tested.loc[tested["trained_on"] == "real", "dice"].mean()
            yield {
                "trained on": side,
                "tested on": tested_on,
                "seeds": tested["seed"].nunique(),
                "patients": len(sums),
                "slices": len(tested) // tested["seed"].nunique() // 2,
                "Dice": f"{dice:.3f}",
                "95 %": interval(means[side]),
                "of real-trained": f"{share:.0%}",
                "95 % ": interval(means[side] / means["real"]),
            }


def interval(draws: NDArray[np.float64]) -> str:
    """Percentile interval."""
    return "{:.3f} to {:.3f}".format(*np.quantile(draws, [0.025, 0.975]))


if __name__ == "__main__":
    main()
