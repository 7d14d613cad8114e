"""Splitting by patient: neighbouring slices of a nodule are near copies, so a patient is in one part only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from carbon_midl.errors import InputError

FRACTIONS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Split:
    """The patients of each part.

    Raises:
        InputError: a part is empty, or a patient is in two parts.
    """

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

    Args:
        patients: at least three distinct patients.
        seed: of the shuffle.
        fractions: shares of training, validation and test, adding up to 1; every part gets at least one patient.
        training_share: of the training patients, in (0, 1]; those of a smaller share are among those of a larger one,
            and validation and test patients are the same for all.

    Raises:
        InputError: fewer than three patients, or fractions that are no shares.
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
