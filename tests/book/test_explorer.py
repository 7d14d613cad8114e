"""The explorer's page, driven by mouse and keyboard, against the library."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carbon_midl.book.evidence import Evidence
from carbon_midl.book.explorer import explorer_data, explorer_page
from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import carbon_intensity
from carbon_midl.selection.candidates import Candidates
from carbon_midl.selection.choice import choose
from carbon_midl.selection.criteria import CRITERIA
from tests.book.browsing import listen, needs_chromium
from tests.book.conftest import ROOT
from tests.book.explorer_cases import Settings, candidates_of, costed, criterion_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture
def opened(loaded: "Page") -> "Page":
    """The explorer at its start, on a desktop, whatever the test before did with it."""
    loaded.set_viewport_size({"width": 1280, "height": 720})
    loaded.locator("button[type=reset]").click()
    return loaded


@pytest.fixture(scope="module")
def loaded(browser: "Browser", explorer: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Page]":
    """The explorer alone on a page, from a disk."""
    address = alone(explorer, tmp_path_factory.mktemp("explorer"))
    page = browser.new_page()
    said = listen(page, address)
    page.goto(address)
    yield page
    assert said == []
    page.close()


def alone(explorer: dict[str, Any], directory: Path) -> str:
    style = (ROOT / "book/_static/explorer.css").read_text()
    head = f"<!doctype html><html lang='en'><title>explorer</title><style>{style}</style>"
    body = f"<main><a href='#' id='before'>before</a>{explorer_page(ROOT, explorer)}</main>"
    (directory / "page.html").write_text(head + body)
    return (directory / "page.html").as_uri()


def go(page: "Page", hash_: str) -> None:
    """Give the address these settings, and wait until the page has them."""
    change = "addEventListener('hashchange', () => done(), { once: true }); location.hash = hash"
    page.evaluate(f"hash => new Promise(done => {{ if (location.hash === hash) done(); {change} }})", hash_)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def library_says(explorer: dict[str, Any], settings: Settings) -> tuple[str, Candidates]:
    candidates = costed(candidates_of(explorer), explorer, settings)
    try:
        return choose(candidates, criterion_of(settings["criterion"], settings)).chosen, candidates
    except InputError:
        return "", candidates


def page_says(page: "Page") -> tuple[str, list[float]]:
    cells = page.locator("#explorer-widths tbody tr td:nth-of-type(2) data").all()
    costs = [float(cell.get_attribute("value") or "") for cell in cells]
    return page.locator("#explorer").get_attribute("data-chosen") or "", costs


def agrees(page: "Page", explorer: dict[str, Any], settings: Settings) -> str:
    """What is chosen, where page and library agree."""
    chosen, candidates = library_says(explorer, settings)
    assert page_says(page) == (chosen, pytest.approx(candidates.mean_cost, rel=1e-12))
    current = page.locator("#explorer-criteria tr[aria-current] td").first.inner_text()
    assert plain(current) == (f"F = {chosen}" if chosen else "none")
    return chosen


def test_it_opens_as_the_chapter_on_selection_chooses(opened: "Page", explorer: dict[str, Any]) -> None:
    agrees(opened, explorer, explorer["start"])
    for row in opened.locator("#explorer-criteria tbody tr").all():
        label = row.locator("th").evaluate("cell => cell.firstChild.textContent")
        name = next(each["name"] for each in explorer["criteria"] if each["label"] == label)
        shown = plain(row.locator("td").first.inner_text())
        assert shown == f"F = {library_says(explorer, {**explorer['start'], 'criterion': name})[0]}"
    note = opened.locator("#explorer-note").inner_text()
    assert "14 test patients, 2 seeds a width; energy estimated" in note
    for width in explorer["widths"]:
        row = opened.locator(f"#explorer-widths tr[data-width='{width['name']}']")
        assert f"{width['low']:.3f}–{width['high']:.3f}" in row.inner_text()


def test_the_mouse_moves_the_choice(opened: "Page", explorer: dict[str, Any]) -> None:
    seen, there = set(), explorer["start"]
    slider = opened.locator("[data-setting=budget] input[type=range]")
    box = slider.bounding_box()
    assert box is not None
    for share in (0.4, 0.6, 0.75, 0.95):
        slider.click(position={"x": box["width"] * share, "y": box["height"] / 2})
        there = {**there, "budget": float(opened.locator("#explorer-budget").input_value())}
        seen.add(agrees(opened, explorer, there))
    assert len(seen) >= 3
    opened.locator("#explorer-grid").select_option("NO")
    intensity = float(opened.locator("#explorer-intensity").input_value())
    assert intensity == pytest.approx(carbon_intensity("NO").g_per_kwh, rel=1e-3)
    agrees(opened, explorer, {**there, "grid": "NO"})
    opened.locator("[data-setting=pue] input[type=range]").click(position={"x": 1, "y": box["height"] / 2})
    pue = float(opened.locator("#explorer-pue").input_value())
    agrees(opened, explorer, {**there, "grid": "NO", "pue": pue})
    opened.locator("button[type=reset]").click()
    agrees(opened, explorer, explorer["start"])
    assert "#" not in opened.url


NAME_OF_FOCUSED = """() => {
  const { activeElement: focused } = document;
  return focused.getAttribute("aria-label") ?? focused.labels?.[0]?.textContent ?? focused.textContent;
}"""


def test_the_keyboard_reaches_everything_and_does_the_same(opened: "Page", explorer: dict[str, Any]) -> None:
    go(opened, "#criterion=noninferior&embodied=2")
    opened.locator("#before").focus()
    reached = []
    for _ in range(21):
        opened.keyboard.press("Tab")
        reached.append(plain(opened.evaluate(NAME_OF_FOCUSED)))
    assert [name.partition(": Dice")[0] for name in reached[:8]] == [f"F = {width}" for width in (4, 8, 16, 32)] * 2
    assert reached[8:] == [
        "Criterion", "Margin: loss of Dice that does not matter", "Margin, slider",
        "Grid", "Its carbon intensity (g/kWh)", "Carbon intensity, slider", "PUE of the data centre", "PUE, slider",
        "Embodied share (g CO₂eq an hour)", "Embodied share, slider", "Crops analysed with it",
        "Crops analysed, slider", "Back to the start",
    ]  # fmt: skip
    opened.locator("[data-setting=margin] input[type=range]").focus()
    there = {**explorer["start"], "criterion": "noninferior", "embodied": 2.0}
    seen = {}
    for keys in ("Home", "ArrowRight " * 8, "End"):
        for key in keys.split():
            opened.keyboard.press(key)
        margin = float(opened.locator("#explorer-margin").input_value())
        seen[margin] = agrees(opened, explorer, {**there, "margin": margin})
    assert list(seen) == pytest.approx([0, 0.008, 0.1])
    assert seen[0.0] != seen[0.1]
    opened.locator("#explorer-criterion").focus()
    opened.keyboard.type("knee")
    agrees(opened, explorer, {**there, "criterion": "knee"})
    opened.locator("#explorer-intensity").focus()
    opened.keyboard.press("Control+A")
    opened.keyboard.type("37.5")
    agrees(opened, explorer, {**there, "criterion": "knee", "grid": "37.5"})
    assert opened.locator("#explorer-grid option:checked").inner_text() == "a number of my own"
    assert opened.url.endswith("#grid=37.5&embodied=2&criterion=knee&margin=0.1")


def test_a_number_that_cannot_be_changes_nothing_and_says_why(opened: "Page", explorer: dict[str, Any]) -> None:
    before = page_says(opened)
    for text in ("0.5", ""):
        opened.locator("#explorer-pue").fill(text)
        assert opened.locator("#explorer-pue").get_attribute("aria-invalid") == "true"
        assert opened.locator("#explorer-pue-said").inner_text() == "PUE is at least 1."
        assert page_says(opened) == before
    opened.locator("#explorer-pue").fill("1.1")
    assert opened.locator("#explorer-pue").get_attribute("aria-invalid") == "false"
    agrees(opened, explorer, {**explorer["start"], "pue": 1.1})


def test_a_budget_that_nothing_fits_says_what_it_would_take(opened: "Page", explorer: dict[str, Any]) -> None:
    go(opened, "#budget=0.01")
    cheapest = costed(candidates_of(explorer), explorer, explorer["start"]).mean_cost.min()
    said = plain(opened.locator("#explorer-answer").inner_text())
    assert said.startswith("At 10 mg no width fits: the cheapest, F = 4, emits")
    assert f"{cheapest * 1000:.0f} mg" in said
    assert opened.locator("#explorer-criteria tr[aria-current] td").first.inner_text() == "none"


def test_the_answer_is_announced_once_nothing_moves(opened: "Page") -> None:
    answer = opened.locator("#explorer-answer")
    assert answer.get_attribute("aria-live") == "polite"
    opened.locator("#explorer-budget").fill("2")
    assert answer.get_attribute("aria-busy") == "true"
    opened.wait_for_function("!document.querySelector('#explorer-answer').hasAttribute('aria-busy')")
    assert opened.locator("#explorer-picture svg").get_attribute("aria-label").startswith("Test Dice against carbon")  # type: ignore[union-attr]


def test_a_guess_is_answered_on_the_clean_grid(opened: "Page", explorer: dict[str, Any]) -> None:
    there, _ = library_says(explorer, {**explorer["start"], "grid": "NO"})
    here, _ = library_says(explorer, explorer["start"])
    assert here != there
    for guess, said in ((here, f"Not F = {here}"), (there, "Yes")):
        opened.locator("#explorer-guesses button").filter(has_text=re.compile(rf"\b{guess}$")).click()
        assert agrees(opened, explorer, {**explorer["start"], "grid": "NO"}) == there
        expected = f"{said}: there it buys F = {there}, and on the study's own grid F = {here}."
        assert plain(opened.locator("#explorer-guessed").inner_text()) == expected
    opened.locator("button[type=reset]").click()
    assert opened.locator("#explorer-guessed").inner_text() == ""


def test_a_point_says_what_it_is_to_pointer_and_keyboard(opened: "Page", explorer: dict[str, Any]) -> None:
    _, candidates = library_says(explorer, explorer["start"])
    point, near, tip = (opened.locator(f".explorer-{part}").nth(2) for part in ("width", "near", "tip"))
    expected = f"F = 16: Dice {candidates.mean_performance[2]:.3f}, {candidates.mean_cost[2] * 1000:.0f} mg CO₂eq"
    assert not tip.is_visible()
    for reach in (point.focus, near.hover):
        reach()
        assert tip.is_visible()
        assert plain(tip.text_content() or "") == expected
        opened.locator("#before").focus()
    assert plain(point.get_attribute("aria-label") or "").startswith(expected)


def test_uses_are_added_and_read_with_their_unit(opened: "Page", explorer: dict[str, Any]) -> None:
    slider = opened.locator("[data-setting=uses] input[type=range]")
    assert slider.get_attribute("aria-valuetext") == "0 crops"
    slider.focus()
    for key, uses in (("End", 10**9), ("ArrowLeft", 950_000_000), ("Home", 0)):
        opened.keyboard.press(key)
        agrees(opened, explorer, {**explorer["start"], "uses": uses})
        assert slider.get_attribute("aria-valuetext") == f"{uses} crops"


def test_a_share_says_what_else_happens_and_is_never_sure(opened: "Page", explorer: dict[str, Any]) -> None:
    _, candidates = library_says(explorer, explorer["start"])
    go(opened, f"#budget={candidates.mean_cost[0] * 1.001}")
    chosen, others = re.findall(r"in (?:the other )?(\d+) %", plain(opened.locator("#explorer-answer").inner_text()))
    assert int(chosen) + int(others) == 100
    assert "nothing fits; the runner-up" not in opened.locator("#explorer-answer").inner_text()
    go(opened, "#criterion=marginal&price=0")
    assert "in more than 99 %;" in plain(opened.locator("#explorer-answer").inner_text())


def test_every_hint_changes_the_choice(browser: "Browser", evidence: Evidence, tmp_path: Path) -> None:
    book = explorer_data(evidence, evidence.uses["energy_kwh"].xs(64).loc[evidence.widths["filters"]].tolist())
    hints = re.findall(r"<li>.*?</li>", (ROOT / "book/explorer.md").read_text(), re.DOTALL)
    page = browser.new_page()
    page.goto(alone(book, tmp_path))
    for hint in hints:
        chosen = []
        for href in re.findall(r'href="#(.*?)"', hint):
            given = dict(pair.split("=") for pair in html.unescape(href).split("&"))
            numbers = {name: json.loads(text) for name, text in given.items() if name not in ("criterion", "grid")}
            go(page, f"#{html.unescape(href)}")
            chosen.append(agrees(page, book, {**book["start"], **given, **numbers}))
        assert len(set(chosen)) == len(chosen) >= 2, hint
    assert "The embodied share takes F = 4 off the frontier" in plain(page.locator("#explorer-answer").inner_text())
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1200, 768), (1000, 768), (768, 1024), (360, 640)])
def test_answer_and_picture_stay_in_view(opened: "Page", width: int, height: int) -> None:
    opened.set_viewport_size({"width": width, "height": height})
    go(opened, "#criterion=marginal")
    seen = [".explorer-seen"] if width < 640 else ["#explorer-answer", ".explorer-seen"]
    for control in opened.locator("#explorer-controls :is(select, input)").all():
        if not control.is_visible():
            continue
        opened.evaluate("scrollTo(0, 0)")
        focused = control.evaluate("control => { control.focus(); return control.getBoundingClientRect().toJSON(); }")
        for part in seen:
            box = opened.locator(part).evaluate("part => part.getBoundingClientRect().toJSON()")
            assert 0 <= box["top"] < box["bottom"] <= height
            assert width >= 640 or (box["height"] <= 200 and box["bottom"] <= focused["top"])
            assert width < 1000 or box["right"] <= focused["left"]  # beside it


def test_it_fits_a_phone(opened: "Page") -> None:
    opened.set_viewport_size({"width": 360, "height": 800})
    for criterion in CRITERIA:
        go(opened, f"#criterion={criterion}&grid=PL")
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
        assert opened.evaluate("document.querySelector('#explorer-picture svg').clientWidth") <= 360
