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
_MODEL = ("carbon-midl U-Net", "1")
_CHECKPOINT = ("carbon-midl checkpoint", "1")
_TRAIN_AGAIN = "Train the network again."
_BEGIN_AGAIN = "Remove the file to begin again, or name another directory."


@dataclass(frozen=True)
class ModelCard:
    """The description that is stored with a network's weights: its shape, and the crops it was trained on.

    Attributes:
        filters: initial filters F.
        depth: levels.
        channels: input channels.
        size: height and width of the training crops, px.
        intensity: scale of those crops.
        readers: the training target.
        crops: fingerprint of the crops' archive.
        model: "unet", or the ``package.module:function`` that makes the network.
    """

    filters: int
    depth: int
    channels: int
    size: int
    intensity: Intensity
    readers: str
    crops: str
    model: str = BUILT_IN

    @classmethod
    def from_options(cls, options: RunOptions, archive: CropArchive) -> "ModelCard":
        """The card of a network that is trained with ``options`` on ``archive``."""
        return cls(
            filters=options.filters,
            depth=options.depth,
            channels=1,
            size=archive.size,
            intensity=archive.intensity,
            readers=options.readers,
            crops=archive.fingerprint,
            model=options.model,
        )

    def check_crops(self, archive: CropArchive, model: Path) -> None:
        """Check that the crops of ``archive`` have the intensity scale that the network was trained on.

        Raises:
            InputError: they have another, on which the same tissue has other values.
        """
        if archive.intensity != self.intensity:
            scales = (archive.intensity, self.intensity)
            theirs, ours = (f"{scale.unit} {scale.low:g} … {scale.high:g}" for scale in scales)
            raise InputError(
                f"{archive.path}: crops on the intensity scale {theirs}, but {model} was trained on {ours}; its masks "
                "would mean nothing. Use crops made as those were, or train a network on these."
            )


def save_model(model: "nn.Module", card: ModelCard, path: Path) -> None:
    """Write weights and card, whole or not at all."""
    _write_tensors(path, model.state_dict(), _MODEL, card=json.dumps(asdict(card)))


def load_model(path: Path | str) -> tuple["nn.Module", ModelCard]:
    """Read a network that ``save_model`` wrote; nothing in the file is executed.

    A network other than the built-in U-Net is made by calling the function that the file names.

    Args:
        path: the file, or the directory of a run with ``weights.safetensors``.

    Raises:
        InputError: the file is missing, damaged, or of another kind or version.
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
    """Load the weights in a file into ``model``.

    Args:
        model: the network.
        path: the file.
        card: the network's description.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    saved, saved_card = load_model(path)
    for name in ("model", "filters", "depth", "channels"):
        if getattr(saved_card, name) != getattr(card, name):
            raise InputError(
                f"{path}: weights of a network with {name} = {getattr(saved_card, name)}; "
                f"expected {getattr(card, name)}. Name the file of that network."
            )
    model.load_state_dict(saved.state_dict())


def model_path(path: Path) -> Path:
    """Return the file of weights: ``path`` itself, or ``weights.safetensors`` in this directory.

    Raises:
        InputError: there is no such file.
    """
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
    """How far a training is.

    Attributes:
        epochs: the finished epochs.
        best_epoch: the epoch (from 1) whose weights are kept; 0 before the first is finished.
        losses: if an epoch was interrupted, the losses of its batches that are done.
        spent_s: duration of those batches.
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
    path: Path, run: str, progress: Progress, model: "nn.Module", optimiser: "torch.optim.Optimizer"
) -> None:
    """Write the state of a training, whole or not at all.

    The batches follow from the seed and the epoch, so network, optimiser and the position in the epoch are enough: on a
    CPU a resumed training gives exactly the weights of one that was never interrupted.

    Args:
        path: the file.
        run: fingerprint of the run; only the same run may resume from this state.
        progress: how far the training is.
        model: the network.
        optimiser: the optimiser of its parameters.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    _write_tensors(path, tensors, _CHECKPOINT, run=run, progress=json.dumps(asdict(progress)))


def load_checkpoint(path: Path, model: "nn.Module", optimiser: "torch.optim.Optimizer") -> Progress:
    """Load a stored state into ``model`` and ``optimiser``; nothing in the file is executed.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
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
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    on_device = optimiser.param_groups[0].get("fused") or optimiser.param_groups[0].get("capturable")
    for name, value in tensors.items():
        if not name.startswith("optimiser."):
            continue
        _, number, key = name.split(".", 2)
        parameter = parameters[int(number)]
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
        _check_format(path, metadata, _CHECKPOINT, _BEGIN_AGAIN)
    except (OSError, SafetensorError, InputError):
        return None
    return metadata.get("run")


def _write_tensors(path: Path, tensors: "dict[str, torch.Tensor]", kind: tuple[str, str], **description: str) -> None:
    from safetensors.torch import save_file

    metadata = {"format": kind[0], "version": kind[1], **description}
    with replaced(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def _read_tensors(path: Path, kind: tuple[str, str], way_out: str) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: missing, truncated or no safetensors file ({error}).") from None
    _check_format(path, metadata, kind, way_out)
    return metadata, tensors


def _check_format(path: Path, metadata: dict[str, str], kind: tuple[str, str], way_out: str) -> None:
    found = f"{metadata.get('format', 'weights without a description')} {metadata.get('version', '')}".strip()
    if found != " ".join(kind):
        raise InputError(f"{path}: found {found}, expected {' '.join(kind)}. {way_out}")
