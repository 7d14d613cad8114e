from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from carbon_midl.batches import CropBatches, flip_and_turn, training_batches
from carbon_midl.errors import InputError
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.lidc.split import split_patients
from carbon_midl.lidc.targets import parse_target
from carbon_midl.options import RunOptions
from carbon_midl.training import (
    Fit,
    build_model,
    build_optimiser,
    fit,
    load_weights,
    predict,
    score,
    segmentation_loss,
    select_parts,
    validate,
)
from carbon_midl.unet import UNet

QUICK = RunOptions(filters=4, depth=3, epochs=3, batch_size=8, learning_rate=1e-2)


def train(archive: CropArchive, options: RunOptions, weights: Path) -> tuple[UNet, Fit]:
    parts = select_parts(archive, split_patients(archive.patients, options.split_seed), options)
    model = build_model(options)
    return model, fit(
        model, build_optimiser(model, options), archive, parts, options, weights, lambda epoch: nullcontext()
    )


def test_it_learns_to_find_discs(discs: CropArchive, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"epochs": 12})
    parts = select_parts(discs, split_patients(discs.patients, 0), options)
    model, fitted = train(discs, options, tmp_path / "w.safetensors")
    assert fitted.epochs[-1].train_loss < 0.6 * fitted.epochs[0].train_loss
    scores = score(model, discs, parts.test, options)
    assert np.mean([row["dice"] for row in scores]) > 0.85
    assert len(scores) == len(parts.test)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(discs: CropArchive, tmp_path: Path) -> None:
    first, again, other = (
        train(discs, QUICK.model_copy(update={"seed": seed}), tmp_path / f"{n}.safetensors")
        for n, seed in enumerate((0, 0, 1))
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first[0].state_dict().values(), again[0].state_dict().values(), strict=True)
    )
    assert [epoch.val_dice for epoch in first[1].epochs] == [epoch.val_dice for epoch in again[1].epochs]
    assert first[1].epochs[0].train_loss != other[1].epochs[0].train_loss


def test_the_best_validation_weights_are_kept(discs: CropArchive, tmp_path: Path) -> None:
    # A rate this high makes validation Dice go up and down.
    options = QUICK.model_copy(update={"epochs": 6, "learning_rate": 0.05, "schedule": "constant"})
    model, fitted = train(discs, options, tmp_path / "w.safetensors")
    assert fitted.best_epoch == 1 + int(np.argmax([epoch.val_dice for epoch in fitted.epochs]))
    parts = select_parts(discs, split_patients(discs.patients, 0), options)
    assert validate(model, discs, parts.validation, options)[1] == fitted.val_dice
    fresh = build_model(options)
    load_weights(fresh, tmp_path / "w.safetensors")
    assert np.array_equal(predict(fresh, discs, parts.test), predict(model, discs, parts.test))


def test_patience_ends_a_training_that_does_not_improve(discs: CropArchive, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"epochs": 30, "learning_rate": 1e-9, "patience": 2})
    _, fitted = train(discs, options, tmp_path / "w.safetensors")
    assert len(fitted.epochs) < 30
    assert len(fitted.epochs) - fitted.best_epoch == 2


def test_every_epoch_has_its_window(discs: CropArchive, tmp_path: Path) -> None:
    opened: list[int] = []

    @contextmanager
    def window(epoch: int) -> Iterator[None]:
        opened.append(epoch)
        yield

    parts = select_parts(discs, split_patients(discs.patients, 0), QUICK)
    model = build_model(QUICK)
    fit(model, build_optimiser(model, QUICK), discs, parts, QUICK, tmp_path / "w.safetensors", window)
    assert opened == [1, 2, 3]


def test_a_loss_that_is_not_finite_ends_with_advice(discs: CropArchive, tmp_path: Path) -> None:
    parts = select_parts(discs, split_patients(discs.patients, 0), QUICK)
    model = build_model(QUICK)
    with torch.no_grad():
        model.out.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"training loss is nan in epoch 1, batch 1\. Use a smaller learning_rate"):
        fit(
            model,
            build_optimiser(model, QUICK),
            discs,
            parts,
            QUICK,
            tmp_path / "w.safetensors",
            lambda epoch: nullcontext(),
        )


def test_no_patient_is_in_two_parts_and_slices_without_consensus_are_counted(discs: CropArchive) -> None:
    parts = select_parts(discs, split_patients(discs.patients, 0), QUICK)
    patients = [set(discs.index["patient_id"].iloc[rows]) for rows in (parts.train, parts.validation, parts.test)]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    used = len(parts.train) + len(parts.validation) + len(parts.test)
    assert used + parts.without_target == len(discs)


def test_weights_of_another_width_are_refused(discs: CropArchive, tmp_path: Path) -> None:
    train(discs, QUICK.model_copy(update={"epochs": 1}), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: not the weights of this U-Net"):
        load_weights(UNet(8, 3), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"w\.safetensors: not the weights"):
        load_weights(UNet(4, 3), tmp_path / "w.safetensors")


def test_the_loss_is_lowest_for_the_target() -> None:
    targets = (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    right, wrong = segmentation_loss(20 * (targets - 0.5), targets), segmentation_loss(-20 * (targets - 0.5), targets)
    assert right < 0.01
    assert wrong > 10


def test_image_and_target_turn_together_into_all_eight_orientations() -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    images = np.repeat(picture[None], 400, axis=0)
    targets = images.copy()
    flip_and_turn(images, targets, np.random.default_rng(0))
    assert np.array_equal(images, targets)
    turned = [np.rot90(picture, k) for k in range(4)]
    expected = {array.tobytes() for array in turned} | {np.ascontiguousarray(a[:, ::-1]).tobytes() for a in turned}
    assert {image.tobytes() for image in images} == expected


def test_an_epoch_sees_every_crop_once_in_random_order(discs: CropArchive) -> None:
    batches = CropBatches(discs, np.arange(20), parse_target("any"), augment=False, generator=np.random.default_rng(0))
    seen = torch.cat([images for images, _ in training_batches(batches, 8, torch.Generator().manual_seed(1))])[:, 0]
    order = [next(row for row in range(20) if np.array_equal(discs.inputs([row])[0], image)) for image in seen.numpy()]
    assert sorted(order) == list(range(20))
    assert order != list(range(20))


def test_a_single_crop_left_over_is_not_trained_on_alone(discs: CropArchive) -> None:
    batches = CropBatches(discs, np.arange(17), parse_target("any"), False, np.random.default_rng(0))
    assert [len(images) for images, _ in training_batches(batches, 8, torch.Generator())] == [8, 8]
