from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.checkpoint import ModelCard, load_model, load_weights
from carbon_midl.training.data import parse_target, select_rows, split_patients
from carbon_midl.training.fit import Fit, Training, begin, fit
from carbon_midl.training.options import RunOptions
from carbon_midl.training.scoring import LOSSES, predict, score, validate
from carbon_midl.training.unet import UNet

QUICK = RunOptions(filters=4, depth=3, epochs=3, batch_size=8, learning_rate=1e-2)


def train(archive: CropArchive, options: RunOptions, directory: Path) -> tuple[Training, Fit]:
    parts = select_rows(archive, split_patients(archive.patients, options.split_seed), options.readers)
    training = begin(options)
    return training, fit(training, archive, parts, options, directory)


@pytest.mark.parametrize("recipe", [pytest.param("reference", marks=pytest.mark.slow), "efficient"])
def test_it_learns_to_find_discs(discs: CropArchive, tmp_path: Path, recipe: str) -> None:
    options = QUICK.model_copy(update={"epochs": 12, "recipe": recipe})
    parts = select_rows(discs, split_patients(discs.patients, 0), options.readers)
    training, fitted = train(discs, options, tmp_path)
    assert fitted.epochs[-1].train_loss < 0.6 * fitted.epochs[0].train_loss
    scores = score(training.model, discs, parts.test, options.readers)
    assert np.mean([row["dice"] for row in scores]) > 0.85
    assert len(scores) == len(parts.test)


@pytest.mark.parametrize("recipe", [pytest.param("reference", marks=pytest.mark.slow), "efficient"])
def test_equal_seeds_give_equal_weights_and_others_do_not(discs: CropArchive, tmp_path: Path, recipe: str) -> None:
    first, again, other = (
        train(discs, QUICK.model_copy(update={"seed": seed, "recipe": recipe, "epochs": 2}), tmp_path / str(number))
        for number, seed in enumerate((0, 0, 1))
    )
    weights = [training.model.state_dict().values() for training, _ in (first, again)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert [epoch.val_dice for epoch in first[1].epochs] == [epoch.val_dice for epoch in again[1].epochs]
    assert first[1].epochs[0].train_loss != other[1].epochs[0].train_loss


def test_the_best_validation_weights_are_kept(discs: CropArchive, tmp_path: Path) -> None:
    # A rate this high makes validation Dice go up and down.
    options = QUICK.model_copy(update={"epochs": 6, "learning_rate": 0.05, "schedule": "constant"})
    training, fitted = train(discs, options, tmp_path)
    assert fitted.best_epoch == 1 + int(np.argmax([epoch.val_dice for epoch in fitted.epochs]))
    parts = select_rows(discs, split_patients(discs.patients, 0), options.readers)
    batches = training.recipe.batches(discs, parts.validation, parse_target(options.readers))
    assert validate(training.model, batches, LOSSES[options.loss], training.recipe)[1] == fitted.val_dice
    fresh = begin(options).model
    load_weights(fresh, tmp_path / "weights.safetensors", ModelCard.from_options(options, discs))
    assert np.array_equal(predict(fresh, discs, parts.test), predict(training.model, discs, parts.test))


def test_patience_ends_a_training_that_does_not_improve(discs: CropArchive, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"epochs": 30, "learning_rate": 1e-9, "patience": 2})
    _, fitted = train(discs, options, tmp_path)
    assert len(fitted.epochs) < 30
    assert len(fitted.epochs) - fitted.best_epoch == 2
    said = f"early: validation Dice was best in epoch {fitted.best_epoch} and not better in 2 epochs since"
    assert fitted.stopped == said


def test_every_epoch_has_its_window_and_may_be_the_last(discs: CropArchive, tmp_path: Path) -> None:
    opened: list[tuple[int, bool]] = []

    def window(epoch: int, continues: bool) -> nullcontext[None]:
        opened.append((epoch, continues))
        return nullcontext()

    def reason_to_stop() -> str:
        return "for tea" if len(opened) == 2 else ""

    parts = select_rows(discs, split_patients(discs.patients, 0), QUICK.readers)
    fitted = fit(begin(QUICK), discs, parts, QUICK, tmp_path, epoch_window=window, reason_to_stop=reason_to_stop)
    assert opened == [(1, False), (2, False)]
    assert (fitted.stopped, len(fitted.epochs)) == ("for tea", 2)


def test_a_loss_that_is_not_finite_ends_with_advice_and_the_last_good_state(discs: CropArchive, tmp_path: Path) -> None:
    parts = select_rows(discs, split_patients(discs.patients, 0), QUICK.readers)
    training = begin(QUICK)
    model = training.model
    assert isinstance(model, UNet)

    def spoil(epoch: int, batch: int, batches: int) -> None:
        if (epoch, batch) == (2, 2):
            with torch.no_grad():
                model.out.weight.fill_(float("nan"))

    expected = r"loss is nan in epoch 2, batch 3\. The best weights so far are in .* Use a smaller learning_rate"
    with pytest.raises(InputError, match=expected):
        fit(training, discs, parts, QUICK, tmp_path, on_batch=spoil)
    kept, _ = load_model(tmp_path)
    assert all(torch.isfinite(tensor).all() for tensor in kept.state_dict().values())
    assert len(begin(QUICK, tmp_path / "checkpoint.safetensors").progress.epochs) == 1


def test_slices_without_consensus_are_counted(discs: CropArchive) -> None:
    parts = select_rows(discs, split_patients(discs.patients, 0), QUICK.readers)
    used = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(set(used)) == len(used) == len(discs) - parts.without_target
