"""The labs: their solutions score in full, blanks nothing, and a wrong turn costs its own marks and is told why."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from book._ext.labs import run_labs
from tests.book.conftest import ROOT

pytestmark = pytest.mark.xdist_group("labs")
KERNEL = {"name": "python3", "display_name": "Python 3"}
COURSE = ROOT / "book" / "course"
SOURCES = sorted(COURSE.glob("lab-*.md"))
TIME = re.compile(r"\*\*Time:\*\* (\d+) minutes: reading (\d+), exercises ([\d, ]+), discussion (\d+)\.")
# Lab, exercise, what somebody types in place of its solution, the marks that costs, and what the check says.
WRONG_TURNS = [
    ("lab-meter", "1", "words = 'estimated'", 1, "found 'estimated'; expected dict"),
    ("lab-meter", "2", "watts = training.energy_kwh * 1000 / training.duration_s", 1, "a kWh is 3.6 million joules"),
    ("lab-meter", "3", "seconds = [record.epoch(n).duration_s for n in range(3)]", 1, "no answer yet"),
    ("lab-meter", "1", "words = {part.component: part.method for part in record.window('training').components}", 1,
     "before the colon"),
    ("lab-meter", "2", "watts = record.window('training').energy_kwh * 3.6e6", 1, "watts × seconds is the energy"),
    ("lab-log", "1", "ratio = runs['ours'] / runs['theirs']\nmeans = ratio.groupby(runs['recipe']).mean()", 2,
     "ours to theirs.*two widths each, so four means; found 2"),
    ("lab-log", "2", "measured = runs['energy_method'].nunique()", 1, "energy_method contains 'measured'; found 1"),
    ("lab-log", "3", "grams = runs['ours'] * 473", 1, "The PUE is missing"),
    ("lab-log", "1", "ratio = runs['theirs'] / runs['ours']\nby = runs.groupby(['recipe', 'filters'])\n"
     "means = by['theirs'].mean() / by['ours'].mean()", 1, "the ratio of two averages is another number"),
    ("lab-log", "1", "ratio = runs['theirs'] / runs['ours']\nmeans = ratio.mean()", 1, "a single number"),
    ("lab-log", "2", "measured = len(runs)", 1, "none says 'measured'"),
    ("lab-countries", "1", "places_apart = table.max().max() / table.min().min()\nnetworks_apart = 64 / 4", 2,
     "One row of the table is one network.*One column of the table is one place"),
    ("lab-countries", "2", "ratios = table.loc[4] / table.loc[64]", 1, "the row of F = 64 by the row of F = 4"),
    ("lab-countries", "3", "allowed = 'NO, FR, DK'", 1, "allowed: found 'NO, FR, DK'; expected list"),
    ("lab-countries", "2", "ratios = table.loc[64, 'DK'] / table.loc[4, 'DK']", 1, "One ratio for each of the"),
    ("lab-countries", "3", "allowed = [place for place in table if (table[place] <= 0.5).all()]", 1,
     "the narrowest network is its row 4"),
    ("lab-budget", "1", "best = choose(candidates, Best)\npepr = choose(Pepr(), candidates)", 1, "best: no answer yet"),
    ("lab-budget", "1", "best = choose(candidates, Best())\npepr = '8'", 1, "best: found Choice.*; expected str"),
    ("lab-budget", "2", "limit = '1 g'\nfit = []\nwithin = choose(candidates, Budget(limit)).chosen", 2,
     "limit: found '1 g'; expected a number.*within: no answer yet"),
    ("lab-budget", "3", "chosen = [choose(candidates, NonInferior(m)).chosen for m in (0.5, 0.9, 0.95, 0.99)]", 1,
     "Half a point of Dice is 0.005"),
    ("lab-budget", "4", "again = 84\ndrawn = 'patients'", 2, "a share between 0 and 1; found 84.*by seed"),
    ("lab-budget", "5", "where, on_test = {}, Columns(performance='test_dice_patients')\n"
     "tested = read_candidates(recorded('lidc'), on_test)", 1, "You have looked at all of them"),
    ("lab-flaw", "1", "by_patient = by_slice", 1, "hand `patients` over"),
    ("lab-flaw", "1", "by_patient = split_accuracy(patients)", 1, "Take the mean of 200"),
    ("lab-flaw", "2", "gain = dice[8].mean() - dice[4].mean()\nspread = dice[4].max() - dice[4].min()\nturned = 17", 1,
     "Right.*the pairs in which the claim holds"),
    ("lab-flaw", "3", "change = -30", 1, "the change of the carbon"),
    ("lab-flaw", "1", "by_patient = 100 * np.mean([split_accuracy(patients) for _ in range(200)])", 1,
     "a fraction; found .* in percent"),
    ("lab-flaw", "3", "change = 7 / (445 * 1.58) / last_kwh - 1", 1, "change is in percent"),
    ("lab-search", "1", "halved = replay(first, SuccessiveHalving)", 1, "halved: no answer yet"),
    ("lab-search", "1", "halved = replay(first, FullSweep())", 1, "That is the full sweep"),
    ("lab-search", "2", "tried = [replay(curves, SuccessiveHalving()) for curves in searches.values()]\n"
     "regret, share = (100 * sum(getattr(one, part) for one in tried) / 5 for part in ('regret', 'share'))", 2,
     "Is it in points.*each between 0 and 1"),
    ("lab-search", "2", "regret = replay(first, SuccessiveHalving()).regret\nshare = 1.15", 2,
     "first search alone.*mean of the five shares"),
    ("lab-search", "3", "mine = [replay(curves, lambda trials: [Step(9, 5)]) for curves in searches.values()]", 2,
     "mine: no answer yet"),
    ("lab-statement", "2", "share = compute.abandoned / compute.runs", 1, "the share is of the energy"),
    ("lab-statement", "2", "share = 100 * compute.abandoned_kwh / compute.energy_kwh", 1, "which is in percent"),
    ("lab-statement", "3", "grams = compute.energy_kwh * DEFAULT_PUE * carbon_intensity('DK').g_per_kwh\n"
     "danish = replace(compute, carbon_g=grams)", 1, "replace the intensity as well"),
    ("lab-statement", "3", "grams = compute.energy_kwh * carbon_intensity('Denmark').g_per_kwh\ndanish = compute", 2,
     "The PUE is missing.*still has the grams of the world's average"),
    ("lab-statement", "3", "grams = '24 g'\ndanish = model_card(compute, location='Copenhagen')", 2,
     "grams: found '24 g'; expected a number.*no attribute 'carbon_g'"),
    ("lab-trackers", "1", "apart = told['carbon_g'].max() - told['carbon_g'].min()\nenergy_apart = 1.0", 2,
     "Divide the largest carbon_g.*only energy_kwh is left"),
    ("lab-trackers", "2", "a, b = told.loc['CodeCarbon'], told.loc['ML CO2 Impact']\n"
     "factors = [a[part] / b[part] for part in ('energy_kwh', 'pue', 'g_per_kwh')]", 1, "by A's"),
    ("lab-trackers", "3", "cheapest = grams.idxmin()", 1, "One width for each instrument"),
    ("lab-trackers", "3", "cheapest = grams.idxmax(axis='columns')", 1, "the smallest number of its row"),
    ("lab-trackers", "4", "least = most = told.loc['eco2AI', 'carbon_g']", 1, "adds the whole memory"),
    ("lab-uses", "1", "crops = use_kwh / training_kwh", 1, "by that of one use"),
    ("lab-uses", "2", "million = trained.with_uses(use_kwh, 1000)", 1, "A million is"),
    ("lab-uses", "2", "million = trained.mean_cost + 10**6 * use_kwh", 1, "as trained.with_uses returns them"),
    ("lab-uses", "3", "ratios = [16 / 4] * 4", 1, "divided by the first"),
    ("lab-uses", "4", "chosen = '16'", 1, "chosen: found '16'; expected list"),
]  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks of all labs, whose solutions have run and passed their checks."""
    out = tmp_path_factory.mktemp("labs")
    run_labs(SOURCES, out)
    return out


def cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return list(notebook.cells)


def answered(out: Path, name: str, exercise: str = "", typed: str = "", solved: bool = True) -> list[Any]:
    """The student's cells, with solutions or blanks in them, and one answer typed otherwise."""
    with_solutions = [cell for cell in cells(out / "instructor" / f"{name}.ipynb") if cell.cell_type == "code"]
    found = [cell for cell in cells(out / f"{name}.ipynb") if cell.cell_type == "code"]
    assert len(found) == len(with_solutions)
    for number, (cell, solution) in enumerate(zip(found, with_solutions, strict=True)):
        asked = found[number + 1].source.startswith(f"# Check {exercise}:") if number + 1 < len(found) else False
        cell.source = typed if asked and exercise else solution.source if solved else cell.source
    return found


def grade(found: list[Any]) -> dict[str, list[str]]:
    """What each exercise's check prints, a line a mark, with errors ignored where "Run all" ignores them."""
    space: dict[str, Any] = {"__name__": "__main__"}
    said = {}
    for cell in found:
        ignored = [Exception] if "raises-exception" in cell.metadata.get("tags", []) else []
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(*ignored):
            exec(cell.source.replace("range(20)", "range(1)"), space)
        if check := re.match(r"# Check (\d+):", cell.source):
            said[check[1]] = printed.getvalue().splitlines()
    return said


