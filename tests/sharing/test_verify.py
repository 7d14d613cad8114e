"""What is wrong in stored results is found, and named with its file, row, found and expected value."""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.sharing.stored import TABLES, StoredResults, read_stored
from carbon_midl.sharing.verify import verify

RECORDED = Path(__file__).parents[2] / "results" / "recipes"
LAST = "filters-16-seed-1"  # the sixth row of runs.csv


def change(
    directory: Path, file: str, edit: Callable[[pd.DataFrame], pd.DataFrame | None], sealed: bool = False
) -> None:
    """Edit a table as text; unless ``sealed``, whoever did so has removed the manifest's hashes."""
    path = directory / file
    content = gzip.decompress(path.read_bytes()) if file.endswith(".gz") else path.read_bytes()
    table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    edited = edit(table)
    content = (table if edited is None else edited).to_csv(index=False).encode()
    path.write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    if not sealed:
        change_manifest(directory, lambda manifest: manifest.pop("sha256", None))


def change_manifest(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    edit(manifest)
    (directory / "manifest.json").write_text(json.dumps(manifest))


def set_cell(row: int, column: str, value: str | Callable[[str], str]) -> Callable[[pd.DataFrame], None]:
    def edit(table: pd.DataFrame) -> None:
        cell = table[column].iloc[row - 1]
        table.loc[row - 1, column] = value if isinstance(value, str) else value(cell)

    return edit


def without_row(row: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.drop(index=row - 1)


def found(directory: Path) -> list[str]:
    return [str(one) for one in verify(read_stored(directory)).disagreements]


def test_what_was_collected_agrees(whole: StoredResults) -> None:
    findings = verify(whole)
    assert findings.disagreements == []
    # Nine slices in each of six runs, and what is recomputed of each run, at least.
    assert findings.numbers > 6 * (9 + 15)


@pytest.mark.parametrize(
    "recorded", sorted(path.parent for path in RECORDED.parent.glob("*/runs.csv")), ids=lambda path: path.name
)
def test_what_was_recorded_agrees(recorded: Path) -> None:
    stored = read_stored(recorded)
    findings = verify(stored)
    assert findings.disagreements == []
    assert findings.numbers > len(stored.slices)
    assert set(stored.manifest["sha256"]) == set(TABLES)


@pytest.mark.parametrize(
    "column",
    [
        "test_dice", "test_dice_patients", "val_dice", "energy_kwh", "energy_to_best_kwh", "carbon_g",
        "carbon_to_best_g", "carbon_whole_run_g", "energy_cpu_kwh", "pue", "intensity_g_per_kwh",
    ],
)  # fmt: skip
def test_a_number_that_is_off_by_a_millionth_is_named(directory: Path, column: str) -> None:
    change(directory, "runs.csv", set_cell(6, column, lambda cell: repr(float(cell) * (1 + 1e-6))))
    assert any(f"runs.csv, row 6, {LAST}" in text for text in found(directory))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("test_slices", "found 10, expected 9"),
        ("test_patients", "found 4, expected 3"),
        ("epochs_trained", "found 5, expected 4"),
        ("parameters", "expected"),
        ("macs", "expected"),
        ("epochs", "fingerprint"),
    ],
)
def test_a_count_that_is_off_by_one_is_named(directory: Path, column: str, expected: str) -> None:
    change(directory, "runs.csv", set_cell(6, column, lambda cell: str(int(cell) + 1)))
    assert any(text.startswith(f"runs.csv, row 6, {LAST}") and expected in text for text in found(directory))


@pytest.mark.parametrize("column", ["energy_whole_run_kwh", "duration_s"])
def test_a_sum_less_than_its_parts_is_named(directory: Path, column: str) -> None:
    change(directory, "runs.csv", set_cell(6, column, "1e-9"))
    assert any(
        f"runs.csv, row 6, {LAST}, {column}: found 1e-09, expected at least" in text for text in found(directory)
    )


@pytest.mark.parametrize("column", ["target_px", "predicted_px", "overlap_px", "dice"])
def test_a_changed_score_is_named_with_its_row(directory: Path, column: str) -> None:
    change(directory, "slices.csv.gz", set_cell(85, column, "1"))
    named = [text for text in found(directory) if text.startswith(f"slices.csv.gz, row 85, {LAST}, ")]
    assert len(named) >= 1
    assert "expected" in named[0]


