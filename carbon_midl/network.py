"""The network that a run trains: the built-in U-Net, or one's own."""

from torch import nn

from carbon_midl.options import BUILT_IN
from carbon_midl.own_model import build
from carbon_midl.unet import UNet


def network(model: str, filters: int, depth: int, channels: int = 1) -> nn.Module:
    """Make a network with fresh weights.

    Args:
        model: "unet", or ``package.module:function``.
        filters: initial filters.
        depth: levels.
        channels: input channels of the built-in one; any other has one.

    Raises:
        InputError: it cannot be made.
    """
    return UNet(filters, depth, channels) if model == BUILT_IN else build(model, filters, depth)
