"""What the explorer's page is made of: the study's numbers, and modules joined into one."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.book.evidence import Evidence
from carbon_midl.book.explorer import explorer_data, explorer_page, joined_modules, rounded_up
from carbon_midl.book.figures import CRITERION_LABELS
from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import carbon_intensity
from tests.book.conftest import ROOT
from tests.book.synthetic import INTENSITY, PATIENTS, SEEDS, WIDTHS


def test_the_data_are_the_study_s(study: tuple[Path, Path]) -> None:
    evidence = Evidence.read(study[0], ROOT)
    data = explorer_data(evidence)
    assert [width["name"] for width in data["widths"]] == [str(width) for width in WIDTHS]
    for width, row in zip(data["widths"], evidence.widths.itertuples(), strict=True):
        assert (width["low"], width["high"]) == (row.dice_low, row.dice_high)
        assert len(width["trainings"]) == len(SEEDS)
        assert all(len(training["dice"]) == PATIENTS for training in width["trainings"])
    runs = evidence.results.runs
    energies = [training["energy_kwh"] for width in data["widths"] for training in width["trainings"]]
    assert sorted(energies) == sorted(runs["energy_kwh"])
    assert data["start"]["grid"] == f"{INTENSITY:g}"
    assert data["grams"]["low"] < data["start"]["budget"] < data["grams"]["high"]
    assert {row["name"]: row["label"] for row in data["criteria"]} == CRITERION_LABELS


def test_grids_are_those_of_the_library(study: tuple[Path, Path]) -> None:
    grids = explorer_data(Evidence.read(study[0], ROOT))["grids"]
    assert len(grids) > 200
    assert len({grid["code"] for grid in grids}) == len(grids)
    assert all(grid["g_per_kwh"] == carbon_intensity(grid["code"]).g_per_kwh for grid in grids)


@given(st.floats(1e-6, 1e6))
def test_a_rounded_budget_still_fits_what_it_was_made_for(value: float) -> None:
    assert value <= rounded_up(value) <= value * 1.0101
    assert len(re.sub(r"e.*|[.]|^0+", "", f"{rounded_up(value):.6g}").strip("0")) <= 3


def test_the_page_holds_data_that_cannot_end_its_script() -> None:
    page = explorer_page(ROOT, {"title": "</script><b>"})
    embedded = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', page)
    assert embedded
    assert json.loads(embedded[1]) == {"title": "</script><b>"}
    assert page.count("<script") == page.count("</script>") == 2


def test_modules_come_after_those_they_import_and_each_once(tmp_path: Path) -> None:
    write(tmp_path, "main", 'import { a } from "./one.js";\nimport { b, c } from "./two.js";\n\na(b, c);\n')
    write(tmp_path, "one", 'import { b } from "./two.js";\n\nexport function a() {\n  return b;\n}\n')
    write(tmp_path, "two", "export const b = 1;\nexport const c = 2;\n")
    assert joined_modules(tmp_path).split("\n") == [
        "// two.js", "const b = 1;", "const c = 2;", "",
        "// one.js", "", "function a() {", "  return b;", "}", "",
        "// main.js", "", "a(b, c);", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("main", "one", "complaint"),
    [
        ('import { a } from "./gone.js";\n', "", r"gone\.js: no such file"),
        ('import { a } from "./one.js";\n', 'import { b } from "./main.js";\n', r"imports itself by way of one\.js"),
        ('import { a } from "./one.js";\nconst a = 1;\n', "export const a = 2;\n", r"a is declared in one\.js too"),
        ('import { a as b } from "./one.js";\n', "export const a = 1;\n", "cannot be joined"),
        ('import a from "./one.js";\n', "", "cannot be joined"),
        ('import { a } from "./one.js";\n', "export default 1;\n", "cannot be joined"),
        ('const a = "</script>";\n', "", "would end the program"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(tmp_path: Path, main: str, one: str, complaint: str) -> None:
    write(tmp_path, "main", main)
    write(tmp_path, "one", one)
    with pytest.raises(InputError, match=complaint):
        joined_modules(tmp_path)


def write(directory: Path, name: str, text: str) -> None:
    (directory / f"{name}.js").write_text(text)
