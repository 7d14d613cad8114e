"""Slides, quiz and handouts: true to the record, usable by keyboard, on paper, on a phone and without a script."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from book._ext.labs import run_labs
from carbon_midl.book.build import build
from carbon_midl.errors import InputError
from tests.book.browsing import listen, needs_chromium, served
from tests.book.conftest import ROOT
from tests.book.test_accessibility import SERIOUS, VIOLATIONS, axe_script
from tests.book.test_built_book import small_book

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
DECKS = ["lesson-1", "lesson-2", "lesson-3"]
# How far anything of the slide that is shown reaches beyond the screen.
BEYOND = """() => Math.max(...[...Reveal.getCurrentSlide().querySelectorAll("*")].map((element) => {
  const { right, bottom } = element.getBoundingClientRect();
  return Math.max(right - innerWidth, bottom - innerHeight);
}))"""


def printed_pages(page: "Page", **options: Any) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True, **options)))


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("deck", DECKS)
def test_slides_turn_by_keyboard_fit_the_screen_and_print(browser: "Browser", built: Path, deck: str) -> None:
    with served(built) as address:
        for width, height, scheme in ((1280, 720, "light"), (1280, 720, "dark"), (360, 640, "dark")):
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            said = listen(page, address)
            page.goto(f"{address}slides/{deck}.html")
            page.evaluate("Reveal.configure({ transition: 'none' })")
            page.evaluate(axe_script())
            slides = page.locator(".slides :is(h1, h2)").count()
            assert 6 <= slides <= 8
            # On a phone all of them are one page, which scrolls.
            for number in range(slides if width > 600 else 1):
                assert page.evaluate("Reveal.getIndices().h") == number
                assert page.evaluate(BEYOND) <= 0, number
                assert page.evaluate(VIOLATIONS, {"part": "html", "impacts": SERIOUS}) == [], number
                page.keyboard.press("ArrowRight")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if (width, scheme) == (1280, "light"):
                assert printed_pages(page) == slides
            assert said == []
            context.close()


@pytest.mark.parametrize("said", ["{{ no_such_number }}", "{claim}`no-such-claim`"])
def test_a_slide_that_names_what_is_not_recorded_fails_the_build(prepared: Path, tmp_path: Path, said: str) -> None:
    root = small_book(prepared, tmp_path / "root", "A book.")
    (root / "book" / "slides" / "lesson-1.md").write_text(f"# Measuring\n\nIt is {said}.\n")
    with pytest.raises(InputError, match=r"lesson-1\.md.*no.such"):
        build(root)


@pytest.mark.browser
@needs_chromium
def test_without_a_script_the_quiz_is_answered_by_keyboard_and_slides_are_read(browser: "Browser", built: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((built / "book" / "course" / "quiz.html").as_uri())
    questions = page.locator("fieldset.quiz").all()
    assert len(questions) >= page.locator("details.sd-dropdown").count() > 0
    for question in questions:
        answers, fold = question.get_by_role("radio"), question.locator("summary")
        fold.press("Enter")
        assert question.get_by_role("status").inner_text() == "Choose an answer first."
        reasons = []
        answers.first.press("Space")
        for _ in range(answers.count()):
            reasons.append(question.get_by_role("status").inner_text())
            page.keyboard.press("ArrowDown")
        assert len(set(reasons)) == answers.count()
        assert [reason.startswith("Right. ") for reason in reasons].count(True) == 1
    page.goto((built / "slides" / "lesson-1.html").as_uri())
    assert all(heading.is_visible() for heading in page.locator("h2").all())
    context.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("name", ["handout", "cheat-sheet", "project", "exam"])
def test_what_is_handed_out_is_one_page(browser: "Browser", built: Path, name: str) -> None:
    page = browser.new_page()
    page.goto((built / "book" / "course" / f"{name}.html").as_uri())
    assert printed_pages(page, format="A4", margin=dict.fromkeys(("top", "right", "bottom", "left"), "10mm")) == 1
    page.close()


def test_the_cheat_sheet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    sheet = (ROOT / "book/course/cheat-sheet.md").read_text(encoding="utf-8")
    for piece in re.findall(r"^```python\n(.*?)^```$", sheet, re.M | re.S):
        exec(piece, space)
    assert "estimated" in capsys.readouterr().out


def test_the_exam_is_answered_for_instructors_alone(tmp_path: Path) -> None:
    (exam,) = run_labs([ROOT / "book/course/exam.md"], tmp_path).values()
    (notebook,) = tmp_path.rglob("*.ipynb")
    told = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    assert notebook.parent.name == "instructor"
    assert "{" not in told
    assert told.count("**Solution.** ") == 8
    assert re.findall(r"^(\d)\. ", told, re.M) == re.findall(r"^(\d)\. ", exam.page(), re.M) == list("12345678")
    assert "Solution" not in exam.page()
