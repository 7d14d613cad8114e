"""Networks of one's own: ``package.module:function`` in place of the built-in U-Net, under the same protocol and meter.

The function is called with those of ``filters`` and ``depth`` that it takes, and returns an ``nn.Module`` from
``(N, 1, H, W)`` images to ``(N, 1, H, W)`` logits. It is called again wherever the network is needed, so it should make
the same network each time; torch's generator is seeded before. The module is looked for in the working copy and among
installed packages.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.errors import InputError
from carbon_midl.unet_size import UNetSize

if TYPE_CHECKING:
    from torch import nn

GIVEN = ("filters", "depth")


def source_of(model: str) -> bytes:
    """The content of the module's file, without running it; changes in what it imports are not seen.

    Args:
        model: as ``package.module:function``.

    Raises:
        InputError: there is no such module, or it has no source.
    """
    module, _ = _split(model)
    _look_here()
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise InputError(
            f"model: no module {module!r} for {model!r}, neither beneath {Path.cwd()} nor installed. Name it as "
            "package.module:function, and start where the package lies, or install it."
        )
    return Path(found.origin).read_bytes()


def build(model: str, filters: int, depth: int) -> "nn.Module":
    """Make the network.

    Args:
        model: as ``package.module:function``.
        filters: given to the function if it takes it.
        depth: given to the function if it takes it.

    Raises:
        InputError: no such module or function, it cannot be called so, or gives no network.
    """
    from torch import nn

    function = _function(model)
    taken = inspect.signature(function).parameters
    given = {name: value for name, value in zip(GIVEN, (filters, depth), strict=True) if name in taken}
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


def check_output(network: "nn.Module", model: str, size: int) -> None:
    """See that a network gives a logit a pixel.

    Args:
        network: on any device.
        model: its name, for the message.
        size: height and width of the crops, px.

    Raises:
        InputError: it fails on such crops, or gives something of another shape.
    """
    import torch

    where = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            found = network(torch.zeros(2, 1, size, size, device=where))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"model: {model} fails on crops of shape (2, 1, {size}, {size}): {reason}.") from error
    finally:
        network.train(training)
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shape != (2, 1, size, size):
        raise InputError(
            f"model: {model} gave {shape} for crops of shape (2, 1, {size}, {size}); expected the same, a logit a "
            "pixel. Wrap it in a function that returns a network of one channel."
        )


def measured_size(model: str, filters: int, depth: int, size: int) -> UNetSize:
    """Trainable parameters, and multiply–accumulates of a crop as torch counts them (convolutions and products)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = build(model, filters, depth).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, size, size))
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return UNetSize(parameters, counter.get_total_flops() // 2)


def _function(model: str) -> Callable[..., Any]:
    module, name = _split(model)
    source_of(model)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise InputError(f"model: {module} cannot be imported ({type(error).__name__}: {error}).") from error
    if not callable(found):
        raise InputError(f"model: {module} has no function {name!r}.")
    function: Callable[..., Any] = found
    return function


def _split(model: str) -> tuple[str, str]:
    module, _, name = model.partition(":")
    return module, name


def _look_here() -> None:
    """Let modules of the working copy be found, as they are by a notebook that is executed there."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
