import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays

from carbon_midl.metrics import dice, readers_dice

MASKS = arrays(np.bool_, (4, 6, 6))


def test_dice_by_hand() -> None:
    a, b = np.zeros((2, 1, 2, 2), bool)
    a[0, 0] = True
    b[0, 0, 0] = True
    assert dice(a, b).tolist() == [2 / 3]


@given(MASKS, MASKS)
def test_dice_against_monai(a: np.ndarray, b: np.ndarray) -> None:
    from monai.metrics import DiceMetric

    oracle = DiceMetric(ignore_empty=False)(torch.from_numpy(a[:, None]), torch.from_numpy(b[:, None]))
    assert np.allclose(dice(a, b), np.asarray(oracle)[:, 0])


def test_readers_without_an_outline_do_not_disagree() -> None:
    masks = np.zeros((3, 4, 4, 4), bool)
    masks[0, :2, 1:3, 1:3] = True  # two readers agree, two outlined nothing
    masks[1, 0, 1:3, 1:3] = True  # one reader alone
    masks[2, 0, :, :2] = masks[2, 1, :, :2] = masks[2, 2, :, 2:] = True  # two agree, the third is elsewhere
    agreement = readers_dice(masks)
    assert agreement[0] == 1
    assert np.isnan(agreement[1])
    assert agreement[2] == pytest.approx(1 / 3)
