import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from carbon_midl.errors import InputError
from carbon_midl.training.network import training_bytes, unet_size
from carbon_midl.training.unet import UNet


@settings(max_examples=15)
@given(filters=st.integers(1, 9), depth=st.integers(1, 5), channels=st.integers(1, 3), steps=st.integers(1, 3))
def test_sizes_are_exact(filters: int, depth: int, channels: int, steps: int) -> None:
    size = steps * 2 ** (depth - 1)
    model = UNet(filters, depth, channels).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        logits = model(torch.zeros(2, channels, size, size))
    counted = unet_size(filters, depth, channels, size)
    assert logits.shape == (2, 1, size, size)
    assert counted.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert counted.macs == counter.get_total_flops() / 2 / 2  # two crops, and two operations a multiply–accumulate


@settings(max_examples=10)
@given(filters=st.integers(1, 6), depth=st.integers(1, 4), batch=st.integers(1, 3))
def test_memory_counts_the_output_of_every_convolution(filters: int, depth: int, batch: int) -> None:
    size = 2 ** (depth + 1)
    model, held = UNet(filters, depth).eval(), []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, output: held.append(output.numel()))
    with torch.inference_mode():
        model(torch.zeros(batch, 1, size, size))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert training_bytes(filters, batch, depth, size) == 4 * (4 * parameters + sum(held))


def test_the_family_of_the_study() -> None:
    """Figures of the published architecture, which the study reconstructs."""
    assert unet_size(4).parameters == 46_129
    assert unet_size(4).macs == pytest.approx(0.058e9, rel=0.01)
    assert unet_size(64).parameters == pytest.approx(11.7e6, rel=0.01)
    assert unet_size(64).macs == pytest.approx(14.8e9, rel=0.01)


def test_a_pixel_sees_the_whole_crop() -> None:
    """The receptive field covers a crop, so size and surroundings of a nodule can inform every pixel."""
    torch.manual_seed(0)
    images = torch.rand(1, 1, 64, 64, requires_grad=True)
    UNet(8).eval()(images)[0, 0, 32, 32].backward()
    seen = images.grad[0, 0].abs() > 0  # type: ignore[index]
    assert seen[4:60, 4:60].float().mean() > 0.9


@pytest.mark.parametrize("arguments", [{"filters": 0}, {"filters": 4.0}, {"filters": True}, {"filters": 4, "depth": 0}])
def test_widths_that_are_no_positive_integers(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected a positive integer"):
        UNet(**arguments)


@pytest.mark.parametrize("size", [4, 20, 30])
def test_crops_that_the_depth_cannot_halve(size: int) -> None:
    with pytest.raises(InputError, match=f"crops of {size} × {size} px: a U-Net of depth 4 .* multiple of 8"):
        UNet(4)(torch.zeros(1, 1, size, size))