@pytest.mark.parametrize(
    ("file", "row", "says"),
    [
        ("runs.csv", 6, [f"epochs.csv, {LAST}, run: found 4 rows, expected none", "runs_done: found 6, expected 5"]),
        ("epochs.csv", 22, [f"epochs.csv, {LAST}, epoch: found 1, 3, 4, expected 1 to 3", "epochs_trained: found 4"]),
        ("slices.csv.gz", 85, [f"runs.csv, row 6, {LAST}, test_slices: found 9, expected 8"]),
    ],
)
def test_a_dropped_row_is_found(directory: Path, file: str, row: int, says: list[str]) -> None:
    change(directory, file, without_row(row))
    text = "\n".join(found(directory))
    assert all(one in text for one in says)


@pytest.mark.parametrize("file", TABLES)
def test_a_row_that_comes_twice_is_found(directory: Path, file: str) -> None:
    change(directory, file, lambda table: pd.concat([table, table.iloc[:1]]))
    assert any("again, expected once" in text for text in found(directory))


def test_all_rows_of_a_run_gone_are_found(directory: Path) -> None:
    change(directory, "slices.csv.gz", lambda table: table[table["run"] != LAST])
    assert f"slices.csv.gz, {LAST}, run: found no rows, expected one or more" in found(directory)


@pytest.mark.parametrize("value", ["nan", "inf", "", "n/a"])
@pytest.mark.parametrize(
    ("file", "row", "column"),
    [("runs.csv", 2, "test_dice"), ("epochs.csv", 3, "energy_kwh"), ("slices.csv.gz", 4, "dice")],
)
def test_a_cell_without_a_number_is_named(directory: Path, file: str, row: int, column: str, value: str) -> None:
    change(directory, file, set_cell(row, column, value))
    with pytest.raises(InputError, match=rf"{file}: row {row}, filters-2-seed-\d, {column}: found '{value}', expected"):
        verify(read_stored(directory))


def test_a_header_with_a_comma_less_is_refused(directory: Path) -> None:
    path = directory / "runs.csv"
    path.write_text(path.read_text().replace("recipe,parameters", "recipe.parameters"))
    with pytest.raises(InputError, match=r"runs\.csv: .* \(rows have more cells than the header"):
        verify(read_stored(directory))


