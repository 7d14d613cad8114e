"""The reference pages say what the code says."""

import re
from pathlib import Path

import nbformat
import pytest

from carbon_midl.book.build import commands_page
from carbon_midl.book.tables import parameters
from carbon_midl.study.parameters import NotebookParameters
from tests.book.conftest import ROOT


def test_every_command_is_there_with_its_options() -> None:
    page = commands_page()
    assert page.startswith("# Command line\n")
    for command in ("study", "study run", "results verify", "crops build", "book build", "select"):
        assert re.search(rf"^###? `carbon-midl {command}`$", page, re.MULTILINE)
    assert "* `--ahead`: " in page
    assert "\n\n    carbon-midl study run studies/demo.toml" in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", page)
    prose = re.sub(r"```.*?```|`[^`]*`|^ {4}.*?$", "", page, flags=re.DOTALL | re.MULTILINE)
    assert "--" not in prose  # it would become a dash
    assert "..." not in prose  # no summary is cut short


def test_every_parameter_of_the_notebook_is_there_with_its_default() -> None:
    table = parameters(ROOT)
    named = {name: tuple(about) for name, *about in table.to_numpy()}
    assert set(NotebookParameters.model_fields) == set(named)
    assert named["learning_rate"][:2] == ("float", "3e-3")
    assert all(kind and default and meaning for kind, default, meaning in named.values())
    notebook = nbformat.read(ROOT / "notebooks" / "train_unet.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    assert len(table) == len(cell.source.splitlines())


def test_the_library_pages_name_modules_that_exist() -> None:
    named = set()
    for page in (ROOT / "book" / "reference").glob("*.md"):
        named |= set(re.findall(r"automodule:: (\S+)", page.read_text()))
    assert len(named) > 20
    for module in named:
        assert (ROOT / Path(*module.split("."))).with_suffix(".py").is_file(), module


@pytest.mark.slow
def test_the_library_is_shown_as_its_docstrings_mean_it(built: Path) -> None:
    for room, name in (("selection", "choice.choose"), ("footprint", "tracker.Tracker")):
        assert f'id="carbon_midl.{room}.{name}"' in (built / "book" / "reference" / f"{room}.html").read_text()
    text = re.sub(r"<[^>]+>", "", (built / "book" / "reference" / "training.html").read_text())
    assert re.search(r"class UNet\(filters.*depth.*channels", text)
    assert "**kwargs" not in text
    for page in (built / "book" / "reference").glob("*.html"):
        text = page.read_text()
        assert "Alias for field number" not in text, page.name
        assert "model_config" not in text, page.name
        for kind in re.findall(r"<dt[^>]*>(?:Type|Return type)<.*?<p>(.*?)</p>", text, re.DOTALL):
            words = re.sub(r"<[^>]+>", "", kind)
            assert not re.search(r"[a-z] [a-z]{3,} [a-z]", words), f"{page.name}: no type but a sentence: {words}"
