"""How large a run's network is, whichever it is."""

from functools import cache

from carbon_midl.options import BUILT_IN, RunOptions
from carbon_midl.unet_size import UNetSize, unet_size


def network_size(options: RunOptions, size: int) -> UNetSize:
    """Trainable parameters and multiply–accumulates of a crop.

    The built-in U-Net is counted from its definition, any other from the network itself, which has to be made for it.

    Args:
        options: of the run.
        size: height and width of the crops, px.

    Raises:
        InputError: a model that cannot be made.
    """
    if options.model == BUILT_IN:
        return unet_size(options.filters, options.depth, size=size)
    return _measured(options.model, options.filters, options.depth, size)


@cache
def _measured(model: str, filters: int, depth: int, size: int) -> UNetSize:
    from carbon_midl.own_model import measured_size

    return measured_size(model, filters, depth, size)
