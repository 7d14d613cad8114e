"""From outlines to pages without a stand-in anywhere: phantom, papermill, results, book."""

import os
from pathlib import Path

import pytest

from carbon_midl.book.build import build, prepare
from carbon_midl.study.runner import run_study
from carbon_midl.study.spec import read_study
from tests.book.conftest import copy_book
from tests.book.test_built_book import parsed
from tests.study.tiny import study_toml, write_study

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("study")]

STUDY = study_toml(filters=[2, 4], epochs=1, crops="phantom = {patients = 8, size = 32}")


def text_of(page: Path) -> str:
    return " ".join(parsed(page).get_text(" ").split())


def test_a_study_becomes_a_book(tmp_path: Path) -> None:
    # With carbontracker beside the project's own tracker, as studies are made.
    text = STUDY.replace("carbontracker = false\n", "")
    study = read_study(write_study(copy_book(tmp_path / "root"), text))
    run_study(study)
    prepare(study.directory, study.root)
    pages = build(study.root).parent / "book"
    report = text_of(pages / "report.html").replace("\N{NO-BREAK SPACE}", " ")
    assert "phantoms" in report
    assert "F = 2 → 4" in report
    # The chapters speak of the recorded study alone.
    assert "F = 2 " not in text_of(pages / "results.html").replace("\N{NO-BREAK SPACE}", " ")
    for width in (2, 4):
        appendix = text_of(pages / "_generated" / "runs" / f"filters-{width}-seed-0.html")
        assert any(method in appendix for method in ("TDP × utilisation", "W per core", "RAPL"))
        assert "phantom" in appendix
        assert os.fspath(tmp_path) not in appendix