@pytest.mark.slow
@pytest.mark.parametrize("name", [source.stem for source in SOURCES])
def test_a_solved_notebook_has_all_marks_and_a_blank_one_none(
    name: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a folder outside the checkout
    text = (COURSE / f"{name}.md").read_text(encoding="utf-8")
    solved = grade(answered(out, name))
    assert sum(solved.values(), []) == ["Right."] * text.count("```{check} ")
    stated = re.findall(r"^\*\*(\d)\.\*\*(?:(?!:::).)*?\*\((\d) marks?\)\*", text, re.MULTILINE | re.DOTALL)
    assert {number: len(marks) for number, marks in solved.items()} == {number: int(marks) for number, marks in stated}
    blank = sum(grade(answered(out, name, solved=False)).values(), [])
    assert all(line.startswith("Not yet. ") and "no answer yet" in line for line in blank)
    for _, exercise, typed, marks, told in (turn for turn in WRONG_TURNS if turn[0] == name):
        said = grade(answered(out, name, exercise, typed))
        assert {number: lines for number, lines in said.items() if number != exercise} == {
            number: lines for number, lines in solved.items() if number != exercise
        }
        assert len(said[exercise]) - said[exercise].count("Right.") == marks
        assert re.search(told, " ".join(said[exercise])), said[exercise]
        assert "Traceback" not in str(said)


@pytest.mark.slow
def test_otter_grader_marks_what_students_hand_in(out: Path, tmp_path: Path) -> None:
    def otter(*arguments: object) -> None:
        subprocess.run([sys.executable, "-m", "otter", *map(str, arguments)], cwd=tmp_path, check=True, stdout=-3)

    name = "lab-countries"
    otter("assign", out / "otter" / f"{name}.ipynb", "made")
    own = cells(tmp_path / "made" / "student" / f"{name}.ipynb")  # asks for the same answers
    asked = [cell.source for cell in cells(out / f"{name}.ipynb") if "= ..." in cell.source]
    assert [cell.source for cell in own if "otter_answer_cell" in str(cell)] == asked
    wrong = answered(out, name, "1", "places_apart, networks_apart = 3, energy_kwh[64] / energy_kwh[4]")
    # Cells are deleted and inserted, checks among them.
    other = [cell for cell in wrong if "# Check" not in cell.source]
    other[2:2] = [nbformat.v4.new_code_cell("1 / 0"), nbformat.v4.new_markdown_cell("mine")]
    blank = cells(out / f"{name}.ipynb")
    for handed_in, marks in ((answered(out, name), 4), (wrong, 3), (other, 3), (blank, 0)):
        notebook = nbformat.v4.new_notebook(cells=handed_in, metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, tmp_path / "handed-in.ipynb")
        archive = next((tmp_path / "made" / "autograder").glob("*.zip"))
        otter("run", "-a", archive, "-o", tmp_path, tmp_path / "handed-in.ipynb")
        tests = json.loads((tmp_path / "results.json").read_text())["tests"]
        assert sum(test.get("score", 0) for test in tests) == marks


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_lab_begins_and_ends_as_all_do(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert re.match(r"# Lab \d: .+\n\n\*\*Question\.\*\* .+\n\n\{download\}`.*\n\n- \*\*Objective:\*\* [1-6], ", text)
    # On a line of its own, which a link to Binder is put behind.
    assert re.search(rf"^\{{download\}}`.*labs/{source.stem}\.ipynb>`$", text, re.MULTILINE)
    for part in ("- **Before:** ", "- **Hand in:** ", "**To discuss.** ", "**Take away.** "):
        assert text.count(f"\n{part}") == 1
    exercises = re.findall(r"^\*\*(\d)\.\*\*", text, re.MULTILINE)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    assert text.count(":::{dropdown} Solution") == len(exercises)
    whole, reading, each, discussion = minutes(source.stem)
    assert whole == reading + sum(each) + discussion
    assert len(each) == len(exercises)


def minutes(name: str) -> tuple[int, int, list[int], int]:
    whole, reading, each, discussion = TIME.findall((COURSE / f"{name}.md").read_text(encoding="utf-8"))[0]
    return int(whole), int(reading), [int(one) for one in each.split(", ")], int(discussion)


def test_the_plans_add_up() -> None:
    index = (COURSE / "index.md").read_text(encoding="utf-8")
    plans = [section for section in index.split("\n## ") if section.partition("\n")[0].endswith("90 minutes")]
    lessons = [lesson for plan in plans for lesson in re.split(r"\*\*Lesson \d\*\*", plan) if "\n| 0–" in lesson]
    assert len(lessons) == 4
    for lesson in lessons:
        found = re.findall(r"^\| (\d+)–(\d+) (.*)$", lesson, re.MULTILINE)
        rows = [(int(start), int(end), row) for start, end, row in found]
        assert [start for start, *_ in rows] == [0, *(end for _, end, _ in rows[:-1])]
        assert rows[-1][1] == 90
        for start, end, row in rows:
            for lab in re.findall(r"\{doc\}`(lab-\w+)` \|", row):
                assert end - start == minutes(lab)[0], row


def test_what_labs_load_is_there_on_windows() -> None:
    texts = "".join(source.read_text(encoding="utf-8") for source in SOURCES)
    loaded = set(re.findall(r"^from carbon_midl.*", texts, re.MULTILINE))
    hidden = "import filelock, psutil, sys; sys.modules.update(dict.fromkeys(['fcntl', 'resource', 'pwd', 'grp']))"
    meter = (
        "from carbon_midl.footprint.sensors import discover_sensors; [one.read() for one in discover_sensors().sensors]"
    )
    program = "\n".join([hidden, *sorted(loaded), meter])
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_folder_for_a_class_without_network_has_the_results_that_labs_open() -> None:
    opened = {name for source in SOURCES for name in re.findall(r'recorded\("([\w-]+)"\)', source.read_text("utf-8"))}
    copied = re.findall(r"cp -r \$\(addprefix results/,(.*)\) labs-offline", (ROOT / "Makefile").read_text("utf-8"))
    assert set(copied[0].split()) == opened


def test_the_course_has_a_lab_for_each_aim_and_a_question_for_each_chapter() -> None:
    index = (COURSE / "index.md").read_text(encoding="utf-8")
    aims = {re.findall(r"Objective:\*\* (\d)", source.read_text(encoding="utf-8"))[0] for source in SOURCES}
    assert aims == set(re.findall(r"^(\d)\. .*$", index, re.MULTILINE)) == set("123456")
    for source in SOURCES:
        assert f"{{doc}}`{source.stem}`" in index
        assert f"{{doc}}`{source.stem}`" in (COURSE / "instructors.md").read_text(encoding="utf-8")
    quizzed = re.findall(r"\{doc\}`\.\./(\w+)`", (COURSE / "quiz.md").read_text(encoding="utf-8"))
    assert set(quizzed) >= {"motivation", "data", "experiment", "measuring", "frontier", "results", "selection"}
