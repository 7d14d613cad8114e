"""Predicting and evaluating from the command line, with a network that was trained a little."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

from carbon_midl.cli import main
from carbon_midl.files import write_json
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.lidc.annotations import connect
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity
from carbon_midl.training.data import split_patients
from carbon_midl.training.evaluate import evaluate, measure_use
from carbon_midl.training.options import SLICES_PER_SCAN
from tests.conftest import train_a_little
from tests.footprint.fakes import FakeClock, constant, make_tracker


@pytest.fixture(scope="module")
def run(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    _, split = train_a_little(discs, directory)
    write_json(directory / "result.json", {"split": {part: list(names) for part, names in vars(split).items()}})
    return directory


def test_masks_are_written_with_their_index(discs: CropArchive, run: Path, tmp_path: Path) -> None:
    assert main(["predict", str(run), str(discs.path), str(tmp_path / "out"), "--probabilities"]) == 0
    masks = np.load(tmp_path / "out" / "masks.npy")
    soft = np.load(tmp_path / "out" / "probabilities.npy")
    index = pd.read_csv(tmp_path / "out" / "index.csv")
    assert masks.dtype == bool
    assert masks.shape == soft.shape == discs.images.shape
    assert (masks == (soft > 0.5)).mean() > 0.999  # float16 may round a probability to one half
    assert index["predicted_px"].tolist() == masks.sum(axis=(1, 2)).tolist()
    assert index.drop(columns="predicted_px").equals(discs.index)
    assert (tmp_path / "out" / "segmentations.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "out" / "meta.json").read_text())["crops"] == discs.fingerprint
    consensus = discs.reader_masks(np.arange(len(discs))).sum(axis=1) >= 2
    assert (masks & consensus).sum() > 0.7 * consensus.sum()


def test_evaluation_agrees_with_monai(
    discs: CropArchive, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "e.json"), "--slices", str(tmp_path / "s.csv")]
    assert main(["evaluate", str(run), str(discs.path), *files]) == 0
    shown = capsys.readouterr().out
    assert "2 of 10 patients, whom it has not seen" in shown
    main(["predict", str(run), str(discs.path), str(tmp_path / "out")])
    slices = pd.read_csv(tmp_path / "s.csv")
    test = split_patients(discs.patients, 0).test
    assert set(slices["patient_id"]) == set(test)
    rows = discs.rows_of(test)
    masks = np.load(tmp_path / "out" / "masks.npy")[rows]
    consensus = discs.reader_masks(rows).sum(axis=1) >= 2
    predicted, wanted = (torch.from_numpy(array[:, None].astype(float)) for array in (masks, consensus))
    counts = get_confusion_matrix(predicted, wanted)
    found = json.loads((tmp_path / "e.json").read_text())
    for ours, theirs in (("dice", "f1 score"), ("sensitivity", "sensitivity"), ("precision", "precision")):
        expected = float(compute_confusion_matrix_metric(theirs, counts).mean())
        assert found[ours]["estimate"] == pytest.approx(expected, rel=1e-6)
    assert found["dice"]["low"] <= found["dice"]["estimate"] <= found["dice"]["high"]
    assert f"{found['dice']['estimate']:.3f}" in shown


def test_all_patients_on_request_and_unknown_ones_are_said_to_be(
    discs: CropArchive, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), str(discs.path), "--patients", "all"]) == 0
    assert "all 10 patients, those it was trained on included" in capsys.readouterr().out
    (tmp_path / "weights.safetensors").write_bytes((run / "weights.safetensors").read_bytes())
    assert main(["evaluate", str(tmp_path / "weights.safetensors"), str(discs.path)]) == 0
    assert "which of them it was trained on is not known" in capsys.readouterr().out


def test_crops_that_the_network_cannot_read_are_refused(
    discs: CropArchive, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, masks = np.zeros((discs.size, discs.size), np.int16), discs.reader_masks([0])[0]
    with CropWriter(tmp_path / "hu", discs.size, Intensity("HU", -1000, 400), {"kind": "discs"}) as crops:
        crops.add(image, masks, patient_id="LIDC-IDRI-0001", nodule=0, slice=0)
    assert main(["predict", str(run), str(tmp_path / "hu"), str(tmp_path / "out")]) == 2
    assert "trained on test 0 … 255; its masks would mean nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400), st.integers(0, 400), st.floats(0, 1)), min_size=1))
def test_every_figure_is_a_mean_of_what_it_says(rows: list[tuple[int, int, int, float]]) -> None:
    table = pd.DataFrame(rows, columns=["patient_id", "target_px", "predicted_px", "share"])
    table["overlap_px"] = (table["share"] * table[["target_px", "predicted_px"]].min(axis=1)).astype(int)
    table["dice"] = 2 * table["overlap_px"] / (table["target_px"] + table["predicted_px"])
    found = evaluate(table)
    assert found.loc["dice", "estimate"] == pytest.approx(table["dice"].mean())
    bands = found[found.index.str.startswith("dice, ")]
    assert bands["n"].sum() == len(table)
    assert (bands["n"] * bands["estimate"]).sum() == pytest.approx(table["dice"].sum(), abs=1e-9)
    assert ("precision" in found.index) == (table["predicted_px"] > 0).any()
    assert (found["low"].isna() == (found["patients"] == 1)).all()


class Timed(torch.nn.Module):
    """Takes 0.1 s for each crop, and some more in its turn."""

    def __init__(self, clock: FakeClock, jitter: float) -> None:
        super().__init__()
        self.clock, self.jitter, self.calls = clock, jitter, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.clock.advance(0.1 * len(images) * (1 + self.jitter * (self.calls // 8 % 2)))
        return images


@pytest.mark.parametrize(("jitter", "repeats", "joules"), [(0.0, 5, 2.0), (0.5, 12, 2.5)])
def test_a_use_is_repeated_until_it_is_known(jitter: float, repeats: int, joules: float) -> None:
    clock = FakeClock()
    tracker = make_tracker(clock, constant("cpu", 20.0))
    use = measure_use(Timed(clock, jitter), torch.zeros(2, 1, 8, 8), limit=0.02, most=12, tracker=tracker)
    assert (use.batch_size, use.repeats, use.method) == (2, repeats, "estimated: W per core")
    assert use.energy_kwh.estimate * J_PER_KWH == pytest.approx(joules, rel=0.01)
    assert use.energy_kwh.low <= use.energy_kwh.estimate <= use.energy_kwh.high
    assert use.duration_s.estimate * 20 == pytest.approx(joules, rel=0.01)
    assert (use.spread <= 0.02) == (repeats < 12)


def test_the_use_of_a_run_is_told_with_its_scan(
    discs: CropArchive, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "use.json"
    told = ["--batch", "2", "--limit", "1", "--slices-per-scan", "100", "--json", str(out)]
    assert main(["model", "use", str(run), str(discs.path), *told]) == 0
    (use,) = json.loads(out.read_text())
    joules = [f"  {use['energy_kwh'][0] * J_PER_KWH * crops:.3g}  " for crops in (1, 100)]
    shown = capsys.readouterr().out.replace(" [", "  [")
    for text in (*joules, "F = 4, crops of 32 px, 100 slices a scan", use["method"]):
        assert text in shown


def test_the_slices_of_a_scan_are_those_of_the_collection() -> None:
    with closing(connect()) as database:
        files = [names.count(",") + 1 for (names,) in database.execute("SELECT sorted_dicom_file_names FROM scans")]
    assert round(np.median(files)) == SLICES_PER_SCAN
