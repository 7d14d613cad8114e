"""Record LIDC-IDRI in numbers for the data chapter, and what a split by slice leaks.

    python studies/collection.py [--out results/lidc-collection]

The leak is the Dice of a copycat that never looks at the image. It answers a test slice with the consensus of the
nearest training slice of the same nodule. Where no slice of the nodule is in training, which is always so under a split
by patient, it gives the outline of the average training nodule: the pixels that lie in the consensus of at least a
certain share of the training slices, crops laid on top of one another, where the share is the one of `LEVELS` with the
best mean Dice on the training slices. It takes a minute on one core; no CT is needed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, COLLECTION
from carbon_midl.files import write_json, write_text
from carbon_midl.lidc.annotations import patients_with_nodules, read_scans
from carbon_midl.lidc.masks import Outlines, outlines_of
from carbon_midl.lidc.statistics import Statistics, measure
from carbon_midl.measures import mean_over_patients
from carbon_midl.study.run import describe_environment
from carbon_midl.training.data import FRACTIONS, split_patients

SPLITS = 10
"""Random splits of each kind, over which the results are pooled."""
LEVELS = tuple(np.arange(0.05, 1.0, 0.05).round(2).tolist())


def copycat(outlines: Sequence[Outlines], splits: int = SPLITS) -> pd.DataFrame:
    """Score the copycat on the test slices of random splits by slice and by patient.

    Only slices with a consensus take part, as in a study. Training and test are the same shares as there (60 and 20 %).

    Args:
        outlines: nodules of at least three patients.
        splits: how many of each kind.

    Returns:
        A row a split and test slice: split (`BY_SLICE` or `BY_PATIENT`), seed, patient_id, nodule (position in
        `outlines`), slice (position in the nodule), distance (slices to the nearest training slice of the nodule, NaN
        if there is none), dice.

    Raises:
        InputError: fewer than three patients.
    """
    kept = [np.flatnonzero(np.diff(nodule.consensus.indptr)) for nodule in outlines]
    consensus = csr_array(vstack([nodule.consensus[rows] for nodule, rows in zip(outlines, kept, strict=True)]))
    slices = pd.DataFrame({
        "patient_id": np.repeat([nodule.patient_id for nodule in outlines], [len(rows) for rows in kept]),
        "nodule": np.repeat(np.arange(len(outlines)), [len(rows) for rows in kept]),
        "slice": np.concatenate(kept),
    })  # fmt: skip
    found = []
    for seed in range(splits):
        for split, (train, test) in {
            BY_SLICE: _split_by_slice(len(slices), seed),
            BY_PATIENT: _split_by_patient(slices["patient_id"], seed),
        }.items():
            source = _nearest(slices, train)[test]
            constant = average_outline(consensus[train])
            dice = np.where(
                source >= 0, _dice_of_pairs(consensus, test, source), _dice_of_constant(consensus[test], constant)
            )
            distance = np.abs(slices["slice"].to_numpy()[test] - slices["slice"].to_numpy()[source])
            found.append(
                slices.iloc[test].assign(
                    split=split, seed=seed, distance=np.where(source >= 0, distance, np.nan), dice=dice
                )
            )
    return pd.concat(found, ignore_index=True)


def copycat_means(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat by kind of split: mean Dice, and shares of test slices with their nodule or neighbour in training.

    Returns:
        split, measure (``dice``, ``neighbour`` or ``nodule``), estimate, low, high, n (test slices of all splits),
        patients, splits.
    """
    rows = []
    for split, chosen in answers.groupby("split", sort=False):
        measures = {"dice": chosen["dice"], "neighbour": chosen["distance"] == 1, "nodule": chosen["distance"].notna()}
        rows += [
            (split, name, *mean_over_patients(values, chosen["patient_id"]), chosen["seed"].nunique())
            for name, values in measures.items()
        ]
    return pd.DataFrame(rows, columns=["split", "measure", "estimate", "low", "high", "n", "patients", "splits"])


