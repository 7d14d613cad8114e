"""What the explorer's page is made of: the study's numbers, and its program."""

import json
import re

from carbon_midl.book.evidence import WidthStudy
from carbon_midl.book.explorer import MARKUP, explorer_data, explorer_page
from carbon_midl.book.figures import CRITERION_LABELS
from tests.book.conftest import ROOT
from tests.book.synthetic import INTENSITY, PATIENTS, SEEDS, WIDTHS


def test_the_data_are_the_study_s(shown: WidthStudy) -> None:
    data = explorer_data(shown)
    assert [width["name"] for width in data["widths"]] == [str(width) for width in WIDTHS]
    for width, row in zip(data["widths"], shown.widths.itertuples(), strict=True):
        assert (width["low"], width["high"]) == (row.dice_low, row.dice_high)
        assert len(width["trainings"]) == len(SEEDS)
        assert all(len(training["dice"]) == PATIENTS for training in width["trainings"])
    runs = shown.results.runs
    energies = [training["energy_kwh"] for width in data["widths"] for training in width["trainings"]]
    assert sorted(energies) == sorted(runs["energy_kwh"])
    assert data["start"]["grid"] == f"{INTENSITY:g}"
    assert data["grams"]["low"] < data["start"]["budget"] < data["grams"]["high"]
    assert (abs(shown.candidates.mean_cost / data["start"]["budget"] - 1) > 0.05).all()
    first = [place["name"] for place in data["grids"][: data["common"]]]
    assert first == ["As recorded", "Norway", "France", "Denmark", "United States", "Poland", "World"]
    assert len({place["code"] for place in data["grids"]}) == len(data["grids"]) > 200
    assert "uses" not in data["start"]
    assert {width["use_kwh"] for width in data["widths"]} == {None}
    assert {row["name"]: row["label"] for row in data["criteria"]} == CRITERION_LABELS


def test_assumptions_are_the_chapter_s() -> None:
    said = re.findall(r'data-criterion="(\w+)">Assumes (.*?)</p>', (ROOT / MARKUP).read_text())
    chapter = " ".join((ROOT / "book/selection.md").read_text().replace("*Assumes*", "Assumes").split())
    assert [name for name, _ in said] == list(CRITERION_LABELS)
    for _, words in said:
        assert f"Assumes {words}" in chapter


def test_the_page_holds_data_that_cannot_end_its_script() -> None:
    page = explorer_page(ROOT, {"title": "</script><b>"})
    embedded = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', page)
    assert embedded
    assert json.loads(embedded[1]) == {"title": "</script><b>"}
    assert page.count("<script") == page.count("</script>") == 2
