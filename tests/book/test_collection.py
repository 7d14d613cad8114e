"""LIDC-IDRI's numbers as the data chapter prints them."""

import re
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.book.collection import PICTURES, RECORDED, TABLES, collection_numbers, phantom_transfer
from carbon_midl.files import write_json
from carbon_midl.lidc.statistics import Statistics, read_statistics
from tests.book.conftest import ROOT
from tests.book.test_transfer import made_up


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return read_statistics(ROOT / RECORDED)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_numbers_are_those_of_the_tables(statistics: Statistics) -> None:
    numbers = {name: plain(text) for name, text in collection_numbers(statistics).items()}
    counts = statistics["counts"].set_index("name")["count"]
    assert numbers["lidc_nodules"] == f"{counts['nodules']:,}"
    assert numbers["lidc_scans"] == "1,018"
    four = statistics["readers"].set_index("readers").loc[4]
    assert (
        numbers["lidc_all_four"]
        == f"{100 * four['share']:.1f} % ({100 * four['low']:.1f} to {100 * four['high']:.1f} %)"
    )
    everything = statistics["slice dice"].set_index("size").loc["all"]
    assert (
        numbers["lidc_slice_dice"] == f"{everything['mean']:.3f} ({everything['low']:.3f} to {everything['high']:.3f})"
    )
    dice = statistics["copycat"].query("measure == 'dice'").set_index("split")["estimate"]
    assert numbers["lidc_leak_by_slice"].startswith(f"{dice['by slice']:.3f} (")
    assert numbers["lidc_leak_by_patient"].startswith(f"{dice['by patient']:.3f} (")
    assert float(numbers["lidc_leak_points"]) == pytest.approx(100 * (dice["by slice"] - dice["by patient"]), abs=0.5)


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_a_cell_for_every_column_and_nothing_undefined(statistics: Statistics, name: str) -> None:
    header, rows = TABLES[name](statistics)
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    assert not any(re.search(r"\bnan\b", cell, re.IGNORECASE) for row in rows for cell in row)


def test_ratings_without_a_scale_have_no_distance(statistics: Statistics) -> None:
    header, rows = TABLES["lidc-ratings"](statistics)
    apart = header.index("Apart")
    assert {row[0] for row in rows if row[apart] == "–"} == {"internal structure", "calcification"}


@pytest.mark.parametrize("name", PICTURES)
def test_alternative_texts_follow_the_data(statistics: Statistics, name: str) -> None:
    """A picture of other data has another text."""
    doubled = {table: frame.copy() for table, frame in statistics.items()}
    doubled["diameters"]["nodules"] *= 2
    doubled["rating counts"]["share"] /= 2
    doubled["example"]["patient_id"] = "LIDC-IDRI-9999"
    for table, column in (("slice dice", "mean"), ("copycat", "estimate")):
        doubled[table][column] /= 2
    assert PICTURES[name](doubled).alt != PICTURES[name](statistics).alt


def test_what_a_figure_shows_can_be_downloaded(prepared: Path) -> None:
    for name in PICTURES:
        assert len(pd.read_csv(prepared / f"book/_generated/data/{name}.csv")) > 1


def test_what_the_phantom_is_worth_is_told_from_the_record(tmp_path: Path) -> None:
    assert "has not been recorded" in phantom_transfer(tmp_path / "nowhere")
    made_up().to_csv(tmp_path / "scores.csv", index=False)
    write_json(tmp_path / "manifest.json", {"filters": 16, "training_patients": 90})
    text = plain(phantom_transfer(tmp_path))
    assert "F = 16" in text
    assert "30 other patients (300 slices, 2 seeds)" in text
    assert "0.800" in text
    assert "0.600" in text
    assert "75" in text