def test_every_changed_byte_of_a_table_is_found(whole: StoredResults) -> None:
    """Of those, too, that follow from nothing else, such as losses and what carbontracker said."""

    @given(st.sampled_from(TABLES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
    def changed(file: str, where: float, change: int) -> None:
        content = bytearray(whole.files[file])
        content[int(where * len(content))] ^= change
        try:
            findings = verify(StoredResults.of_files("results", whole.files | {file: bytes(content)}))
        except InputError as error:
            told = str(error)
        else:
            told = str(findings.disagreements[0])
        assert file in told

    changed()


def test_a_file_from_another_study_is_found(directory: Path) -> None:
    shutil.copy(RECORDED / "epochs.csv", directory)
    named = found(directory)
    assert any(text.startswith("epochs.csv, SHA-256: found ") for text in named)
    assert any("epochs.csv, recipe-reference-filters-4-seed-0, run: found 8 rows, expected none" in t for t in named)


def test_tables_that_are_swapped_are_refused(directory: Path) -> None:
    shutil.copy(directory / "epochs.csv", directory / "runs.csv")
    with pytest.raises(InputError, match=r"runs\.csv: no column recipe"):
        read_stored(directory)


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_a_truncated_table_is_refused(directory: Path, kept: float) -> None:
    path = directory / "slices.csv.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(InputError, match=r"slices\.csv\.gz: (damaged|not a readable table)"):
        read_stored(directory)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("version", 2, "version 2 of the format; this carbon-midl has 1. Update carbon-midl"),
        ("version", 0, "Collect the study again"),
        ("format", "another", "not the manifest of a study's results"),
        ("abandoned", {"attempts": 0, "energy_kwh": float("nan"), "carbon_g": 0}, "NaN is no number"),
        ("abandoned", {"attempts": -1, "energy_kwh": 0, "carbon_g": 0}, "abandoned.attempts"),
        ("split_patients", 3, "split_patients"),
        ("dates", {}, "'dates.first' is missing"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(directory: Path, key: str, value: object, says: str) -> None:
    change_manifest(directory, lambda manifest: manifest.update({key: value}))
    with pytest.raises(InputError, match=r"manifest\.json") as refused:
        read_stored(directory)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("runs_done", 7, "runs_done: found 7, expected 6"),
        ("runs_left_out", [LAST], f"runs_left_out: found {LAST}"),
        ("widths", [2, 3], "widths: found [2, 3], expected also [16]"),
        ("study", "other", "study: found other, expected tiny"),
        ("sensors", ["measured: RAPL"], "sensors: found ['measured: RAPL']"),
        ("dates", {"first": "2027", "last": "2026"}, "expected the first before the last"),
        ("abandoned", {"attempts": 1, "energy_kwh": 1, "carbon_g": 1}, "abandoned.carbon_g: found 1"),
        ("split", {"train": 7}, "split.train: found 7, expected 6"),
        ("slices", {"test": 8}, "runs.csv, row 1, filters-2-seed-0, test_slices: found 9, expected 8"),
    ],
)
def test_what_a_manifest_says_of_its_tables_is_checked(directory: Path, key: str, value: object, says: str) -> None:
    change_manifest(directory, lambda manifest: manifest.update({key: value}))
    assert any(says in text for text in found(directory))


@pytest.mark.parametrize(
    ("column", "value"), [("nodule", "1"), ("slice", "7"), ("target_px", "1"), ("readers_dice", "0.5")]
)
def test_another_slice_than_in_the_other_runs_is_named(directory: Path, column: str, value: str) -> None:
    change(directory, "slices.csv.gz", set_cell(85, column, value))
    named = [text for text in found(directory) if text.startswith(f"slices.csv.gz, row 85, {LAST}, ")]
    assert any(column in text for text in named)


def test_runs_of_other_code_are_named(directory: Path) -> None:
    change(directory, "runs.csv", set_cell(3, "fingerprint", lambda cell: cell[:-12] + "f" * 12))
    assert any("fingerprint (code): found" in text and "expected one in all rows" in text for text in found(directory))


def test_a_patient_on_both_sides_of_the_split_is_named(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest["split_patients"]["train"].append("LIDC-IDRI-0008"))
    assert any("split_patients.test: found LIDC-IDRI-0008, expected no patient of train" in t for t in found(directory))


def test_a_test_patient_from_the_training_set_is_named(directory: Path) -> None:
    change(directory, "slices.csv.gz", set_cell(9, "patient_id", "LIDC-IDRI-0000"))
    assert any(
        "slices.csv.gz, row 9, filters-2-seed-0, patient_id: found LIDC-IDRI-0000" in t for t in found(directory)
    )


def test_options_other_than_the_runs_had_are_found(directory: Path) -> None:
    change_manifest(directory, lambda manifest: manifest["options"].update(learning_rate=0.1))
    assert sum("fingerprint (options)" in text for text in found(directory)) == 6


def test_verify_tells_all_and_ends_with_1(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "verify", str(directory)]) == 0
    assert "all agree" in capsys.readouterr().out.splitlines()[-1]
    change(directory, "runs.csv", set_cell(1, "test_dice", "0.99"))
    with pytest.raises(SystemExit) as ended:
        main(["results", "verify", str(directory)])
    assert ended.value.code == 1
    shown = capsys.readouterr().out
    assert f"1 disagreement in {directory}" in shown
    assert "runs.csv, row 1, filters-2-seed-0, test_dice: found 0.99, expected 0." in shown


@pytest.mark.parametrize("missing", ["runs.csv", "epochs.csv", "slices.csv.gz", "manifest.json"])
def test_a_missing_file_is_named(directory: Path, missing: str) -> None:
    (directory / missing).unlink()
    with pytest.raises(InputError, match=f"no {missing}; expected runs.csv"):
        read_stored(directory)
