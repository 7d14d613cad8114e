"""The action ``select``."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.selection.criteria import CRITERIA
from tests.selection.made_up import write_results


@pytest.fixture
def study(tmp_path: Path) -> Path:
    widths = ((4, 0.60, 0.01), (8, 0.70, 0.02), (16, 0.702, 0.2))
    rows = [
        (w, seed, dice + 0.002 * (w == 8 and seed > 0) + 0.01 * seed, kwh)
        for w, dice, kwh in widths
        for seed in range(5)
    ]
    runs = pd.DataFrame(rows, columns=["filters", "seed", "val_dice", "energy_kwh"])
    runs["run"] = [f"run-{number}" for number in range(len(runs))]
    # By test, which has a single patient, the order is turned round; validation slices were not recorded.
    runs["test_dice_patients"] = 1 - runs["val_dice"]
    slices = runs[["run"]].assign(patient_id="p0", part="test", dice=runs["test_dice_patients"])
    write_results(tmp_path, runs, slices)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["select", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_example_of_the_help(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = ["--criterion", "noninferior", "--margin", "0.01", "--grid", "DK", "--pue", "1.2", "--draws", 500]
    code, out, _ = run(capsys, study, *example, "--paired")
    assert code == 0
    assert out.startswith("Chosen: 8 (cheapest not worse than the best by more than 0.01, one-sided 95 %)")
    text = " ".join(out.split())
    assert re.search(r"Runner-up is 16, .* gCO2eq\. Could have the best performance, at 95 %: 8, 16\.", text)
    assert "Denmark" in text
    assert "PUE 1.2" in text
    lines = out.splitlines()
    header = next(line for line in lines if line.startswith("candidate"))
    assert header.split() == ["candidate", "val_dice", "gCO2eq", "frontier", "chosen"]
    assert re.match(r"8 +0\.7216 \[0\.7\d+, 0\.7\d+\] .*yes \(100%\) +100\.0% \*$", lines[lines.index(header) + 1])


def test_a_study_is_chosen_from_on_validation_by_own_seeds(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, study, "--draws", 500, "--json", study / "c.json")
    assert code == 0
    assert out.startswith("Chosen: 16 ")
    text = " ".join(out.split())
    assert "Note: By seed, on val_dice of runs.csv, and not by patient" in text
    assert "Note: Replicates are not paired: each candidate's own are drawn" in text
    assert re.search(r"\n16 .* \d\d\.\d% \*\n", out)
    # Of the three test scores, that of the chosen one is told and no other.
    assert re.search(r"\nTest, of 16 alone: test_dice_patients 0\.2780 \[0\.2\d+, 0\.2\d+\] \(seeds: 5\)\n", out)
    assert "0.3784" not in out
    stored = json.loads((study / "c.json").read_text())
    assert (stored["test"]["candidate"], stored["test"]["replicates"]) == ("16", 5)
    assert stored["test"]["performance"] == pytest.approx(0.278)
    assert "0.3784" not in json.dumps(stored)
    # The test chooses only when it is named.
    named = ["--performance", "test_dice_patients", "--criterion", "best"]
    code, out, _ = run(capsys, study, *named, "--json", study / "c.json")
    assert code == 0
    assert out.startswith("Chosen: 4 ")
    assert "Note: test_dice_patients is a test score, and choosing by it uses the test up" in " ".join(out.split())
    assert "Test, of" not in out
    assert json.loads((study / "c.json").read_text())["test"] is None


def test_of_a_recorded_study_patients_and_trainings_are_drawn(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = pd.read_csv(study / "runs.csv")
    parts = pd.MultiIndex.from_product(
        [("validation", "test"), [f"p{k}" for k in range(6)]], names=["part", "patient_id"]
    )
    slices = runs.merge(parts.to_frame(index=False), how="cross")
    ease = slices["patient_id"].str[1:].astype(int) / 100
    # On validation 8 is the best, on test, which differs in kind, 4 is.
    best = slices["part"].map({"validation": 8, "test": 4})
    slices["dice"] = 0.6 + ease + 0.1 * (slices["filters"] == best)
    write_results(study, runs, slices[["run", "part", "patient_id", "dice"]])
    code, out, _ = run(capsys, study, "--draws", 200)
    assert code == 0
    assert out.startswith("Chosen: 8 ")
    assert re.search(r"\n8 +0\.7250 .*100\.0% \*\n", out)
    assert "Test, of 8 alone: test_dice_patients 0.6250 [0.6" in out
    assert "(patients: 6, trainings: 5)" in out
    assert "Note:" not in out.replace("Note: Only 6 replicates", "")


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_every_criterion_has_its_place(criterion: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = {"budget": ["--budget", 20], "marginal": ["--price", 3]}.get(criterion, [])
    code, out, err = run(capsys, study, "--criterion", criterion, "--draws", 100, *extra)
    assert (code, err) == (0, "")
    assert out.startswith("Chosen: ")
    assert f"Source: {CRITERIA[criterion].source}." in " ".join(out.split())


def test_json_says_what_is_printed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["--criterion", "budget", "--budget", 20]
    out = run(capsys, study, *budget, "--json", study / "out" / "choice.json")[1]
    stored = json.loads((study / "out" / "choice.json").read_text())
    assert out.startswith(f"Chosen: {stored['chosen']}")
    assert stored["chosen"] == "8"
    assert stored["could_be_best"] == ["8", "16"]
    assert [row["candidate"] for row in stored["candidates"]] == ["4", "8", "16"]
    assert (stored["scores"]["16"], stored["draws"]) == (None, 10_000)


def test_a_single_replicate_has_no_interval(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, study, "--where", "seed=0", "--json", study / "c.json")[1]
    rows = json.loads((study / "c.json").read_text())["candidates"]
    assert {row["chosen_probability"] for row in rows} == {None}
    assert "]" not in re.sub(r"\d \[[\d.]+, [\d.]+\] +(yes|no)", "", out.split("candidate  ")[1])  # but of grams
    assert "\nTest, of 8 alone: test_dice_patients 0.3000 (seeds: 1)\n" in out


def test_other_peoples_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "models.csv"
    rows = {"model": [f"m{k}" for k in range(22)] * 2, "fold": [1] * 22 + [2] * 22, "acc": range(40, 84), "g": 5.0}
    pd.DataFrame(rows).assign(e=3.6e6).to_csv(path, index=False)
    columns = [path, "--candidate", "model", "--replicate", "fold", "--performance", "acc", "--percent", "--draws", 50]
    out = run(capsys, *columns, "--cost", "e", "--unit", "J", "--grid", "100", "--pue", 1)[1]
    assert out.startswith("Chosen: m21 ")
    assert re.search(r" 100 \[[5-8][\d.]+, 1[2-7]\d\] ", out)  # ± 40 %, since nothing says how it was obtained
    known = ["--cost", "e", "--unit", "J", "--grid", "100", "--pue", 1, "--grams-uncertainty", "none"]
    assert "100 [100, 100]" in run(capsys, *columns, *known)[1]
    assert "… and 2 more (--json writes all)" in out
    assert "5 [5, 5]" in run(capsys, *columns, "--cost", "g", "--unit", "g")[1]
    assert "3,600,000" in run(capsys, *columns, "--cost", "e", "--unit", "joules", "--criterion", "weighted")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--criterion", "budget"], "needs --budget"),
        (["--criterion", "marginal"], "needs --price"),
        (["--margin", "1"], "NonInferior: found 1.0; input should be less than 1. Costs are numbers"),
        (["--criterion", "best", "--margin", "0.01"], "--margin: belongs to --criterion noninferior"),
        (["--criterion", "budget", "--budget", "0.001"], "no candidate within 0.001 gCO2eq; the cheapest, 4"),
        (["--grams-uncertainty", "0"], "uncertainty of grams: found '0', expected one above 0 and at most 10"),
        (["--grams-uncertainty", "0.4", "--unit", "GB"], "--grams-uncertainty: the cost, energy_kwh, is not in grams"),
        (["--where", "seed"], "expected COLUMN=VALUE"),
        (["--where", "seed=9"], "no row with seed = 9"),
        (["--grid", "Denmrk"], "did you mean DK"),
        (["--performance", "test_dice_patient"], "did you mean 'test_dice_patients'"),
        (["--replicate", "patient_id"], "no validation slices. Run the study anew, which records them, or choose by"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    arguments: list[str], words: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, study, "--draws", 50, *arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
