"""Tables that other people and programs wrote: what is in them is read as meant, or refused in words."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.selection.candidates import Candidates, Columns, read_candidates, read_table
from carbon_midl.selection.choice import choose, uncertainty  # noqa: F401
from carbon_midl.selection.criteria import Best, Budget  # noqa: F401
from carbon_midl.selection.policies import FullSweep, ScreenedHalving, Step, Trial
from carbon_midl.selection.replay import Curves, curves_of_table, replay
from carbon_midl.study.results import read_results, recorded
from tests.selection.made_up import random_candidates

MODELS = Columns(candidate=("model",), performance="dice", cost="kwh", unit="kWh")


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def read(path: Path, **columns: object) -> Candidates:
    return read_candidates(path, Columns(**(MODELS.__dict__ | columns)))


def test_names_are_text_and_only_an_empty_cell_is_missing(tmp_path: Path) -> None:
    names = ["None", "NA", "1.10", "1.1", "007", "7", "7766017", "7766018", "1234567890123456", "1234567890123457"]
    rows = "".join(f"{name},0,0.8,1\n" for name in names)
    candidates = read(write(tmp_path / "t.csv", f"model,seed,dice,kwh\n{rows},0,0.9,1\nb,0,NaN,1\n"))
    assert set(candidates.names) == set(names)
    assert "2 of 12 rows left out: no candidate in 1, performance in 1." in candidates.notes
    gap = pd.DataFrame({"model": [7766017, 7766018, np.nan], "seed": 0, "dice": 0.8, "kwh": 1.0})
    assert read_candidates(gap, MODELS).names == ("7766017", "7766018")


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("model;seed;dice;kwh\ngroß;0;0,801;0,9\n", "utf-8-sig", {}),
        ("model;seed;dice;kwh\ngroß;0;0,801;0,9\n", "utf-16", {}),
        ("model;seed;dice;kwh\ngroß;0;0,801;0,9\n", "cp1252", {"encoding": "cp1252"}),
        ("model\tseed\tdice\tkwh\ngroß\t0\t0.801\t0.9\n", "utf-8", {}),
        ('model,seed,dice,kwh\ngroß,0,"0,801","0,9"\n', "utf-8", {}),
        ("model#seed#dice#kwh\ngroß#0#0,801#0,9\n", "utf-8", {"separator": "#", "decimal": ","}),
    ],
)
def test_separator_decimal_mark_and_encoding_are_recognised_or_said(
    tmp_path: Path, text: str, encoding: str, said: dict[str, str]
) -> None:
    candidates = read(write(tmp_path / "t.csv", text, encoding), **said)
    assert candidates.names == ("groß",)
    assert candidates.mean_performance.tolist() == [0.801]
    assert candidates.energy_kwh is not None
    assert candidates.energy_kwh.item() == 0.9


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("model,seed,dice,dice,kwh\na,0,0.8,0.9,1\n", {}, "'dice' stands twice in the header, at 3 and 4"),
        ("model,seed,dice,kwh\na,0,80.1%,1\n", {}, "'80.1%'; expected a number. Leave out the sign, and say --percent"),
        ("model,seed,dice,kwh\na,0,80.1,1\nb,0,0.86,1\n", {"percent": True}, "0.86 beside 80.1; expected percent"),
        ('model,seed,dice,kwh\na,0,0.8,"1,234"\n', {}, "may part decimals or thousands"),
        ("model,seed,dice,kwh,duration\na,0,0.8,0.0012,100\n", {"unit": "g"}, "0.043 g in an hour, less than any"),
        ("model,seed,dice,kwh\ngr\xf6\xdf,0,0.8,1\n", {"encoding": "no-such"}, "unknown encoding"),
        ("model;seed;dice;kwh\na;0;0,8;1\n", {"decimal": "."}, "may part decimals or thousands"),
    ],
)
def test_what_cannot_be_meant_is_asked_back(tmp_path: Path, text: str, columns: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as refused:
        read(write(tmp_path / "t.csv", text), **columns)
    assert words in str(refused.value)


def test_another_encoding_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not utf-8 at byte 19\. .*--encoding cp1252"):
        read_table(write(tmp_path / "t.csv", "model,seed,dice\ngro\xdf,0,0.8\n", "latin-1"))


def test_a_file_s_layout_is_not_that_of_a_study() -> None:
    recorded = Path(__file__).parents[2] / "results" / "recipes"
    with pytest.raises(InputError, match=r"of a CSV file, and .*recipes is a recorded study"):
        read_candidates(recorded, Columns(candidate=("recipe", "filters"), decimal=","))
    assert main(["replay", str(recorded), "--candidate", "recipe,filters", "--size", "macs"]) == 2


def test_kilograms_are_a_unit(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "model,seed,dice,kwh,duration\na,0,0.8,0.0012,100\n")
    assert read(table, unit="kg").mean_cost.item() == pytest.approx(1.2)


def test_epochs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    gains = generator.uniform(0, 0.05, (20, 12)).cumsum(axis=1)
    natural = pd.DataFrame(gains, columns=[f"val_{epoch}" for epoch in range(1, 13)])
    natural = natural.assign(model=[f"m{n}" for n in range(20)], params=range(1, 21), kwh=1.0)
    curves = [
        curves_of_table(table, ["model"], "params", "kwh", r"val_\d+")
        for table in (natural, natural[sorted(natural.columns)])
    ]
    assert curves[0] == curves[1]
    assert replay(curves[0], ScreenedHalving()) == replay(curves[1], ScreenedHalving())
    twice = natural.rename(columns={"val_1": "val_02"})
    with pytest.raises(InputError, match=r"12 columns match .*, of 11 epochs"):
        curves_of_table(twice, ["model"], "params", "kwh", r"val_\d+")


@pytest.mark.parametrize(
    ("typed", "way_out"),
    [
        ("choose(made, Best)", "found Candidates and Best; expected candidates.*with brackets"),
        ("uncertainty(Best(), made)", "found Best and Candidates; expected candidates"),
        ("Budget('1 g')", r"Budget: found '1 g'; .*numbers in the candidates' unit, as Budget\(1.5\)"),
        ("replay(curves, lambda trials: [])", r"policy: found <lambda>; .*brackets, such as FullSweep\(\)"),
        ("replay(curves, FullSweep)", "policy: found FullSweep; expected a policy with brackets"),
        ("replay(curves, Ninth())", "full sweep: asks to train trial 9; expected 0 to 0"),
        ("replay(curves, Bare())", r"full sweep: found 1; expected Step\(place in the list, epoch\)"),
        ("recorded('lidcc')", r"results/lidcc: not in .*Copy the project's folder 'results' into"),
    ],
)
def test_a_wrong_turn_is_told_the_way_out(typed: str, way_out: str) -> None:
    class Ninth(FullSweep):
        def steps(self, trials: object) -> list[Step]:
            return [Step(9, 1)]

    class Bare(FullSweep):
        def steps(self, trials: object) -> Any:
            return [1]

    known = {"made": random_candidates(0), "curves": Curves((Trial("a", 1, 2, (0.5, 0.6), (1, 1)),))}
    known |= {"Ninth": Ninth, "Bare": Bare}
    with pytest.raises(InputError, match=way_out):
        eval(typed, globals(), known)


def test_one_column_may_name_a_candidate_without_a_tuple() -> None:
    table = pd.DataFrame({"filters": [4, 8], "seed": [0, 0], "val_dice": [0.6, 0.7], "energy_kwh": [0.1, 0.2]})
    assert read_candidates(table, Columns(candidate="filters")).names == ("4", "8")


def test_recorded_results_are_found_beside_a_notebook_or_above_it(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "course" / "lesson").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "course" / "lesson")
    assert recorded("recipes").is_relative_to(Path(__file__).parents[2])  # of the checkout, from anywhere
    older = tmp_path / "results" / "recipes" / "manifest.json"
    older.parent.mkdir(parents=True)
    older.write_text('{"format": "carbon-midl results", "version": 0}')
    assert recorded("recipes") == older.parent
    for name in ("runs.csv", "epochs.csv", "slices.csv.gz"):
        (older.parent / name).touch()
    with pytest.raises(InputError, match=r"results/recipes/manifest\.json: .*0.*Update carbon-midl if they are newer"):
        read_results(recorded("recipes"))
