"""LIDC-IDRI's numbers, tables and figures as the data chapter prints them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from carbon_midl.book.evidence import COLLECTION_PAGE
from carbon_midl.lidc.statistics import COLLECTION, Statistics, read_statistics
from studies.collection_page import write
from tests.book.conftest import ROOT

PAGE = ROOT / COLLECTION_PAGE


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return read_statistics(ROOT / COLLECTION)


def test_the_page_is_what_the_statistics_print(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(ROOT / COLLECTION, tmp_path / "copied", ignore=shutil.ignore_patterns("page")))
    write(copied)
    assert {path.name: path.read_text() for path in (copied / "page").iterdir()} == {
        path.name: path.read_text() for path in PAGE.iterdir()
    }


def test_numbers_are_those_of_the_tables(statistics: Statistics) -> None:
    numbers = json.loads((PAGE / "numbers.json").read_text())
    counts = statistics["counts"].set_index("name")["count"]
    assert numbers["lidc_nodules"] == f"{counts['nodules']:,}"
    assert numbers["lidc_scans"] == "1,018"
    four = 100 * statistics["readers"].set_index("readers").loc[4]
    assert numbers["lidc_all_four"] == f"{four['share']:.1f} % ({four['low']:.1f} to {four['high']:.1f} %)"
    everything = statistics["slice dice"].set_index("size").loc["all"]
    expected = f"{everything['mean']:.3f} ({everything['low']:.3f} to {everything['high']:.3f})"
    assert numbers["lidc_slice_dice"] == expected
    dice = statistics["copycat"].query("measure == 'dice'").set_index("split")["estimate"]
    assert numbers["lidc_leak_by_slice"].startswith(f"{dice['by slice']:.3f} (")
    assert numbers["lidc_leak_by_patient"].startswith(f"{dice['by patient']:.3f} (")
    assert float(numbers["lidc_leak_points"]) == pytest.approx(100 * (dice["by slice"] - dice["by patient"]), abs=0.5)


def test_tables_have_a_cell_for_every_column_and_nothing_undefined() -> None:
    tables = sorted(PAGE.glob("*.csv"))
    assert len(tables) == 7
    for table in tables:
        header, *rows = csv.reader(table.read_text().splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        assert not any(re.search(r"\bnan\b", cell, re.IGNORECASE) for row in rows for cell in row)
        if table.stem == "lidc-ratings":  # kinds have no distance
            apart = header.index("Apart")
            assert {row[0] for row in rows if row[apart] == "–"} == {"internal structure", "calcification"}
