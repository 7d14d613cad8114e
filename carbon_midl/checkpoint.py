"""The state of an unfinished training, in one safetensors file.

Since batches follow from seed and epoch (see ``draws``), network, optimiser and the position in the epoch are all that
is needed: on a CPU a resumed training gives the very weights of one that was never interrupted.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from carbon_midl.checkpoint_header import FORMAT, VERSION, WAY_OUT, check_format
from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.model_file import read_safetensors


@dataclass(frozen=True)
class Epoch:
    """One row of the per-epoch table; losses are means over crops, Dice is the mean over validation slices."""

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    learning_rate: float
    duration_s: float


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epochs: the finished ones.
        best_epoch: whose weights are kept, from 1; 0 before the first is finished.
        losses: of the batches of the next epoch that are done, when it was interrupted in between.
        spent_s: duration of those.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    losses: list[float] = field(default_factory=list)
    spent_s: float = 0.0

    def finish(self, epoch: Epoch) -> None:
        """Add a finished epoch."""
        if self.best_epoch == 0 or epoch.val_dice > self.epochs[self.best_epoch - 1].val_dice:
            self.best_epoch = epoch.epoch
        self.epochs.append(epoch)
        self.losses, self.spent_s = [], 0.0

    def describe(self) -> str:
        """Such as "after epoch 3, batch 17"."""
        return f"after epoch {len(self.epochs)}" + (f", batch {len(self.losses)}" if self.losses else "")


def save_checkpoint(
    path: Path, run: str, progress: Progress, model: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: the file.
        run: fingerprint of the run; only the same run may go on from here.
        progress: how far it is.
        model: the network.
        optimiser: of its parameters.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "run": run,
        "progress": json.dumps(asdict(progress)),
    }
    with replaced(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Put a stored state into ``model`` and ``optimiser``; nothing in the file is executed.

    Raises:
        InputError: missing, damaged, or of another network.
    """
    metadata, tensors = read_safetensors(path)
    check_format(path, metadata)
    try:
        stored = json.loads(metadata["progress"])
        progress = Progress(**{**stored, "epochs": [Epoch(**epoch) for epoch in stored["epochs"]]})
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a checkpoint of this U-Net ({reason}). {WAY_OUT}") from None
    _restore(optimiser, tensors)
    return progress


def _restore(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        if not name.startswith("optimiser."):
            continue
        _, number, key = name.split(".", 2)
        parameter = parameters[int(number)]
        # A fused optimiser walks through parameter and state alike, so that both need one memory layout.
        stored = torch.empty_like(parameter, dtype=value.dtype) if value.shape == parameter.shape else None
        state = optimiser.state[parameter]
        if stored is not None:
            state[key] = stored.copy_(value)
        else:
            # Adam keeps its count of steps on the device only where it needs it there.
            on_device = optimiser.param_groups[0].get("fused") or optimiser.param_groups[0].get("capturable")
            state[key] = value.to(parameter.device) if on_device else value
