from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.checkpoint import ModelCard, load_model, load_weights, save_model
from carbon_midl.training.options import RunOptions
from carbon_midl.training.unet import UNet

OPTIONS = RunOptions(filters=4, depth=3, readers="at least 3")


@pytest.fixture
def saved(discs: CropArchive, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_model(UNet(4, 3), ModelCard.from_options(OPTIONS, discs), path)
    return path


def test_a_model_comes_back_with_what_it_needs(discs: CropArchive, tmp_path: Path) -> None:
    model = UNet(4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_model(model, ModelCard.from_options(OPTIONS, discs), tmp_path / "weights.safetensors")
    for path in (tmp_path, tmp_path / "weights.safetensors"):
        again, card = load_model(path)
        assert card == ModelCard(4, 3, 1, discs.size, discs.intensity, "at least 3", discs.fingerprint)
        pairs = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_weights_of_another_network_are_refused(saved: Path, discs: CropArchive) -> None:
    other = OPTIONS.model_copy(update={"filters": 8})
    with pytest.raises(InputError, match="weights of another network"):
        load_weights(UNet(8, 3), saved, ModelCard.from_options(other, discs))


def test_damage_is_named(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for content in (b"torn", whole[: len(whole) // 2], b""):
        saved.write_bytes(content)
        with pytest.raises(InputError, match=r"weights\.safetensors: missing, truncated or no safetensors file"):
            load_model(saved)
    save_file({"anything": torch.zeros(1)}, saved)
    with pytest.raises(InputError, match="found weights without a description, expected carbon-midl U-Net 1"):
        load_model(saved)
    with pytest.raises(InputError, match="no model there; expected a run's directory"):
        load_model(tmp_path / "elsewhere")
