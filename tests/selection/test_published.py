"""The record of the published curves: it follows its own rule, and from the published table."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carbon_midl.book.evidence import PUBLISHED, read_record
from carbon_midl.errors import InputError
from studies import published_curves as study

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "pepr" / "pepr-lidc-derma.csv"


@pytest.fixture(scope="module")
def record() -> Any:
    return read_record(ROOT, PUBLISHED)


@pytest.fixture(scope="module")
def published(record: Any) -> dict[str, pd.DataFrame]:
    if not SHARED.exists():
        pytest.skip("no published curves beside the repository")
    assert hashlib.sha256(SHARED.read_bytes()).hexdigest() == record.manifest["sha256"]
    table = pd.read_csv(SHARED)
    return {str(name): part.reset_index(drop=True) for name, part in table.groupby("dataset")}


def test_the_tuned_policies_are_those_that_the_rule_takes(record: Any) -> None:
    for name, rows in record.policies.groupby("dataset"):
        assert list(rows["policy"]) == [policy.describe() for policy in study.grid()]
        chosen = rows.iloc[study.cheapest_within(rows)]
        own = record.tuned[record.tuned["tuned_on"] == name]
        assert set(own["policy"]) == {chosen["policy"]}
        assert own.loc[own["on"] == name, "share"].iloc[0] == chosen["share"]
        assert own["draws_seed"].nunique() == 2  # tested on other draws than those it was chosen on
    with pytest.raises(InputError, match="none keeps the regret within the tolerance"):
        study.cheapest_within(record.policies[record.policies["within"] < study.LEAST])


@pytest.mark.shared
def test_choices_and_convergence_follow_from_the_published_table(
    record: Any, published: dict[str, pd.DataFrame]
) -> None:
    pd.testing.assert_frame_equal(study.choices(published), record.choices, rtol=1e-9)
    pd.testing.assert_frame_equal(study.readings(published), record.convergence, rtol=1e-9)
    # And so does a policy that is replayed.
    draws = study.drawn(study.curves_of(published["derma"]), record.manifest["tuning_draws"], seed=0)
    place = next(k for k, policy in enumerate(study.grid()) if policy.name == "halving")
    row = record.policies[record.policies["dataset"] == "derma"].iloc[[place]]
    found = study.replayed(draws, [study.grid()[place]])
    pd.testing.assert_frame_equal(found, row[found.columns].reset_index(drop=True), rtol=1e-9)


@pytest.mark.shared
def test_the_published_cost_to_convergence_falls_with_the_epoch(published: dict[str, pd.DataFrame]) -> None:
    for table in published.values():
        divided = study.per_epoch_to_best(table["energy"].to_numpy() * 1000, table["conv_idx"].to_numpy())
        assert divided == pytest.approx(table["energy_conv"].to_numpy(), rel=1e-9)  # Wh
        spent = study.up_to_best(table["energy"].to_numpy() * 1000, table["conv_idx"].to_numpy(), 10)
        late = table["conv_idx"] == 10
        assert spent[late] == pytest.approx(1000 * table.loc[late, "energy"].to_numpy())
        assert late.any()
        assert divided[late] == pytest.approx(spent[late] / 10)


def test_no_row_of_the_published_table_is_in_the_record(record: Any) -> None:
    """Only what follows from it: of its 131 models no more are named than criteria choose."""
    text = "".join(path.read_text() for path in (ROOT / PUBLISHED).rglob("*.*"))
    assert not re.search(r"test_0\d|num_param|train_time", text)
    assert len({*record.choices["chosen"], *record.convergence.filter(like="pepr_").to_numpy().ravel()}) < 12


def test_a_missing_record_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policies\.csv: no such file.* Record it with: python -m studies\.published"):
        read_record(tmp_path, PUBLISHED)
