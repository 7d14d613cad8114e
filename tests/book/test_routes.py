"""A reader's test: ten questions and more, each answered at most two clicks from the landing page."""

import re
from pathlib import Path
from urllib.parse import urldefrag

import pytest

from tests.book.test_built_book import parsed

# Question, the links that are followed from the landing page, and what the answer looks like.
ROUTES: list[tuple[str, list[str], str]] = [
    ("Which width would you choose at 50 g?", ["explorer"], r"Budget \(g CO₂eq\)"),
    ("How sure is that?", ["selection"], r"On other draws of the patients and seeds"),
    ("What was estimated?", ["results"], r"was measured, the rest is estimated"),
    ("How do I rerun F = 16?", ["reproduce"], r"-p filters 16"),
    ("How many patients stand behind it?", [], r"\d+ patients that no network had seen"),
    ("Does it agree with the poster?", [], r"the poster named about 1500 %"),
    ("What does another point of Dice cost?", ["results"], r"Marginal cost of a Dice point"),
    ("Do radiologists agree among themselves?", ["data"], r"Dice of two readers|two readers"),
    ("How do I use my own copy of LIDC-IDRI?", ["reproduce"], r"crops import-slices"),
    ("How do I run it on a cluster?", ["reproduce", "cluster"], r"SLURM"),
    ("How do I cite it?", ["reproduce"], r"CITATION\.cff"),
    ("Where are the numbers behind a figure?", ["results"], r"Data \(CSV\)"),
    ("What is PUE?", ["glossary"], r"Power usage effectiveness"),
    ("What could a search have saved?", ["stopping"], r"energy of the search"),
    ("What could be wrong with it?", ["threats"], r"The study is a reconstruction"),
    ("What did everything take, trials included?", ["results"], r"recorded on these crops"),
    ("How far does a training repeat?", ["experiment"], r"On a GPU it does not"),
    ("What can I do with it in class?", ["course/index"], r"One lesson of 90 minutes"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("question", "clicks", "answer"), ROUTES, ids=[question for question, _, _ in ROUTES])
def test_the_answer_is_at_most_two_clicks_away(built: Path, question: str, clicks: list[str], answer: str) -> None:
    assert len(clicks) <= 2
    page = built / "book" / "index.html"
    for name in clicks:
        wanted = (built / "book" / f"{name}.html").resolve()
        links = {urldefrag(str(link["href"]))[0] for link in parsed(page).select("article a[href]")}
        assert wanted in {(page.parent / link).resolve() for link in links if link and "://" not in link}, name
        page = wanted
    (article,) = parsed(page).select("article")
    assert re.search(answer, " ".join(article.get_text(" ").split())), question
