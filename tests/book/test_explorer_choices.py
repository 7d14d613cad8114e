"""The explorer's program in headless Chromium against the library: every criterion, on studies of all kinds."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carbon_midl.book.explorer import PROGRAM
from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import carbon_intensity, checked_pue
from carbon_midl.selection.candidates import Factors
from carbon_midl.selection.choice import choose, pick, uncertainty
from carbon_midl.selection.criteria import CRITERIA
from carbon_midl.selection.frontier import on_frontier
from tests.book.browsing import needs_chromium, served
from tests.book.conftest import ROOT
from tests.book.explorer_cases import (
    SETTINGS,
    Settings,
    candidates_of,
    costed,
    criterion_of,
    some_settings,
    some_study,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def program(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Page]":
    """An empty page that can import the explorer's program."""
    root = tmp_path_factory.mktemp("program")
    (root / "empty.html").write_text("<!doctype html><title>empty</title>")
    (root / "explorer.js").symlink_to(ROOT / PROGRAM)
    with served(root) as address:
        page = browser.new_page()
        page.goto(address + "empty.html")
        yield page
        page.close()


CHOOSE = """async ({ studies, cases }) => {
  const { choose, factorsOf, onFrontier } = await import("/explorer.js");
  return cases.map(({ number, settings, name }) => {
    const study = studies[number];
    const found = choose(study, factorsOf(settings, study), name, settings);
    const { performance, cost } = found.sample;
    return { ...found, sample: undefined, performance, cost, frontier: onFrontier(performance, cost),
             scores: found.scores.map((score) => (Number.isNaN(score) ? null : score)) };
  });
}"""


@pytest.mark.slow
@pytest.mark.parametrize("tables", [100, pytest.param(1000, marks=pytest.mark.exhaustive)])
def test_every_choice_is_the_library_s(program: "Page", explorer: dict[str, Any], tables: int) -> None:
    random = np.random.default_rng(20)
    studies = [explorer, *(some_study(random) for _ in range(tables))]
    read = [candidates_of(study) for study in studies]
    cases: list[dict[str, Any]] = [
        {"number": number, "settings": settings, "name": name}
        for number, settings in ((number, some_settings(random)) for number in range(len(studies)))
        for name in CRITERIA
    ]
    refused = 0
    for case, found in zip(cases, program.evaluate(CHOOSE, {"studies": studies, "cases": cases}), strict=True):
        candidates = costed(read[case["number"]], studies[case["number"]], case["settings"])
        names = (*candidates.names, None)
        assert found["cost"] == pytest.approx(candidates.mean_cost, rel=1e-12)
        assert found["performance"] == pytest.approx(candidates.mean_performance, rel=1e-12)
        assert found["frontier"] == on_frontier(candidates.mean_performance, candidates.mean_cost).tolist()
        try:
            expected = choose(candidates, criterion_of(case["name"], case["settings"]))
        except InputError:
            refused += 1
            assert found["chosen"] == -1
            continue
        assert names[found["chosen"]] == expected.chosen
        assert names[found["runnerUp"]] == expected.runner_up
        assert tuple(names[place] for place in found["tied"]) == expected.tied
        scores = [math.nan if score is None else score for score in found["scores"]]
        assert scores == pytest.approx(list(expected.scores.values()), rel=1e-9, abs=1e-9, nan_ok=True)
    assert 0 < refused < len(cases) / 7


DRAW = """async ({ study, settings, names, count }) => {
  const { CRITERIA, factorsOf, pick, sharesOf, drawnMeans, sampleOf } = await import("/explorer.js");
  const draws = drawnMeans(study, count, 1);
  const factors = factorsOf(settings, study);
  const samples = draws.map((draw) => sampleOf(study, draw, factors));
  return {
    draws: samples.map(({ performance, cost }) => ({ performance, cost })),
    picks: Object.fromEntries(names.map((name) => [name, samples.map((sample) =>
      pick(CRITERIA[name].utility(sample, settings), sample))])),
    shares: Object.fromEntries(names.map((name) => [name, sharesOf(study, draws, factors, name, settings)])),
  };
}"""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_draw_is_judged_as_by_the_library_and_the_draws_are_like_its_own(
    program: "Page", explorer: dict[str, Any], seed: int
) -> None:
    random = np.random.default_rng(seed)
    study = explorer if seed == 0 else some_study(random)
    settings: Settings = {**some_settings(random), "grid": "world", "budget": explorer["start"]["budget"]}
    asked = {"study": study, "settings": settings, "names": list(CRITERIA), "count": 1000}
    found = program.evaluate(DRAW, asked)
    candidates = costed(candidates_of(study), study, settings)
    performance, cost = (np.array([draw[name] for draw in found["draws"]]) for name in ("performance", "cost"))
    for name in CRITERIA:
        criterion = criterion_of(name, settings)
        picks = pick(criterion.utility(performance, cost, candidates), performance, cost)
        assert found["picks"][name] == picks.tolist(), name
        theirs = uncertainty(candidates, criterion, 2000).table
        if candidates.counts.max() > 1:
            assert found["shares"][name]["chosen"] == pytest.approx(theirs["chosen_probability"].tolist(), abs=0.06)
            assert found["shares"][name]["frontier"] == pytest.approx(theirs["frontier_probability"].tolist(), abs=0.06)


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.4, 1.0, 1.5, 1e9, math.inf, math.nan])
def test_a_number_is_refused_where_the_library_refuses_it(
    program: "Page", explorer: dict[str, Any], value: float
) -> None:
    found = program.evaluate(
        "async (text) => { const { REFUSALS } = await import('/explorer.js'); "
        "return Object.fromEntries(Object.entries(REFUSALS).map(([name, say]) => [name, say(Number(text))])); }",
        {math.inf: "Infinity"}.get(value, str(value).replace("nan", "NaN")),
    )
    library: dict[str, Callable[[], object]] = {
        "intensity": lambda: carbon_intensity(value),
        "pue": lambda: checked_pue(value),
        "embodied": lambda: Factors.of("world", 1.0, value),
        "uses": lambda: candidates_of(explorer).with_uses(np.ones(4), int(value) if value.is_integer() else value),  # type: ignore[arg-type]
    }
    for criterion, option in SETTINGS.items():
        library[option] = functools.partial(criterion_of, criterion, {option: value})
    assert set(found) == set(library)
    for name, ask in library.items():
        try:
            ask()
        except InputError:
            assert found[name], name
        else:
            assert not found[name], name


def test_an_address_keeps_the_settings_and_bears_nonsense(program: "Page", explorer: dict[str, Any]) -> None:
    ask = (
        "async ({ hash, study }) => { const { fromHash, toHash } = await import('/explorer.js'); "
        "const found = fromHash(hash, study); return [found, toHash(found, study)]; }"
    )
    changed = {**explorer["start"], "grid": "DK", "pue": 1.2, "criterion": "knee", "price": 0.25}
    hash_ = "#grid=DK&pue=1.2&criterion=knee&price=0.25"
    assert program.evaluate(ask, {"hash": hash_, "study": explorer}) == [changed, hash_]
    own = {**explorer["start"], "grid": "37.5"}
    assert program.evaluate(ask, {"hash": "#grid=37.5", "study": explorer}) == [own, "#grid=37.5"]
    for nonsense in ("", "#a-heading", "#pue=0.5&budget=-1&grid=XX&criterion=toString&weight=&margin=NaN&other=3"):
        assert program.evaluate(ask, {"hash": nonsense, "study": explorer}) == [explorer["start"], ""]
