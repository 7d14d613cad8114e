"""From outlines to pages without a stand-in anywhere: phantom, papermill, results, book."""

import os
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from carbon_midl.book.build import build, prepare
from carbon_midl.book.evidence import PUBLISHED, SEARCHED
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import read_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDY = """
[study]
name = "tiny"
title = "Tiny study"
[crops.phantom]
patients = 8
size = 32
[axes]
filters = [2, 4]
seed = [0]
[options]
depth = 3
epochs = 1
"""


class Text(HTMLParser):
    """The text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(page: Path) -> str:
    parser = Text()
    parser.feed(page.read_text())
    return " ".join(" ".join(parser.parts).split())


def test_a_study_becomes_a_book(tmp_path: Path) -> None:
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("_build", "_generated"))
    for recorded in (PUBLISHED, SEARCHED):
        shutil.copytree(ROOT / recorded, tmp_path / recorded)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.toml").write_text(STUDY)
    study = read_study(tmp_path / "studies" / "tiny.toml")
    run_study(study)
    prepare(study.results, study.directory, study.root)
    first_page = build(study.root)
    pages = first_page.parent / "book"
    results = text_of(pages / "results.html")
    assert "F = 2" in results.replace("\N{NO-BREAK SPACE}", " ")
    assert "phantom" in text_of(pages / "index.html")
    for width in (2, 4):
        appendix = text_of(pages / "_generated" / "runs" / f"filters-{width}-seed-0.html")
        assert any(method in appendix for method in ("TDP × utilisation", "W per core", "RAPL"))
        assert "phantom" in appendix
        assert os.fspath(tmp_path) not in appendix
