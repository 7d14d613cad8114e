"""The safetensors files of a training: its best weights, and its state while it is unfinished.

Torch is imported only where tensors are read or written, so that looking for a checkpoint is quick.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.lidc.crops import CropArchive, Intensity
from carbon_midl.training.network import build_network
from carbon_midl.training.options import BUILT_IN, RunOptions

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
RESULT = "result.json"
"""The file in a run's directory that lists, beside much else, the patients it was trained on."""
# Kind of file and version of its format.
_MODEL = "carbon-midl U-Net 1"
_CHECKPOINT = "carbon-midl checkpoint 1"
_TRAIN_AGAIN = "Train the network again."
_BEGIN_AGAIN = "Remove the file to begin again, or name another directory."


@dataclass(frozen=True)
class ModelCard:
    """The description that is stored with a network's weights: its shape, and the crops it was trained on."""

    filters: int  #: initial filters F.
    depth: int  #: levels.
    channels: int  #: input channels.
    size: int  #: height and width of the training crops, px.
    intensity: Intensity  #: scale of those crops.
    readers: str  #: the training target.
    crops: str  #: fingerprint of the crops' archive.
    model: str = BUILT_IN  #: or the ``package.module:function`` that makes the network.

    @classmethod
    def from_options(cls, options: RunOptions, archive: CropArchive) -> "ModelCard":
        """The card of a network that is trained with ``options`` on ``archive``."""
        return cls(
            options.filters, options.depth, 1, archive.size, archive.intensity,
            options.readers, archive.fingerprint, options.model,
        )  # fmt: skip


def save_model(model: "nn.Module", card: ModelCard, path: Path) -> None:
    """Write weights and card, whole or not at all."""
    _write_tensors(path, model.state_dict(), _MODEL, card=json.dumps(asdict(card)))


def load_model(path: Path | str) -> tuple["nn.Module", ModelCard]:
    """Read a network that ``save_model`` wrote, from its file or a run's directory; nothing in the file is executed.

    A network other than the built-in U-Net is made by calling the function that the file names. `InputError` for a file
    that is missing, damaged, or of another kind or version.
    """
    path = model_path(Path(path))
    metadata, state = _read_tensors(path, _MODEL, _TRAIN_AGAIN)
    try:
        fields = json.loads(metadata["card"])
        card = ModelCard(**{**fields, "intensity": Intensity(*fields["intensity"])})
        model = build_network(card.model, card.filters, card.depth, card.channels)
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and description do not fit ({reason}). {_TRAIN_AGAIN}") from None
    return model, card


def load_weights(model: "nn.Module", path: Path, card: ModelCard) -> None:
    """Load the weights in a file into ``model``; `InputError` unless their description is ``card``."""
    saved, saved_card = load_model(path)
    if saved_card != card:
        raise InputError(f"{path}: weights of another network or of other crops. Name the file of this training.")
    model.load_state_dict(saved.state_dict())


def model_path(path: Path) -> Path:
    """Return the file of weights: ``path`` itself, or that in this directory; ``InputError`` if there is none."""
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: no model there; expected a run's directory or its {WEIGHTS}, such as runs/demo/filters-4-seed-0."
        )
    return file


@dataclass(frozen=True)
class Epoch:
    """One row of the per-epoch table: losses as means over crops, Dice as mean over validation slices."""

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    learning_rate: float
    duration_s: float


@dataclass
class Progress:
    """How far a training is."""

    epochs: list[Epoch] = field(default_factory=list)  #: the finished epochs.
    best_epoch: int = 0  #: the epoch (from 1) whose weights are kept; 0 before the first is finished.
    losses: list[float] = field(default_factory=list)  #: of the batches of an interrupted epoch that are done.
    spent_s: float = 0.0  #: duration of those batches.

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
    path: Path, run: str, progress: Progress, model: "nn.Module", optimiser: "torch.optim.Optimizer"
) -> None:
    """Write the state of a training, from which only the same ``run``, by its fingerprint, may resume.

    The batches follow from the seed and the epoch, so network, optimiser and the position in the epoch are enough: on a
    CPU a resumed training gives exactly the weights of one that was never interrupted.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    _write_tensors(path, tensors, _CHECKPOINT, run=run, progress=json.dumps(asdict(progress)))


def load_checkpoint(path: Path, model: "nn.Module", optimiser: "torch.optim.Optimizer") -> Progress:
    """Load a stored state into ``model`` and ``optimiser``; `InputError` if it is damaged or of another network."""
    import torch

    metadata, tensors = _read_tensors(path, _CHECKPOINT, _BEGIN_AGAIN)
    try:
        stored = json.loads(metadata["progress"])
        progress = Progress(**{**stored, "epochs": [Epoch(**epoch) for epoch in stored["epochs"]]})
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a checkpoint of this U-Net ({reason}). {_BEGIN_AGAIN}") from None
    # Adam's moments and counts of steps; ``load_state_dict`` would lose the memory layout of the moments.
    (group,) = optimiser.param_groups
    on_device = group.get("fused") or group.get("capturable")
    for name in [name for name in tensors if name.startswith("optimiser.")]:
        _, number, key = name.split(".", 2)
        value, parameter = tensors[name], group["params"][int(number)]
        if value.shape == parameter.shape:
            # A fused optimiser reads parameter and moment in step, so both need the same memory layout.
            optimiser.state[parameter][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            # Adam keeps its count of steps on the device only where it needs it there.
            optimiser.state[parameter][key] = value.to(parameter.device) if on_device else value
    return progress


def checkpointed_run(path: Path) -> str | None:
    """Return the fingerprint of the run whose state is stored, or None if there is no usable state."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return metadata.get("run") if _format(metadata) == _CHECKPOINT else None


def _write_tensors(path: Path, tensors: "dict[str, torch.Tensor]", kind: str, **description: str) -> None:
    from safetensors.torch import save_file

    name, _, version = kind.rpartition(" ")
    metadata = {"format": name, "version": version, **description}
    with replaced(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def _read_tensors(path: Path, kind: str, way_out: str) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: missing, truncated or no safetensors file ({error}).") from None
    if _format(metadata) != kind:
        raise InputError(f"{path}: found {_format(metadata)}, expected {kind}. {way_out}")
    return metadata, tensors


def _format(metadata: dict[str, str]) -> str:
    return f"{metadata.get('format', 'weights without a description')} {metadata.get('version', '')}".strip()
