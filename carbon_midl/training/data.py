"""The slices that a run trains on, validates on and tests on, and the target that it segments."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carbon_midl.errors import InputError
from carbon_midl.lidc import READERS
from carbon_midl.lidc.crops import CropArchive

FRACTIONS = (0.6, 0.2, 0.2)
"""Shares of the patients for training, validation and test."""
# The readers' masks of so many crops are unpacked at the same time.
_UNPACKED = 512


@dataclass(frozen=True)
class Split:
    """The patients of each part; neighbouring slices of a nodule are near copies, so a patient is in one part only."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part, patients in asdict(self).items():
            if not patients:
                raise InputError(f"split: no patients in part '{part}'; every part needs at least one.")
            for patient in patients:
                if patient in seen:
                    raise InputError(f"split: patient {patient} is in '{seen[patient]}' and in '{part}'; name it once.")
                seen[patient] = part


def split_patients(
    patients: Sequence[str],
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
    training_share: float = 1.0,
) -> Split:
    """Split ``patients`` at random, the same way for the same seed whatever their order.

    >>> split = split_patients([f"patient {number}" for number in range(10)], seed=0)
    >>> len(split.train), len(split.validation), len(split.test)
    (6, 2, 2)

    ``fractions`` are the shares of training, validation and test; every part gets at least one patient. Of the training
    patients a ``training_share`` is kept, in (0, 1]: those of a smaller share are among those of a larger one, and
    validation and test patients are the same for all. `InputError` for fewer than three patients.
    """
    distinct = sorted(set(patients))
    if len(distinct) < 3:
        raise InputError(f"split: {len(distinct)} patients; training, validation and test need at least one each.")
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"split: fractions {fractions}, expected three positive shares that add up to 1.")
    shuffled = np.random.default_rng(seed).permutation(np.array(distinct)).tolist()
    validation = max(1, round(len(shuffled) * fractions[1]))
    test = max(1, round(len(shuffled) * fractions[2]))
    held_out = min(validation + test, len(shuffled) - 1)
    validation = min(validation, held_out - 1)
    train = shuffled[held_out:]
    return Split(
        train=tuple(sorted(train[: max(1, round(len(train) * training_share))])),
        validation=tuple(sorted(shuffled[:validation])),
        test=tuple(sorted(shuffled[validation:held_out])),
    )


@dataclass(frozen=True)
class Target:
    """How the masks of four readers become the one that a network is trained on or scored against.

    ``at least``: pixels that at least ``k`` of the four readers outlined; ``random``: the mask of one reader, drawn
    from those who outlined the slice; ``mean``: the share of those readers, soft in [0, 1].
    """

    kind: Literal["at least", "random", "mean"]
    k: int = 1

    def from_masks(self, masks: NDArray[np.bool_], draws: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """Return the target of each crop, ``(n, H, W)`` float32 in [0, 1]; all zero if no reader outlined it.

        Args:
            masks: ``(n, 4, H, W)`` bool.
            draws: ``(n, 4)`` random numbers in [0, 1), needed only for ``random``: the largest chooses the reader.
        """
        votes = masks.sum(axis=1, dtype=np.uint8)
        if self.kind == "at least":
            return (votes >= self.k).astype(np.float32)
        outlined = masks.any(axis=(2, 3))
        if self.kind == "mean":
            readers = np.maximum(outlined.sum(axis=1), 1).astype(np.float32)
            return votes / readers[:, None, None]
        if draws is None:
            raise TypeError("target 'random' needs draws")
        # Readers without an outline get the score -1, so that one is drawn only if there is no other.
        reader = np.where(outlined, draws, -1.0).argmax(axis=1)
        return masks[np.arange(len(masks)), reader].astype(np.float32)


def parse_target(text: str) -> Target:
    """Read ``'at least K'`` (K = 1 … 4), ``'any'``, ``'all'``, ``'random'`` or ``'mean'``; `InputError` for all else.

    >>> parse_target("at least 2")
    Target(kind='at least', k=2)
    """
    named = {
        "any": Target("at least", 1), "all": Target("at least", READERS),
        "random": Target("random"), "mean": Target("mean"),
    }  # fmt: skip
    if text in named:
        return named[text]
    if (match := re.fullmatch(r"at least ([1-4])", text)) is not None:
        return Target("at least", int(match[1]))
    raise InputError(
        f"readers = {text!r}: expected 'at least K' with K from 1 to {READERS}, 'any', 'all', 'random' or 'mean'."
    )


def scored_target(readers: str) -> Target:
    """Return the target that slices are scored against: the training target if it is a mask, else at least 2 of 4."""
    target = parse_target(readers)
    return target if target.kind == "at least" else Target("at least", 2)


@dataclass(frozen=True)
class SplitRows:
    """The archive's rows in each part of the split, and the number of rows without a target, which are left out."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    without_target: int


def select_rows(archive: CropArchive, split: Split, readers: str) -> SplitRows:
    """Choose the rows of each part that have a target of ``readers``; `InputError` where a part has none.

    A slice whose consensus is empty (outlined by one reader of four, say) has no lesion by the study's definition, and
    Dice on it is 0 or 1 by convention; such slices are left out of every part and counted.
    """
    target = scored_target(readers)
    has_target = np.concatenate(
        [
            target.from_masks(archive.reader_masks(rows)).any(axis=(1, 2))
            for rows in np.array_split(np.arange(len(archive)), math.ceil(len(archive) / _UNPACKED))
        ]
    )
    chosen = {}
    for part, patients in asdict(split).items():
        rows = archive.rows_of(patients)
        chosen[part] = rows[has_target[rows]]
        if not len(chosen[part]):
            raise InputError(
                f"{archive.path}: no slice of the {part} patients has a target of readers = {readers!r}. "
                "Use more patients, or ask for fewer readers."
            )
    return SplitRows(**chosen, without_target=int((~has_target).sum()))
