"""The model family: 2D U-Nets whose width is the number of initial filters F.

Ronneberger et al., MICCAI 2015, arXiv:1505.04597, in the shape of the closest public code of the study's author
(cFlow): levels that double the filters, blocks of three 3 × 3 convolutions, average pooling, bilinear upsampling.
"""

import torch
from torch import Tensor, nn

from carbon_midl.errors import InputError
from carbon_midl.training.options import check_crop_size

CONVOLUTIONS = 3


class ConvolutionBlock(nn.Sequential):
    """Three 3 × 3 convolutions with ReLU, then batch normalisation: ``(N, inputs, H, W)`` to ``(N, outputs, H, W)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for number in range(CONVOLUTIONS):
            layers += [nn.Conv2d(inputs if number == 0 else outputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.BatchNorm2d(outputs))


class Down(nn.Sequential):
    """Halve height and width by average pooling, then convolve."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.AvgPool2d(2), ConvolutionBlock(inputs, outputs))


class Up(nn.Module):
    """Double height and width, append the features of the same level from the way down, then convolve."""

    def __init__(self, below: int, skipped: int, outputs: int) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.convolutions = ConvolutionBlock(below + skipped, outputs)

    def forward(self, below: Tensor, skipped: Tensor) -> Tensor:
        """Join ``(N, below, H/2, W/2)`` and ``(N, skipped, H, W)`` to ``(N, outputs, H, W)``."""
        joined: Tensor = self.convolutions(torch.cat([skipped, self.upsample(below)], dim=1))
        return joined


class UNet(nn.Module):
    """A U-Net that returns one logit per pixel.

    >>> network = UNet(filters=4)
    >>> network(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 1, 64, 64])

    Level l of ``depth`` levels has ``filters * 2**l`` filters; height and width of the images, which have ``channels``,
    must be multiples of ``2**(depth - 1)``. `InputError` for what is no positive integer.
    """

    def __init__(self, filters: int, depth: int = 4, channels: int = 1) -> None:
        for name, value in (("filters", filters), ("depth", depth), ("channels", channels)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} = {value!r}: expected a positive integer.")
        super().__init__()
        self.depth = depth
        widths = [filters * 2**level for level in range(depth)]
        self.first = ConvolutionBlock(channels, widths[0])
        self.down = nn.ModuleList(Down(widths[level], widths[level + 1]) for level in range(depth - 1))
        self.up = nn.ModuleList(
            Up(widths[level + 1], widths[level], widths[level]) for level in reversed(range(depth - 1))
        )
        self.out = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, H, W)`` to logits ``(N, 1, H, W)``."""
        check_crop_size(images.shape[-2:], self.depth)
        features = [self.first(images)]
        for down in self.down:
            features.append(down(features[-1]))
        below = features.pop()
        for up in self.up:
            below = up(below, features.pop())
        logits: Tensor = self.out(below)
        return logits
