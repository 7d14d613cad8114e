import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from carbon_midl.errors import InputError
from carbon_midl.selection.choice import compare, holm
from tests.selection.made_up import candidates, random_candidates


def test_paired_differences_are_those_of_a_paired_t_test() -> None:
    made = random_candidates(4, count=5, replicates=6)
    table = compare(made)
    assert len(table) == 10
    for row in table.to_dict("records"):
        first, second = (made.performance[made.names.index(row[name]), :, 0] for name in ("first", "second"))
        expected = stats.ttest_rel(second, first)
        interval = expected.confidence_interval(0.95)
        assert row["difference"] == pytest.approx(second.mean() - first.mean())
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["p"] == pytest.approx(expected.pvalue)
        assert made.mean_cost[made.names.index(row["first"])] <= made.mean_cost[made.names.index(row["second"])]


def test_a_single_replicate_gives_a_difference_and_no_interval() -> None:
    table = compare(candidates([0.7, 0.75], [1.0, 2.0]))
    assert table.loc[0, "difference"] == pytest.approx(0.05)
    assert np.isnan(table[["low", "high", "p", "p_holm"]].to_numpy(dtype=float)).all()
    with pytest.raises(InputError, match="a comparison needs at least two"):
        compare(candidates([0.7], [1.0]))


def test_equal_candidates_do_not_differ() -> None:
    table = compare(candidates([[0.7, 0.8], [0.7, 0.8]], [1.0, 2.0]))
    assert table[["difference", "low", "high", "p"]].to_numpy(dtype=float).tolist() == [[0, 0, 0, 1]]


@given(arrays(float, st.integers(1, 12), elements=st.one_of(st.floats(0, 1), st.just(np.nan))), st.floats(0.001, 0.2))
def test_holm_rejects_what_stepping_down_by_hand_rejects(p: np.ndarray, level: float) -> None:
    known = sorted((value, place) for place, value in enumerate(p) if not np.isnan(value))
    rejected = set()
    for step, (value, place) in enumerate(known):
        if value * (len(known) - step) > level:
            break
        rejected.add(place)
    corrected = holm(p)
    assert {place for place in range(len(p)) if corrected[place] <= level} == rejected
    np.testing.assert_array_equal(np.isnan(corrected), np.isnan(p))
