"""The network that a run trains, and its size: the built-in U-Net, or a network of yours.

A network of yours is named ``package.module:function``. The function is called with those of the arguments ``filters``
and ``depth`` that it takes, and returns an ``nn.Module`` from ``(N, 1, H, W)`` images to ``(N, 1, H, W)`` logits. It is
called again wherever the network is needed, so it should make the same network each time; torch's generator is seeded
before. The module may lie in the working directory or in an installed package.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from carbon_midl.errors import InputError
from carbon_midl.training.options import BUILT_IN, RunOptions

if TYPE_CHECKING:
    from torch import nn

_FLOAT_BYTES = 4


class NetworkSize(NamedTuple):
    """Trainable parameters, and multiply–accumulate operations of one forward pass over one crop."""

    parameters: int
    macs: int


def build_network(model: str, filters: int, depth: int, channels: int = 1) -> "nn.Module":
    """Make a network with fresh weights: "unet", or that of ``package.module:function``, of one input channel."""
    from torch import nn

    if model == BUILT_IN:
        from carbon_midl.training.unet import UNet

        return UNet(filters, depth, channels)
    function = _function(model)
    taken = inspect.signature(function).parameters
    given = {name: value for name, value in (("filters", filters), ("depth", depth)) if name in taken}
    try:
        network = function(**given)
    except TypeError as error:
        raise InputError(
            f"model: {model} cannot be called with {', '.join(given) or 'nothing'} ({error}). Give its other arguments "
            "defaults, or wrap it in a function."
        ) from None
    if not isinstance(network, nn.Module):
        raise InputError(f"model: {model} gave {type(network).__name__}; expected a torch.nn.Module.")
    return network


def unet_size(filters: int, depth: int = 4, channels: int = 1, size: int = 128) -> NetworkSize:
    """Count parameters and operations of the built-in U-Net on a crop of ``size`` px, from its definition.

    A 3 × 3 convolution from i to o channels has ``9io + o`` parameters and ``9io`` MACs per pixel; batch normalisation
    has ``2o`` parameters. As is usual, MACs count convolutions only (no bias, normalisation, pooling or interpolation).

    >>> unet_size(4, size=128)
    NetworkSize(parameters=46129, macs=58458112)
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
    return NetworkSize(parameters, macs)


@cache
def network_size(options: RunOptions, size: int) -> NetworkSize:
    """Count parameters and operations of a run's network on crops of ``size`` px; of one of yours as torch does."""
    if options.model == BUILT_IN:
        return unet_size(options.filters, options.depth, size=size)
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = build_network(options.model, options.filters, options.depth).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, size, size))
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return NetworkSize(parameters, counter.get_total_flops() // 2)


def training_bytes(filters: int, batch_size: int, depth: int = 4, size: int = 128) -> int:
    """Return the least memory, in bytes, that a training step in 32 bits needs.

    Counted are each parameter's value, gradient and Adam's two moments, and for each of the ``batch_size`` crops a step
    the output of every convolution, from which gradients are computed.
    """
    down, up = range(depth), range(depth - 1)
    features = sum(3 * filters * 2**level * (size // 2**level) ** 2 for level in (*down, *up)) + size**2
    return _FLOAT_BYTES * (4 * unet_size(filters, depth, size=size).parameters + batch_size * features)


def check_output(network: "nn.Module", model: str, size: int) -> None:
    """Refuse a network, of that name, that does not return one logit per pixel of crops of ``size`` px."""
    import torch

    where = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    network.eval()
    try:
        with torch.no_grad():
            output = network(torch.zeros(2, 1, size, size, device=where))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"model: {model} fails on crops of shape (2, 1, {size}, {size}): {reason}.") from error
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != (2, 1, size, size):
        raise InputError(
            f"model: {model} gave {shape} for crops of shape (2, 1, {size}, {size}); expected the same, a logit a "
            "pixel. Wrap it in a function that returns a network of one channel."
        )


def source_of(model: str) -> bytes:
    """Return the content of the file that defines a network of yours, without running it."""
    module = model.partition(":")[0]
    here = str(Path.cwd())
    # A notebook that is executed in the working directory finds the modules there; so does this function.
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(
            f"model: no module {module!r} for {model!r}, neither beneath {Path.cwd()} nor installed. Name it as "
            "package.module:function, and start where the package lies, or install it."
        )
    return Path(spec.origin).read_bytes()


def _function(model: str) -> Callable[..., Any]:
    source_of(model)
    module, _, name = model.partition(":")
    try:
        function: Callable[..., Any] | None = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise InputError(f"model: {module} cannot be imported ({type(error).__name__}: {error}).") from error
    if not callable(function):
        raise InputError(f"model: {module} has no function {name!r}.")
    return function