def copycat_histogram(answers: pd.DataFrame) -> pd.DataFrame:
    """How the copycat's Dice is spread: split, dice_from, dice_to, share of test slices."""
    bins = np.linspace(0, 1, 21)
    parts = [
        pd.DataFrame({
            "split": split,
            "dice_from": bins[:-1].round(2),
            "dice_to": bins[1:].round(2),
            "share": np.histogram(chosen["dice"], bins)[0] / len(chosen),
        })
        for split, chosen in answers.groupby("split", sort=False)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def copycat_by_distance(answers: pd.DataFrame) -> pd.DataFrame:
    """The copycat's Dice by what it copied, under both splits: split, source, estimate, low, high, n, patients."""
    distance = answers["distance"]
    sources = {
        "next slice": distance == 1,
        "next but one": distance == 2,
        "further away": distance > 2,
        "average outline": distance.isna(),
    }
    rows = []
    for split in (BY_SLICE, BY_PATIENT):
        for source, copied in sources.items():
            chosen = answers[(answers["split"] == split) & copied]
            if len(chosen):
                rows.append((split, source, *mean_over_patients(chosen["dice"], chosen["patient_id"])))
    return pd.DataFrame(rows, columns=["split", "source", "estimate", "low", "high", "n", "patients"])


def average_outline(consensus: csr_array) -> NDArray[np.bool_]:
    """The constant mask ``(pixels,)`` of the module's docstring, from training slices ``(slices, pixels)``."""
    share = np.asarray(consensus.sum(axis=0)).ravel() / consensus.shape[0]
    candidates = [share >= level for level in LEVELS if (share >= level).any()]
    return max(candidates, key=lambda mask: _dice_of_constant(consensus, mask).mean())


def _split_by_slice(slices: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test slices, drawn without a thought for patients."""
    shuffled = np.random.default_rng(seed).permutation(slices)
    train, _, test = np.split(shuffled, np.cumsum(np.round(np.array(FRACTIONS[:2]) * slices).astype(int)))
    return np.sort(train), np.sort(test)


def _split_by_patient(patients: "pd.Series[str]", seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Training and test slices of a split as the studies use it."""
    split = split_patients(patients.tolist(), seed)
    return np.flatnonzero(patients.isin(split.train)), np.flatnonzero(patients.isin(split.test))


def _nearest(slices: pd.DataFrame, train: NDArray[np.intp]) -> NDArray[np.intp]:
    """The nearest training slice of the same nodule for every slice, the lower one of two; -1 where there is none."""
    position = slices["slice"].to_numpy()
    in_training = np.zeros(len(slices), dtype=bool)
    in_training[train] = True
    # Slices lie nodule by nodule in ascending order, so the nearest is the last one before or the first one after.
    nodule = slices["nodule"].to_numpy()
    number = np.arange(len(slices))
    before = np.maximum.accumulate(np.where(in_training, number, -1))
    after = np.minimum.accumulate(np.where(in_training, number, len(slices))[::-1])[::-1]
    before = np.where((before >= 0) & (nodule[before] == nodule), before, -1)
    after = np.where((after < len(slices)) & (nodule[after.clip(max=len(slices) - 1)] == nodule), after, -1)
    below = np.where(before >= 0, position - position[before], np.inf)
    above = np.where(after >= 0, position[after] - position, np.inf)
    return np.where(below <= above, before, after)


def _dice_of_pairs(consensus: csr_array, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.float64]:
    area = np.diff(consensus.indptr)
    overlap = np.asarray(consensus[a].multiply(consensus[b]).sum(axis=1)).ravel()
    return np.asarray(2.0 * overlap / (area[a] + area[b]))


def _dice_of_constant(consensus: csr_array, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(2.0 * (consensus @ mask.astype(np.float32)) / (np.diff(consensus.indptr) + mask.sum()))


def leak(outlines: Sequence[Outlines]) -> Statistics:
    """The tables of the copycat."""
    answers = copycat(outlines)
    return {
        "copycat": copycat_means(answers),
        "copycat dice": copycat_histogram(answers),
        "copycat distance": copycat_by_distance(answers),
    }


def main() -> None:
    """Measure everything and write a CSV file a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=COLLECTION, help="(default: %(default)s)")
    options = parser.parse_args()
    tables = measure() | leak(outlines_of(read_scans(patients_with_nodules())))
    for name, table in tables.items():
        write_text(options.out / f"{name.replace(' ', '-')}.csv", table.to_csv(index=False))
    write_json(
        options.out / "manifest.json", {"format": "carbon-midl collection", "version": 1, **describe_environment()}
    )


if __name__ == "__main__":
    main()
