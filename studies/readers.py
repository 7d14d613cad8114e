"""Networks held against readers on the same target, and what a Dice does not say, from stored weights.

    python -m studies.readers data/lidc-64 RUN [RUN …] [--out results/lidc-readers]

A reader cannot be scored against a consensus that the same reader's outline went into. So on the slices that all four
outlined, each reader in turn is left out, and that reader *and* the network are scored against the majority of the
other three. Beside it, on the test slices of each run: how far the two outlines lie apart (surface Dice and the 95th
percentile of the distance, by MONAI), whether a predicted probability is the share of readers who marked the pixel, how
much is marked on slices without a consensus, and areas against the pixels of at least one, two, three and four readers.
"""

import argparse
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from tqdm import tqdm

from carbon_midl.errors import InputError
from carbon_midl.files import new_directory, write_gzipped, write_json
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.metrics import dice
from carbon_midl.study.run import describe_environment, read_result
from carbon_midl.training.data import scored_target
from carbon_midl.training.evaluate import open_for
from carbon_midl.training.scoring import probabilities, score
from studies.yardsticks import against_the_others

OUT = Path("results/lidc-readers")
TOLERANCES_PX = (1.0, 2.0)
BINS = np.linspace(0, 1, 11)


def surfaces(predicted: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Surface Dice at each tolerance, 0 for an empty mask, and the 95th percentile of the distance in px, NaN there."""
    ours, theirs = (torch.from_numpy(mask[:, None].astype(np.float32)) for mask in (predicted, wanted))
    empty = ~predicted.any(axis=(1, 2))
    found = {}
    with warnings.catch_warnings():
        # MONAI warns of calls that it makes itself, and of the empty masks that are marked below.
        warnings.simplefilter("ignore")
        for tolerance in TOLERANCES_PX:
            share = compute_surface_dice(ours, theirs, [tolerance], include_background=True)[:, 0].numpy()
            found[f"surface_dice_{tolerance:.0f}px"] = np.where(empty, 0.0, share)
        distance = compute_hausdorff_distance(ours, theirs, include_background=True, percentile=95)[:, 0].numpy()
    return {**found, "hd95_px": np.where(empty, np.nan, distance)}


def read_run(run: Path, archive_path: Path) -> dict[str, pd.DataFrame]:
    """Tables of a run's test patients, by name: a row a slice, but of ``calibration`` a row a bin of probability."""
    network, _, archive = open_for(run, archive_path)
    result = read_result(run)
    if result["crops"]["fingerprint"] != archive.fingerprint:
        raise InputError(
            f"{archive.path}: fingerprint {archive.fingerprint[:12]}, but {run} was trained on crops with "
            f"{result['crops']['fingerprint'][:12]}; name those, since the split follows from them."
        )
    rows = archive.rows_of(result["split"]["test"])
    target = scored_target(result["options"]["readers"])
    scored, without, bins = [], [], np.zeros((len(BINS) - 1, 3))
    for values, batch in probabilities(network, archive, rows):
        masks, predicted = archive.reader_masks(batch), values > 0.5
        wanted = target.from_masks(masks) > 0.5
        index = archive.index.iloc[batch].reset_index(drop=True)
        with_target = wanted.any(axis=(1, 2))
        without.append(index[~with_target].assign(predicted_px=predicted[~with_target].sum(axis=(1, 2))))
        masks, predicted, wanted = masks[with_target], predicted[with_target], wanted[with_target]
        scored.append(
            index[with_target].assign(
                dice=dice(predicted, wanted),
                reader_dice=against_the_others(masks, masks),
                network_dice=against_the_others(masks, predicted[:, None]),
                **surfaces(predicted, wanted),
            )
        )
        place = np.digitize(values[with_target], BINS[1:-1]).ravel()
        for column, weights in enumerate((None, values[with_target].ravel(), masks.mean(axis=1).ravel())):
            bins[:, column] += np.bincount(place, weights, len(bins))
    calibration = pd.DataFrame(bins, columns=["pixels", "predicted", "readers"])
    for mean in ("predicted", "readers"):
        calibration[mean] /= calibration["pixels"]
    scores = {n: pd.DataFrame(score(network, archive, rows, f"at least {n}")) for n in (1, 2, 3, 4)}
    targets = pd.concat(scores, names=["target"]).drop(columns="readers_dice").reset_index("target")
    return {
        "slices": pd.concat(scored, ignore_index=True),
        "calibration": calibration,
        "without-consensus": pd.concat(without, ignore_index=True),
        "targets": targets[targets["target_px"] > 0],
    }


def main() -> None:
    """Read every run, write the tables, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the crops that the runs were trained on")
    parser.add_argument("runs", type=Path, nargs="+", help="directories of finished runs, with their weights")
    parser.add_argument("--out", type=Path, default=OUT, help="the record to make (default: %(default)s)")
    options = parser.parse_args()
    tables = defaultdict(list)
    with new_directory(options.out) as staging:
        for run in tqdm(options.runs, unit="run", disable=None):
            done = read_result(run)["options"]
            axes = {name: done[name] for name in ("filters", "epochs", "seed")}
            for name, table in read_run(run, options.archive).items():
                tables[name].append(table.assign(**axes))
        for name, parts in tables.items():
            whole = pd.concat(parts, ignore_index=True).to_csv(index=False, float_format="%.6g")
            write_gzipped(staging / f"{name}.csv.gz", whole)
        crops = CropArchive.open(options.archive)
        write_json(
            staging / "manifest.json",
            {"crops": {"fingerprint": crops.fingerprint, "source": crops.source}, **describe_environment()},
        )
    means = pd.concat(tables["slices"]).groupby(["filters", "epochs"]).mean(numeric_only=True)
    print(means.drop(columns=["nodule", "slice", "seed"]).round(3).to_string())


if __name__ == "__main__":
    main()
