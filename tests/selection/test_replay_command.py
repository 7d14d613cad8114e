"""The action ``replay`` and policies named on the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.selection.policies import POLICIES, SuccessiveHalving, Widen, described, policy_of

RECIPES = Path(__file__).parents[2] / "results" / "recipes"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["replay", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_all_policies_on_a_recorded_study(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, RECIPES, "--candidate", "recipe,filters")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "3 seeds, each a search of 4 candidates"
    assert lines[2].startswith("full sweep")
    assert " 0.0000 [0.0000, 0.0000]  100%    100.0% [100.0%, 100.0%]" in lines[2]
    assert len(lines) == 3 + len(POLICIES)
    assert lines[-1].startswith("regret: mean and range of 95 % in test Dice;")


def test_one_policy_on_draws_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.uniform(0.4, 0.8, (20, 4)), columns=[f"acc_{k}" for k in range(4)])
    table = table.assign(net=[f"n{k}" for k in range(20)], weights=range(1, 21), kwh=range(1, 21), task="a")
    table.to_csv(tmp_path / "curves.csv", index=False)
    arguments = [
        tmp_path / "curves.csv", "--candidate", "net", "--size", "weights", "--cost", "kwh", "--curve", r"acc_\d",
        "--policy", "halving", "--option", "eta=3", "--draws", 25,
    ]  # fmt: skip
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert out.startswith("25 draws of 20 candidates, each a search\n")
    assert "successive halving in energy, one of 3" in out
    assert run(capsys, *arguments)[1] == out
    assert "in best of the curve;" in out
    assert "Note:" not in out
    pd.read_csv(tmp_path / "curves.csv").rename(columns=lambda name: name.replace("acc", "test")).to_csv(
        tmp_path / "test.csv", index=False
    )
    told = run(
        capsys, *[{arguments[0]: tmp_path / "test.csv", r"acc_\d": r"test_\d"}.get(one, one) for one in arguments]
    )
    assert told[1].endswith("Note: --curve test_\\d are test scores, and deciding by them uses the test up.\n")
    code, _, err = run(capsys, *arguments, "--where", "task=b")
    assert code == 2
    assert "no row with task = b; found a." in err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "TABLE: missing"),
        (("curves.csv",), "a CSV file needs --size, --cost, --curve"),
        ((RECIPES, "--option", "eta=2"), "--option: belongs to --policy"),
        (
            (RECIPES, "--candidate", "recipe,filters", "--policy", "halvng"),
            "policy: found 'halvng'; expected one of full",
        ),
        ((RECIPES,), "several runs of one seed are called '4'"),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert named in " ".join(err.split())


def test_the_list_of_policies_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--policies")
    assert code == 0
    assert out == f"policies:\n{described()}\n"
    for name, kind in POLICIES.items():
        assert name in out
        assert kind.assumption in out
    assert "Options: eta=2.0, first=1.0" in out


def test_options_are_of_the_policy_and_of_its_kinds() -> None:
    assert policy_of("halving", ["eta=3", "first=2"]) == SuccessiveHalving(3.0, 2.0)
    assert policy_of("widen", ["patience=none", "stage=2"]) == Widen(stage=2, patience=None)
    for options, named in (
        (["eta"], "found option 'eta'; its options are: eta=…, first=…"),
        (["gain=1"], "found option 'gain=1'"),
        (["eta=x"], "halving: eta: found 'x'; expected a number"),
        (["eta=1"], "eta: found 1.0"),
    ):
        with pytest.raises(InputError, match=named):
            policy_of("halving", options)
    with pytest.raises(InputError, match="expected a whole number or none"):
        policy_of("widen", ["patience=2.5"])
    with pytest.raises(InputError, match="its options are: none"):
        policy_of("full", ["eta=1"])
