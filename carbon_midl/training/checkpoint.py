"""What a training leaves on disk, in safetensors files: its best weights, and the state of an unfinished one.

Torch is imported where tensors are read or written, so that who only looks whether there is a checkpoint need not wait.
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
"""The file of a run's directory that says, beside much else, which patients it was trained on."""
_MODEL_FORMAT, _MODEL_VERSION = "carbon-midl U-Net", 1
_CHECKPOINT_FORMAT, _CHECKPOINT_VERSION = "carbon-midl checkpoint", 1
_BEGIN_AGAIN = "Remove the file to begin again, or name another directory."


@dataclass(frozen=True)
class ModelCard:
    """What a network's weights need to be used: its shape, and the crops it was trained on.

    Attributes:
        filters: initial filters F.
        depth: levels.
        channels: input channels.
        size: height and width of the crops it was trained on, px.
        intensity: scale of those crops.
        readers: the target it was trained towards.
        crops: fingerprint of their archive.
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
        """Check that the network can read the crops of ``archive``.

        Raises:
            InputError: their intensity scale is another than in training, so that the same tissue has another value.
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
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"format": _MODEL_FORMAT, "version": str(_MODEL_VERSION), "card": json.dumps(asdict(card))}
    with replaced(path) as temporary:
        save_file(state, temporary, metadata)


def load_model(path: Path | str) -> tuple["nn.Module", ModelCard]:
    """Read a network that ``save_model`` wrote; nothing in the file is executed.

    A network of one's own is made by the function that the file names, which has to be there.

    Args:
        path: the file, or the directory of a run with ``weights.safetensors``.

    Raises:
        InputError: missing, damaged, or of another kind or version.
    """
    path = model_path(Path(path))
    metadata, state = _read_tensors(path)
    if metadata.get("format") != _MODEL_FORMAT or metadata.get("version") != str(_MODEL_VERSION):
        found = f"{metadata.get('format', 'weights without a description')} {metadata.get('version', '')}".strip()
        raise InputError(f"{path}: found {found}, expected {_MODEL_FORMAT} {_MODEL_VERSION}. Train the network again.")
    try:
        fields = json.loads(metadata["card"])
        card = ModelCard(**{**fields, "intensity": Intensity(*fields["intensity"])})
        model = build_network(card.model, card.filters, card.depth, card.channels)
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and description do not fit ({reason}). Train the network again.") from None
    return model, card


def load_weights(model: "nn.Module", path: Path, card: ModelCard) -> None:
    """Put the weights of a file into ``model``.

    Args:
        model: the network.
        path: the file.
        card: of the network.

    Raises:
        InputError: missing, damaged, or of another network.
    """
    saved, found = load_model(path)
    for name in ("model", "filters", "depth", "channels"):
        if getattr(found, name) != getattr(card, name):
            raise InputError(
                f"{path}: weights of a network with {name} = {getattr(found, name)}; expected {getattr(card, name)}. "
                "Name the file of that network."
            )
    model.load_state_dict(saved.state_dict())


def model_path(path: Path) -> Path:
    """The file itself, or that of the run in this directory.

    Raises:
        InputError: there is none.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: no model there; expected a run's directory or its {WEIGHTS}, such as runs/demo/filters-4-seed-0."
        )
    return file


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
    path: Path, run: str, progress: Progress, model: "nn.Module", optimiser: "torch.optim.Optimizer"
) -> None:
    """Write the state of a training, whole or not at all.

    Batches follow from seed and epoch, so network, optimiser and the position in the epoch are all that is needed: on a
    CPU a resumed training gives the very weights of one that was never interrupted.

    Args:
        path: the file.
        run: fingerprint of the run; only the same run may go on from here.
        progress: how far it is.
        model: the network.
        optimiser: of its parameters.
    """
    from safetensors.torch import save_file

    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    metadata = {
        "format": _CHECKPOINT_FORMAT,
        "version": str(_CHECKPOINT_VERSION),
        "run": run,
        "progress": json.dumps(asdict(progress)),
    }
    with replaced(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def load_checkpoint(path: Path, model: "nn.Module", optimiser: "torch.optim.Optimizer") -> Progress:
    """Put a stored state into ``model`` and ``optimiser``; nothing in the file is executed.

    Raises:
        InputError: missing, damaged, or of another network.
    """
    metadata, tensors = _read_tensors(path)
    _check_checkpoint(path, metadata)
    try:
        stored = json.loads(metadata["progress"])
        progress = Progress(**{**stored, "epochs": [Epoch(**epoch) for epoch in stored["epochs"]]})
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a checkpoint of this U-Net ({reason}). {_BEGIN_AGAIN}") from None
    _restore(optimiser, tensors)
    return progress


def checkpointed_run(path: Path) -> str | None:
    """The fingerprint of the run whose state is stored, or None where nothing usable is."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        _check_checkpoint(path, metadata)
    except (OSError, SafetensorError, InputError):
        return None
    return metadata.get("run")


def _check_checkpoint(path: Path, metadata: dict[str, str]) -> None:
    kind, version = metadata.get("format"), metadata.get("version")
    if (kind, version) != (_CHECKPOINT_FORMAT, str(_CHECKPOINT_VERSION)):
        raise InputError(
            f"{path}: found {kind} {version}, expected {_CHECKPOINT_FORMAT} {_CHECKPOINT_VERSION}. {_BEGIN_AGAIN}"
        )


def _restore(optimiser: "torch.optim.Optimizer", tensors: "dict[str, torch.Tensor]") -> None:
    """Put Adam's moments and counts back; ``load_state_dict`` would lose the memory layout of the moments."""
    import torch

    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        if not name.startswith("optimiser."):
            continue
        _, number, key = name.split(".", 2)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # A fused optimiser walks through parameter and moment alike, so that both need one memory layout.
            optimiser.state[parameter][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:
            # Adam keeps its count of steps on the device only where it needs it there.
            on_device = optimiser.param_groups[0].get("fused") or optimiser.param_groups[0].get("capturable")
            optimiser.state[parameter][key] = value.to(parameter.device) if on_device else value


def _read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: missing, truncated or no safetensors file ({error}).") from None
