"""LIDC-IDRI's numbers, tables and figures as the data chapter prints them."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from carbon_midl.book import numbers
from carbon_midl.book.evidence import COLLECTION
from carbon_midl.book.pictures import PICTURES
from carbon_midl.book.tables import TABLES
from carbon_midl.lidc.statistics import Statistics, read_statistics
from tests.book.conftest import ROOT


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    return read_statistics(ROOT / COLLECTION)


def test_numbers_are_those_of_the_tables(statistics: Statistics) -> None:
    counts = statistics["counts"].set_index("name")["count"]
    counted = numbers.lidc_counts(statistics)
    assert counted["lidc_nodules"] == f"{counts['nodules']:,}"
    assert counted["lidc_scans"] == "1,018"
    four = 100 * statistics["readers"].set_index("readers").loc[4]
    assert counted["lidc_all_four"] == f"{four['share']:.1f} % ({four['low']:.1f} to {four['high']:.1f} %)"
    everything = statistics["slice dice"].set_index("size").loc["all"]
    told = f"{everything['mean']:.3f} ({everything['low']:.3f} to {everything['high']:.3f})"
    assert numbers.lidc_agreement(statistics)["lidc_slice_dice"] == told
    leak = numbers.lidc_leak(statistics)
    dice = statistics["copycat"].query("measure == 'dice'").set_index("split")["estimate"]
    assert leak["lidc_leak_by_slice"].startswith(f"{dice['by slice']:.3f} (")
    assert leak["lidc_leak_by_patient"].startswith(f"{dice['by patient']:.3f} (")
    assert float(leak["lidc_leak_points"]) == pytest.approx(100 * (dice["by slice"] - dice["by patient"]), abs=0.5)


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("lidc-")])
def test_tables_have_a_cell_for_every_column_and_nothing_undefined(statistics: Statistics, name: str) -> None:
    evidence: Any = SimpleNamespace(statistics=statistics)  # as much of it as the data chapter needs
    header, rows = TABLES[name](evidence)
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    assert not any(re.search(r"\bnan\b", cell, re.IGNORECASE) for row in rows for cell in row)
    if name == "lidc-ratings":  # those without a scale have no distance
        apart = {row[0] for row in rows if row[header.index("Apart")] == "–"}
        assert apart == {"internal structure", "calcification"}


def test_what_a_figure_shows_can_be_downloaded(prepared: Path) -> None:
    for name in PICTURES:
        assert len(pd.read_csv(prepared / f"book/_generated/data/{name}.csv")) > 1
