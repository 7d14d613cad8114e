"""A trained U-Net in one safetensors file that says what it needs: its shape, and the crops it was trained on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from carbon_midl.errors import InputError
from carbon_midl.files import replaced
from carbon_midl.lidc.crops import CropArchive, Intensity
from carbon_midl.network import network
from carbon_midl.options import BUILT_IN, RunOptions
from carbon_midl.run_files import WEIGHTS

FORMAT = "carbon-midl U-Net"
VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What goes with the weights.

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
    def of(cls, options: RunOptions, archive: CropArchive) -> "ModelCard":
        """The card of a network that is trained with ``options`` on ``archive``."""
        channels = 1
        return cls(
            options.filters,
            options.depth,
            channels,
            archive.size,
            archive.intensity,
            options.readers,
            archive.fingerprint,
            options.model,
        )

    def check_crops(self, archive: CropArchive, model: Path) -> None:
        """Check that the network can read the crops of ``archive``.

        Raises:
            InputError: their intensity scale is another than in training, so that the same tissue has another value.
        """
        if archive.intensity != self.intensity:
            raise InputError(
                f"{archive.path}: crops on the intensity scale {_text(archive.intensity)}, but {model} was trained on "
                f"{_text(self.intensity)}; its masks would mean nothing. Use crops made as those were, or train a "
                "network on these."
            )


def save_model(model: nn.Module, card: ModelCard, path: Path) -> None:
    """Write weights and card, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"format": FORMAT, "version": str(VERSION), "card": json.dumps(asdict(card))}
    with replaced(path) as temporary:
        save_file(state, temporary, metadata)


def load_model(path: Path | str) -> tuple[nn.Module, ModelCard]:
    """Read a network that ``save_model`` wrote; nothing in the file is executed.

    A network of one's own is made by the function that the file names, which has to be there.

    Args:
        path: the file, or the directory of a run with ``weights.safetensors``.

    Raises:
        InputError: missing, damaged, or of another kind or version.
    """
    path = model_path(Path(path))
    metadata, state = read_safetensors(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
        found = f"{metadata.get('format', 'weights without a description')} {metadata.get('version', '')}".strip()
        raise InputError(f"{path}: found {found}, expected {FORMAT} {VERSION}. Train the network again.")
    try:
        fields = json.loads(metadata["card"])
        card = ModelCard(**{**fields, "intensity": Intensity(*fields["intensity"])})
        model = network(card.model, card.filters, card.depth, card.channels)
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: weights and description do not fit ({reason}). Train the network again.") from None
    return model, card


def load_weights(model: nn.Module, path: Path, card: ModelCard) -> None:
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


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Read the metadata and all tensors of a file.

    Raises:
        InputError: missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: missing, truncated or no safetensors file ({error}).") from None


def _text(scale: Intensity) -> str:
    return f"{scale.unit} {scale.low:g} … {scale.high:g}"
