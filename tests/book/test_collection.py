"""LIDC-IDRI's numbers, tables and figures as the data chapter prints them."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd

from carbon_midl.book.evidence import COLLECTION_PAGE
from carbon_midl.study.results import COLLECTION, read_statistics
from studies.collection_page import write
from tests.book.conftest import ROOT

PAGE = ROOT / COLLECTION_PAGE


def test_the_page_is_what_the_statistics_print(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(ROOT / COLLECTION, tmp_path / "copied", ignore=shutil.ignore_patterns("page")))
    write(copied)
    assert {path.name: path.read_text() for path in (copied / "page").iterdir()} == {
        path.name: path.read_text() for path in PAGE.iterdir()
    }


def test_numbers_are_those_of_the_tables() -> None:
    numbers, statistics = json.loads((PAGE / "numbers.json").read_text()), read_statistics(ROOT / COLLECTION)
    assert numbers["lidc_nodules"] == f"{statistics['counts'].set_index('name')['count']['nodules']:,}"
    assert numbers["lidc_scans"] == "1,018"
    four = 100 * statistics["readers"].set_index("readers").loc[4]
    assert numbers["lidc_all_four"] == f"{four['share']:.1f} % ({four['low']:.1f} to {four['high']:.1f} %)"
    every = statistics["slice dice"].set_index("size").loc["all"]
    assert numbers["lidc_slice_dice"] == f"{every['mean']:.3f} ({every['low']:.3f} to {every['high']:.3f})"


def test_tables_have_nothing_undefined() -> None:
    tables = {path.stem: pd.read_csv(path, keep_default_na=False, dtype="str") for path in PAGE.glob("*.csv")}
    assert len(tables) == 7
    for table in tables.values():
        assert not table.empty
        assert not table.map(lambda cell: re.search(r"\bnan\b|^$", cell, re.IGNORECASE)).any(axis=None)
    ratings = tables["lidc-ratings"].set_index("Rating")["Apart"]
    assert set(ratings[ratings == "–"].index) == {"internal structure", "calcification"}  # kinds have no distance
