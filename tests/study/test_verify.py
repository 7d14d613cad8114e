"""What is wrong in recorded results is found, and named with its table, row, run, column, found and expected value."""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.study.results import TABLES, Results, read_results
from carbon_midl.study.share import verify

RECORDED = Path(__file__).parents[2] / "results" / "recipes"
LAST = "filters-16-seed-1"  # the sixth row of runs.csv
R, E, S, M = "runs.csv", "epochs.csv", "slices.csv.gz", "manifest.json"


def change(directory: Path, file: str, edit: Callable[[Any], Any]) -> None:
    """Edit a table as text, or the manifest."""
    path = directory / file
    if file == M:
        path.write_text(json.dumps(edit(json.loads(path.read_text()))))
        return
    content = gzip.decompress(path.read_bytes()) if file == S else path.read_bytes()
    edited = edit(pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)).to_csv(index=False).encode()
    path.write_bytes(gzip.compress(edited) if file == S else edited)


def cell(row: int, column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{column: table[column].where(table.index != row - 1, value)})


def millionth(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: cell(6, column, str(float(table[column][5]) * (1 + 1e-6)))(table)


def one_more(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: cell(6, column, str(int(table[column][5]) + 1))(table)


def said(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda manifest: manifest | values


@pytest.mark.parametrize("recorded", sorted(path.parent.name for path in RECORDED.parent.glob(f"*/{R}")))
def test_what_was_recorded_agrees(recorded: str) -> None:
    results = read_results(RECORDED.with_name(recorded))
    findings = verify(results)
    assert findings.disagreements == []
    assert findings.numbers[S, "dice"] == len(results.slices)
    assert set(results.manifest["sha256"]) == set(TABLES)


def test_what_was_collected_agrees(whole: Results) -> None:
    findings = verify(whole)
    assert findings.disagreements == []
    assert sum(count >= len(whole.runs) for (file, _), count in findings.numbers.items() if file == R) == 16


@pytest.mark.parametrize(
    ("file", "edit", "says"),
    [
        *((R, millionth(column), f"{R}, row 6, {LAST}, {column}: found ") for column in (
            "test_dice", "test_dice_patients", "val_dice_patients", "val_dice", "energy_kwh", "energy_to_best_kwh",
            "carbon_g", "carbon_to_best_g", "carbon_whole_run_g",
        )),
        (R, millionth("energy_cpu_kwh"), f"{R}, row 6, {LAST}, energy_kwh: found "),
        (R, millionth("intensity_g_per_kwh"), f"{R}, row 6, {LAST}, carbon_to_best_g: found "),
        (R, one_more("test_slices"), f"{R}, row 6, {LAST}, test_slices: found 10, expected 9"),
        (R, one_more("test_patients"), f"{R}, row 6, {LAST}, test_patients: found 4, expected 3"),
        (R, one_more("epochs_trained"), f"{R}, row 6, {LAST}, epochs_trained: found 5, expected 4"),
        (R, one_more("best_epoch"), f"{R}, row 6, {LAST}, best_epoch: found "),
        (R, one_more("parameters"), f"{R}, row 6, {LAST}, parameters: found "),
        (R, one_more("macs"), f"{R}, row 6, {LAST}, macs: found "),
        (R, one_more("epochs"), f"{R}, row 6, {LAST}, fingerprint: found "),
        (R, lambda table: table[:5], f"{M}, runs_done: found 6, expected 5"),
        (E, cell(3, "seed", "1"), f"{E}, row 3, filters-2-seed-0, seed: found 1, expected 0"),
        (E, cell(3, "epoch", "5"), f"{E}, row 3, filters-2-seed-0, epoch: found 5, expected 4"),
        (E, lambda table: table.drop(21), f"{E}, row 22, {LAST}, epoch: found 3, expected 2"),
        (S, cell(85, "target_px", "1"), f"{S}, row 85, {LAST}, target_px: found 1, expected "),
        (S, cell(85, "dice", "1"), f"{S}, row 85, {LAST}, dice: found 1, expected 0."),
        (S, cell(85, "readers_dice", "0.5"), f"{S}, row 85, {LAST}, readers_dice: found 0.5, expected "),
        (S, cell(9, "patient_id", "0001"), "part: found test, expected no part of the split"),
        (S, lambda table: table.drop(84), f"{R}, row 6, {LAST}, test_slices: found 9, expected 8"),
        (S, lambda table: table[table["run"] != LAST], f"{R}, row 6, {LAST}, test_slices: found 9, expected 0"),
        (M, said(runs_done=7), f"{M}, runs_done: found 7, expected 6"),
        (M, said(runs_left_out=[LAST]), f"{M}, runs_left_out: found ['{LAST}'], expected []"),
        (M, said(widths=[2, 3]), f"{M}, widths: found [2, 3], expected [2, 3, 16]"),
        (M, said(study="other"), f"{M}, study: found other, expected tiny"),
        (M, said(sensors=["measured: RAPL"]), f"{M}, sensors: found ['measured: RAPL'], expected "),
        (M, said(abandoned={"attempts": 1, "energy_kwh": 1, "carbon_g": 1}), f"{M}, abandoned.carbon_g: found 1"),
        (M, said(split={"train": 7}), f"{M}, split: found {{'train': 7}}, expected {{'train': 6}}"),
        (M, said(slices={"test": 8}), f"{R}, row 1, filters-2-seed-0, test_slices: found 9, expected 8"),
        (M, said(split_patients={"train": ["a"], "test": ["a"]}), "split_patients of test and train: found ['a']"),
        (M, said(options={"depth": 2, "learning_rate": 0.1}), f"{R}, row 1, filters-2-seed-0, fingerprint: found "),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(directory: Path, file: str, edit: Callable[[Any], Any], says: str) -> None:
    change(directory, file, edit)
    found = verify(read_results(directory)).disagreements
    assert any(says in text for text in found), found


@pytest.mark.parametrize(
    ("file", "edit", "says"),
    [
        (M, said(version=2), r"not the manifest .* results', 2\], expected .* results', 1\]\. Update carbon-midl"),
        (M, said(format="another"), "found .'another', 1., expected .* or collect the study again"),
        (M, said(abandoned={"attempts": 0, "energy_kwh": float("nan"), "carbon_g": 0}), "energy_kwh' is nan"),
        (M, said(split_patients=3), "split_patients"),
        *((file, cell(2, column, word), f"{file}: row 2, filters-2-seed-\\d, {column}: found '{word}', expected a num")
          for file, column in ((R, "test_dice"), (E, "energy_kwh"), (S, "dice")) for word in ("nan", "inf", "", "n/a")),
        (R, cell(2, "seed", "1.5"), "row 2, filters-2-seed-1, seed: found '1.5', expected a whole number"),
        (E, lambda table: table[:0], f"{E}: no rows"),
        (S, lambda table: table.drop(columns="dice"), f"{S}: no column dice"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(directory: Path, file: str, edit: Callable[[Any], Any], says: str) -> None:
    change(directory, file, edit)
    with pytest.raises(InputError, match=says):
        read_results(directory)


@pytest.mark.parametrize("file", [S, M])
@pytest.mark.parametrize("kept", [None, 0, 5, 500, -9])
def test_a_file_that_is_missing_or_cut_off_is_named(directory: Path, file: str, kept: int | None) -> None:
    content = (directory / file).read_bytes()
    (directory / file).unlink()
    if kept is not None:
        (directory / file).write_bytes(content[:kept])
    with pytest.raises(InputError, match=file):
        read_results(directory)


def test_text_that_looks_like_a_number_stays_text(directory: Path) -> None:
    change(directory, R, cell(1, "commit", "12345678e901"))
    change(directory, S, cell(1, "patient_id", "0001"))
    results = read_results(directory)
    assert (results.runs["commit"][0], results.slices["patient_id"][0]) == ("12345678e901", "0001")


def test_verify_tells_all_and_ends_with_1(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "verify", str(directory)]) == 0
    assert "all agree" in capsys.readouterr().out.splitlines()[-1]
    change(directory, R, cell(1, "test_dice", "0.99"))
    assert main(["results", "verify", str(directory)]) == 1
    shown = capsys.readouterr().out
    assert f"2 disagreements in {directory}" in shown
    assert f"{R}, SHA-256: found " in shown
    assert f"{R}, row 1, filters-2-seed-0, test_dice: found 0.99, expected 0." in shown
    shutil.rmtree(directory)
    assert main(["results", "verify", str(directory)]) == 2
