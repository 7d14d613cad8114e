"""An interrupted training goes on as if nothing had happened, and its weights are read back."""

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.checkpoint import (
    ModelCard,
    checkpointed_run,
    load_checkpoint,
    load_model,
    load_weights,
    save_model,
)
from carbon_midl.training.data import select_rows, split_patients
from carbon_midl.training.fit import Training, begin, build_model, fit
from carbon_midl.training.options import RunOptions
from carbon_midl.training.recipes import RECIPES
from carbon_midl.training.unet import UNet

OPTIONS = RunOptions(filters=3, depth=3, epochs=4, batch_size=8, learning_rate=1e-2, readers="random", patience=3)
CARD = RunOptions(filters=4, depth=3, readers="at least 3")


def go_on(archive: CropArchive, options: RunOptions, directory: Path, stop_at: tuple[int, int] | None) -> Training:
    """Train from the checkpoint, if there is one; ask for an end after the batch ``stop_at`` of an epoch."""
    checkpoint = directory / "checkpoint.safetensors"
    training = begin(options, checkpoint if checkpoint.exists() else None)
    parts = select_rows(archive, split_patients(archive.patients, 0), options.readers)

    def ask(epoch: int, batch: int, batches: int) -> None:
        if (epoch, batch) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(training, archive, parts, options, directory, "this run", on_batch=ask)
    return training


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def without_times(training: Training) -> list[dict[str, float]]:
    return [{key: value for key, value in vars(e).items() if key != "duration_s"} for e in training.progress.epochs]


@pytest.mark.parametrize("recipe", [pytest.param("reference", marks=pytest.mark.slow), "efficient"])
def test_weights_are_those_of_an_uninterrupted_training(discs: CropArchive, tmp_path: Path, recipe: str) -> None:
    options = OPTIONS.model_copy(update={"recipe": recipe})
    whole = go_on(discs, options, tmp_path / "whole", None)
    for stop in [(1, 2), (1, 3), (1, 4), (2, 5), (3, 1), (4, 2)]:
        with pytest.raises(SystemExit) as left:
            go_on(discs, options, tmp_path / "broken", stop)
        assert left.value.code == 128 + signal.SIGTERM
    resumed = go_on(discs, options, tmp_path / "broken", None)
    assert same(whole.model, resumed.model)
    assert without_times(whole) == without_times(resumed)
    kept, _ = load_model(tmp_path / "broken")
    assert same(whole.model, kept)


def test_ctrl_c_saves_too_and_handlers_are_put_back(discs: CropArchive, tmp_path: Path) -> None:
    parts = select_rows(discs, split_patients(discs.patients, 0), OPTIONS.readers)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def ask(epoch: int, batch: int, batches: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"Stopped after epoch 0, batch 1; its state is saved\. Start it again"):
        fit(begin(OPTIONS), discs, parts, OPTIONS, tmp_path, "this run", on_batch=ask)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert checkpointed_run(tmp_path / "checkpoint.safetensors") == "this run"


def test_a_death_between_checkpoint_and_weights_loses_nothing(discs: CropArchive, tmp_path: Path) -> None:
    go_on(discs, OPTIONS.model_copy(update={"epochs": 1}), tmp_path, None)
    (tmp_path / "weights.safetensors").unlink()
    assert len(go_on(discs, OPTIONS, tmp_path, None).progress.epochs) == OPTIONS.epochs
    assert (tmp_path / "weights.safetensors").exists()


def test_a_finished_training_is_not_trained_further(discs: CropArchive, tmp_path: Path) -> None:
    first = go_on(discs, OPTIONS, tmp_path, None)
    again = go_on(discs, OPTIONS, tmp_path, None)
    assert without_times(first) == without_times(again)
    assert same(first.model, again.model)


def test_damaged_and_foreign_checkpoints_are_named(discs: CropArchive, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        go_on(discs, OPTIONS, tmp_path, (1, 2))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(InputError, match=r"not a checkpoint of this U-Net .* Remove the file to begin again"):
        begin(OPTIONS.model_copy(update={"filters": 4}), path)
    with pytest.raises(InputError, match="found carbon-midl checkpoint 1, expected carbon-midl U-Net 1"):
        load_model(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert checkpointed_run(path) is None
    with pytest.raises(InputError, match="truncated or no safetensors file"):
        begin(OPTIONS, path)


@pytest.mark.parametrize("recipe", ["reference", "efficient"])
def test_the_optimisers_state_keeps_the_layout_of_the_weights(discs: CropArchive, tmp_path: Path, recipe: str) -> None:
    options = OPTIONS.model_copy(update={"recipe": recipe})
    with pytest.raises(SystemExit):
        go_on(discs, options, tmp_path, (1, 2))
    made = RECIPES[recipe](torch.device("cpu"))
    model = made.place(build_model(options))
    optimiser = made.optimiser(model, 1e-3)
    load_checkpoint(tmp_path / "checkpoint.safetensors", model, optimiser)
    for parameter in model.parameters():
        assert optimiser.state[parameter]["exp_avg"].stride() == parameter.stride()
        assert float(optimiser.state[parameter]["step"]) == 2


@pytest.fixture
def saved(discs: CropArchive, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_model(UNet(4, 3), ModelCard.from_options(CARD, discs), path)
    return path


def test_a_model_comes_back_with_what_it_needs(discs: CropArchive, tmp_path: Path) -> None:
    model = UNet(4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_model(model, ModelCard.from_options(CARD, discs), tmp_path / "weights.safetensors")
    for path in (tmp_path, tmp_path / "weights.safetensors"):
        again, card = load_model(path)
        assert card == ModelCard(4, 3, 1, discs.size, discs.intensity, "at least 3", discs.fingerprint)
        assert same(model, again)


def test_weights_of_another_network_are_refused(saved: Path, discs: CropArchive) -> None:
    other = CARD.model_copy(update={"filters": 8})
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
