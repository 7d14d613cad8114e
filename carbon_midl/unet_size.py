"""How large a U-Net of the family is, counted from its definition without building it (and so without torch)."""

from collections.abc import Sequence
from typing import NamedTuple

from carbon_midl.errors import InputError

_FLOAT_BYTES = 4


class UNetSize(NamedTuple):
    """Trainable parameters, and multiply–accumulate operations of one forward pass over one crop."""

    parameters: int
    macs: int


def unet_size(filters: int, depth: int = 4, channels: int = 1, size: int = 128) -> UNetSize:
    """Count the U-Net of ``carbon_midl.unet`` exactly.

    A 3 × 3 convolution from i to o channels has ``9io + o`` parameters and ``9io`` MACs a pixel; batch normalisation
    has ``2o`` parameters. As is usual, MACs count convolutions only (no bias, normalisation, pooling or interpolation).

    Args:
        filters: initial filters F.
        depth: levels.
        channels: input channels.
        size: height and width of the crop, px.
    """
    widths = [filters * 2**level for level in range(depth)]
    down = [(channels if level == 0 else widths[level - 1], widths[level], level) for level in range(depth)]
    up = [(widths[level + 1] + widths[level], widths[level], level) for level in range(depth - 1)]
    parameters = widths[0] + 1  # the 1 × 1 convolution to one logit
    macs = widths[0] * size**2
    for inputs, outputs, level in down + up:
        weights = 9 * outputs * (inputs + 2 * outputs)
        parameters += weights + 3 * outputs + 2 * outputs
        macs += weights * (size // 2**level) ** 2
    return UNetSize(parameters, macs)


def training_bytes(filters: int, batch_size: int, depth: int = 4, size: int = 128) -> int:
    """The least memory that a training step needs in 32 bits: what has to be held until its end.

    Of each parameter the value, its gradient and Adam's two moments; of each crop the output of every convolution, from
    which gradients are computed. Copies that libraries make, and the crops themselves, come on top.

    Args:
        filters: initial filters F.
        batch_size: crops a step.
        depth: levels.
        size: height and width of the crops, px.
    """
    down, up = range(depth), range(depth - 1)
    features = sum(3 * filters * 2**level * (size // 2**level) ** 2 for level in (*down, *up)) + size**2
    return _FLOAT_BYTES * (4 * unet_size(filters, depth, size=size).parameters + batch_size * features)


def check_crop_size(size: Sequence[int], depth: int) -> None:
    """Check that crops of ``size`` (height, width) px can be halved ``depth - 1`` times.

    Raises:
        InputError: they cannot.
    """
    step = 2 ** (depth - 1)
    if any(pixels < step or pixels % step for pixels in size):
        raise InputError(
            f"crops of {' × '.join(map(str, size))} px: a U-Net of depth {depth} halves them {depth - 1} times "
            f"and needs a multiple of {step}. Use larger crops or a smaller depth."
        )
