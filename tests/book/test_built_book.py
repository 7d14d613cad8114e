"""The book as it is published."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup

from carbon_midl.book.build import build
from carbon_midl.errors import InputError
from tests.book.conftest import ROOT, copy_book

pytestmark = pytest.mark.slow
LOADED = (
    "img, script, iframe, source, video, link:is([rel~=stylesheet], [rel~=icon], [rel~=preload], [rel~=preconnect])"
)


@functools.cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def pages(built: Path) -> list[Path]:
    return sorted(built.rglob("*.html"))


def test_no_page_loads_anything_from_elsewhere(built: Path) -> None:
    for path in pages(built):
        loaded = [str(tag.get("src") or tag.get("href") or "") for tag in parsed(path).select(LOADED)]
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], path
        assert not re.search(r"unpkg|jsdelivr|cdnjs|googleapis|mathjax", path.read_text(), re.IGNORECASE), path
    for path in built.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import\s+['\"](https?:)?//", path.read_text()), path


def test_every_image_says_what_it_shows(built: Path) -> None:
    for path in pages(built):
        for image in parsed(path).find_all("img"):
            assert len(image.get("alt") or "") > 20 or "logo" in str(image.get("class")), (path, image)


def test_every_number_by_name_is_filled_in(built: Path) -> None:
    for path in pages(built):
        assert "{{" not in parsed(path).get_text(), path  # as it would stay in a piece of code


def test_every_internal_link_leads_to_a_file_and_to_a_place_in_it(built: Path) -> None:
    anchors = {
        path.resolve(): {tag.get("id") or tag.get("name") for tag in parsed(path).select("[id], [name]")}
        for path in pages(built)
    }
    for path in anchors:
        for link in (str(tag["href"]) for tag in parsed(path).select("a[href]")):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), (path, link)
            # "#" alone is what a button does, and settings of the explorer: a script decides.
            assert not anchor or "=" in anchor or file.suffix != ".html" or unquote(anchor) in anchors[file], (
                path,
                link,
            )


def small_book(prepared: Path, root: Path, text: str) -> Path:
    """The book with a page that has this text, and one of a lab, in place of all its pages, and without slides."""
    shutil.copytree(prepared, root, ignore=shutil.ignore_patterns("_build"))
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: book/course/lab-budget\n")
    (root / "book" / "index.md").write_text(f"# Carbon\n\n{text}\n")
    for deck in (root / "book" / "slides").glob("*.md"):
        deck.write_text("---\norphan: true\n---\n\n# Nothing\n")
    lab = "{download}`The lab as a notebook <../_generated/labs/lab-budget.ipynb>`"
    (root / "book" / "course" / "lab-budget.md").write_text(f"# Lab\n\n{lab}\n")
    return root


def test_a_name_without_a_number_fails_the_build_and_keeps_the_earlier_book(prepared: Path, tmp_path: Path) -> None:
    root = small_book(prepared, tmp_path / "root", "And {{ no_such_number }}.")
    earlier = root / "book/_build/html/index.html"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("the earlier book")
    with pytest.raises(InputError, match=r"index\.md.*no_such_number"):
        build(root)
    assert earlier.read_text() == "the earlier book"


def test_a_page_that_is_not_written_fails_the_build(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(command: list[str], *_: object) -> None:
        page = Path(command[-1]) / "_build/.doctrees/book/quiz.doctree"
        page.parent.mkdir(parents=True)
        page.touch()

    monkeypatch.setattr("carbon_midl.book.build._render", read_only)
    with pytest.raises(InputError, match=r"lacks book/quiz\.html"):
        build(prepared)


def test_only_a_book_with_an_address_has_a_site_map_and_binder(prepared: Path, built: Path, tmp_path: Path) -> None:
    root = small_book(prepared, tmp_path / "root", "A point of Dice costs carbon.")
    html = build(root, "https://example.org/carbon", "someone/carbon-midl").parent
    locations = {element.text or "" for element in ElementTree.parse(html / "sitemap.xml").iter() if element.text}
    assert locations == {f"https://example.org/carbon/book/{page}.html" for page in ("index", "course/lab-budget")}
    head = (html / "book" / "index.html").read_text()
    assert '<link rel="canonical" href="https://example.org/carbon/book/index.html"' in head
    assert '<meta property="og:image" content="https://example.org/carbon/_static/card.png" />' in head
    assert (html / "_static" / "card.png").read_bytes().startswith(b"\x89PNG")
    binder = "https://mybinder.org/v2/gh/someone/carbon-midl/HEAD?labpath=labs/lab-budget.ipynb"
    assert f'href="{binder}"' in (html / "book" / "course" / "lab-budget.html").read_text()
    # A book without an address names none.
    assert not (built / "sitemap.xml").exists()
    assert "mybinder" not in (built / "book" / "course" / "lab-budget.html").read_text()
    assert "og:" not in (built / "book" / "results.html").read_text()


def test_a_repository_that_is_none_and_a_book_that_was_not_prepared_are_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not prepared"):
        build(copy_book(tmp_path / "root"))
    with pytest.raises(InputError, match=r"repository: found 'https://github\.com/a/b', expected OWNER/NAME"):
        build(prepared, repository="https://github.com/a/b")


def test_binder_finds_what_it_installs_and_makes_the_labs(tmp_path: Path) -> None:
    root = copy_book(tmp_path / "root")
    shutil.copytree(ROOT / ".binder", root / ".binder")
    for line in (root / ".binder" / "requirements.txt").read_text().splitlines():
        option, _, value = line.partition(" ")
        assert option != "--requirement" or (ROOT / ".binder" / value).is_file()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([root / ".binder" / "postBuild"], cwd=root, env=os.environ | {"PATH": path}, check=True)
    pages = {page.stem for page in (ROOT / "book" / "course").glob("lab-*.md")}
    assert {notebook.stem for notebook in (root / "labs").glob("*.ipynb")} == pages


def test_every_figure_leads_to_its_data_and_its_code(prepared: Path, built: Path) -> None:
    shared = {path.name for path in (prepared / "book/_generated/data").iterdir()}
    assert len(shared) > 10
    assert shared | {"figures.py"} <= {path.name for path in built.rglob("_downloads/*/*")}
    assert "def dice_carbon(" in (prepared / "book/_generated/code/figures.py").read_text()
