import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carbon_midl.errors import InputError
from carbon_midl.training.data import Split, parse_target, split_patients

MASKS = arrays(np.bool_, (3, 4, 5, 5))


@given(number=st.integers(3, 300), seed=st.integers(0, 1000))
def test_every_patient_is_in_exactly_one_part(number: int, seed: int) -> None:
    patients = [f"p{n}" for n in range(number)]
    split = split_patients(patients, seed)
    parts = (split.train, split.validation, split.test)
    assert sorted(sum(parts, ())) == sorted(patients)
    assert all(parts)
    assert abs(len(split.test) - 0.2 * number) <= 1


@given(seed=st.integers(0, 100), order=st.permutations(range(20)))
def test_the_split_depends_on_the_seed_and_not_on_the_order(seed: int, order: list[int]) -> None:
    patients = [f"p{n}" for n in range(20)]
    assert split_patients([f"p{n}" for n in order], seed) == split_patients(patients, seed)
    assert split_patients(patients, seed) != split_patients(patients, seed + 1)


def test_splits_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="patient b is in 'train' and in 'test'"):
        Split(train=("a", "b"), validation=("c",), test=("b",))
    with pytest.raises(InputError, match="no patients in part 'test'"):
        Split(train=("a",), validation=("c",), test=())
    with pytest.raises(InputError, match="2 patients"):
        split_patients(["a", "b", "a"], 0)
    with pytest.raises(InputError, match="fractions"):
        split_patients(["a", "b", "c"], 0, (0.6, 0.6, 0.2))


@given(MASKS)
def test_targets_against_their_definitions(masks: np.ndarray) -> None:
    votes = masks.sum(axis=1)
    for k in range(1, 5):
        assert np.array_equal(parse_target(f"at least {k}").from_masks(masks), votes >= k)
    assert np.array_equal(parse_target("any").from_masks(masks), masks.any(axis=1))
    assert np.array_equal(parse_target("all").from_masks(masks), masks.all(axis=1))
    mean = parse_target("mean").from_masks(masks)
    for crop in range(3):
        present = [mask for mask in masks[crop] if mask.any()]
        assert np.allclose(mean[crop], np.mean(present, axis=0) if present else 0)


@given(MASKS, st.integers(0, 100))
def test_the_random_reader_is_one_who_outlined_the_slice(masks: np.ndarray, seed: int) -> None:
    drawn = parse_target("random").from_masks(masks, np.random.default_rng(seed).random(masks.shape[:2]))
    for crop in range(3):
        present = [mask for mask in masks[crop] if mask.any()]
        assert any(np.array_equal(drawn[crop], mask) for mask in present) if present else not drawn[crop].any()


def test_the_random_reader_changes_and_is_fair() -> None:
    masks = np.zeros((4000, 4, 2, 2), bool)
    masks[:, 0, 0, 0] = masks[:, 1, 0, 1] = masks[:, 3, 1, 1] = True  # reader 2 outlined nothing
    drawn = parse_target("random").from_masks(masks, np.random.default_rng(0).random((4000, 4))).sum(axis=0)
    assert drawn[1, 0] == 0
    assert np.allclose([drawn[0, 0], drawn[0, 1], drawn[1, 1]], 4000 / 3, rtol=0.08)


@pytest.mark.parametrize("text", ["at least 0", "at least 5", "at least two", "majority", ""])
def test_unknown_targets_are_named(text: str) -> None:
    with pytest.raises(InputError, match=f"readers = '{text}': expected 'at least K'"):
        parse_target(text)


def test_a_smaller_share_of_the_training_patients_is_part_of_a_larger_one() -> None:
    patients = [f"p{number}" for number in range(50)]
    whole, half, quarter = (split_patients(patients, 3, training_share=share) for share in (1.0, 0.5, 0.25))
    assert (len(whole.train), len(half.train)) == (30, 15)
    assert set(quarter.train) < set(half.train) < set(whole.train)
    assert (whole.validation, whole.test) == (quarter.validation, quarter.test)
