"""What is made of recorded transfer between phantom and real crops."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.book.transfer import read_transfer, transfers
from carbon_midl.errors import InputError
from carbon_midl.files import write_json

MEANS = {("real", "real"): 0.8, ("phantom", "real"): 0.6, ("real", "phantom"): 0.7, ("phantom", "phantom"): 0.7}


def made_up(patients: int = 30, seeds: int = 2) -> pd.DataFrame:
    """Every patient is a little above or below the mean of its pair, alike for all pairs and seeds."""
    generator = np.random.default_rng(0)
    own = generator.normal(0, 0.05, patients)
    own -= own.mean()
    return pd.DataFrame(
        [
            (seed, trained_on, tested_on, f"LIDC-IDRI-{patient:04d}", 10, MEANS[trained_on, tested_on] + own[patient])
            for (trained_on, tested_on), seed, patient in product(MEANS, range(seeds), range(patients))
        ],
        columns=["seed", "trained_on", "tested_on", "patient_id", "slices", "dice"],
    )


def test_means_shares_and_numbers() -> None:
    found = {(one.trained_on, one.tested_on): one for one in transfers(made_up())}
    assert set(found) == set(MEANS)
    for pair, one in found.items():
        assert one.dice == pytest.approx(MEANS[pair])
        assert one.dice_low < one.dice < one.dice_high
        assert (one.seeds, one.patients, one.slices) == (2, 30, 300)
    worse = found["phantom", "real"]
    assert worse.share == pytest.approx(0.75)
    assert worse.share_low < 0.75 < worse.share_high
    assert worse.share_high - worse.share_low < worse.dice_high - worse.dice_low, "compared on the same patients"
    own = found["real", "real"]
    assert (own.share_low, own.share, own.share_high) == (1, 1, 1)


def test_patients_with_more_slices_weigh_more() -> None:
    scores = made_up(patients=2)
    heavy = scores["patient_id"] == "LIDC-IDRI-0001"
    scores.loc[heavy, "slices"] = 30
    scores["dice"] = np.where(heavy, 0.9, 0.1)
    assert transfers(scores)[0].dice == pytest.approx((0.9 * 30 + 0.1 * 10) / 40)


def test_a_record_that_lacks_something_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_transfer(tmp_path)
    write_json(tmp_path / "manifest.json", {})
    with pytest.raises(InputError, match=r"scores\.csv: no such file\. Record it with: python studies/transfer\.py"):
        read_transfer(tmp_path)
    made_up().drop(columns="slices").to_csv(tmp_path / "scores.csv")
    with pytest.raises(InputError, match="no column slices"):
        read_transfer(tmp_path)
    scores = made_up()
    with pytest.raises(InputError, match="trained on phantom and tested on real"):
        transfers(scores[scores["trained_on"] == "real"])
