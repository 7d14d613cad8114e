"""Networks on the readers' own target, and what a Dice does not say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.run import RESULT_FORMAT, RESULT_VERSION
from carbon_midl.training.data import split_patients
from studies import crops_figure, readers
from studies.comparisons import SLICE
from tests.conftest import train_a_little, write_discs


@pytest.fixture(scope="module")
def run(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    options, split = train_a_little(discs, directory)
    about = {"format": RESULT_FORMAT, "version": RESULT_VERSION, "options": options.model_dump(), "split": vars(split)}
    write_json(directory / "result.json", about | {"crops": {"fingerprint": discs.fingerprint}})
    return directory


def test_every_table_is_of_the_runs_test_patients(
    discs: CropArchive, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["readers", str(discs.path), str(run), "--out", str(tmp_path / "out")])
    readers.main()
    slices = pd.read_csv(tmp_path / "out" / "slices.csv.gz")
    assert set(slices["patient_id"]) == set(split_patients(discs.patients, 0).test)
    assert slices[["filters", "epochs", "seed"]].drop_duplicates().to_numpy().tolist() == [[4, 12, 0]]
    assert (slices["surface_dice_1px"] <= slices["surface_dice_2px"]).all()
    # Discs are easy: what is within two pixels of the outline nearly all is, and Dice is high.
    assert slices["dice"].mean() > 0.7
    assert slices["hd95_px"].mean() < 5
    calibration = pd.read_csv(tmp_path / "out" / "calibration.csv.gz")
    assert calibration["pixels"].sum() == len(slices) * discs.size**2
    assert calibration["predicted"].dropna().is_monotonic_increasing
    targets = pd.read_csv(tmp_path / "out" / "targets.csv.gz").pivot(index=SLICE, columns="target", values="target_px")
    assert set(targets) == {1, 2, 3, 4}
    assert (targets.fillna(0).diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)  # more readers agree on less
    pd.testing.assert_index_equal(targets[2].dropna().index, pd.MultiIndex.from_frame(slices[SLICE]), check_order=False)
    assert "network_dice" in capsys.readouterr().out


def test_the_crops_of_the_picture_go_from_the_worst_to_the_best(
    discs: CropArchive, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "crops.png"
    monkeypatch.setattr("sys.argv", ["crops_figure", str(discs.path), str(run), str(run), "--out", str(out)])
    crops_figure.main()
    assert out.read_bytes().startswith(b"\x89PNG")
    shown = json.loads(capsys.readouterr().out.partition("first: ")[2])
    assert len(shown) == 12
    assert shown == sorted(shown)


def test_surfaces_of_a_mask_and_itself_moved_and_empty() -> None:
    wanted = np.zeros((3, 20, 20), bool)
    wanted[:, 5:12, 5:12] = True
    predicted = np.stack([wanted[0], np.roll(wanted[1], 2, axis=1), np.zeros_like(wanted[2])])
    found = readers.surfaces(predicted, wanted)
    assert found["surface_dice_1px"][0] == found["surface_dice_2px"][:2].min() == 1
    assert 0 < found["surface_dice_1px"][1] < 1
    assert found["hd95_px"][:2].tolist() == [0, 2]
    assert np.isnan(found["hd95_px"][2])
    assert found["surface_dice_2px"][2] == 0


def test_other_crops_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_discs(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="name those, since the split follows from them"):
        readers.read_run(run, other.path)
