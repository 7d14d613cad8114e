"""Networks of others for studies/own-models.toml: each function returns a network of one channel and one logit a pixel.

A run's fingerprint covers this file, not the packages that it imports: pin those.
"""

from torch import nn


def monai_basic_unet(filters: int) -> nn.Module:
    """MONAI's BasicUNet, which has one level more than the built-in U-Net."""
    from monai.networks.nets import BasicUNet

    widths = (filters, filters, 2 * filters, 4 * filters, 8 * filters, filters)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=widths)


def monai_residual_unet(filters: int) -> nn.Module:
    """MONAI's UNet with residual units."""
    from monai.networks.nets import UNet

    channels = tuple(filters * 2**level for level in range(4))
    return UNet(
        spatial_dims=2, in_channels=1, out_channels=1, channels=channels, strides=(2, 2, 2), num_res_units=2
    )  # fmt: skip


def smp_unet() -> nn.Module:
    """The U-Net of segmentation-models-pytorch with a small encoder, without pretrained weights."""
    import segmentation_models_pytorch as smp

    return smp.Unet(encoder_name="mobilenet_v2", encoder_weights=None, in_channels=1, classes=1)
