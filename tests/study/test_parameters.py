"""Parameters of a notebook are typed, and an unknown one is an error where papermill would only warn."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

from carbon_midl.errors import InputError
from carbon_midl.study.notebook import open_experiment
from carbon_midl.study.parameters import notebook_parameters, parse_parameters, refuse_undeclared_parameters

ROOT = Path(__file__).parents[2]
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "train_unet.ipynb", as_version=4)
DECLARED = next(cell.source for cell in NOTEBOOK.cells if "parameters" in cell.metadata.get("tags", []))


def executed(monkeypatch: pytest.MonkeyPatch, *cells: str) -> dict[str, Any]:
    """Let a kernel have executed these cells, and return the notebook's variables."""
    variables: dict[str, Any] = {"In": ["", *cells]}
    for cell in cells:
        exec(cell, variables)
    shell = SimpleNamespace(user_ns=variables)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return variables


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("filters", 16.5, "'filters' is 16.5: input should be a valid integer"),
        ("filters", [4, 8], r"'filters' is \[4, 8\]: input should be a valid integer"),
        ("augment", "flase", "'augment' is 'flase': input should be a valid boolean.*True and False"),
        ("pue", "1.2", "'pue' is '1.2': input should be a valid number"),
        ("pue", 0.9, "pue: found 0.9, expected a number of at least 1"),
        ("intensity", False, "intensity: found False, expected"),  # YAML's "NO", which is no Norway
        ("intensity", "Denmrk", r"no country 'Denmrk'; did you mean DK \(Denmark\)"),
        ("crops", 3, "'crops' is 3: input should be a valid string.*-r"),
        ("patience", -1, "'patience' is -1: input should be greater than or equal to 0"),
        ("carbontraker", False, "unknown option 'carbontraker'; did you mean 'carbontracker'"),
    ],
)
def test_a_value_that_cannot_be_is_named(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=f"^notebook parameters: .*{message}"):
        parse_parameters({name: value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("filtres = 64", r"^notebook parameters: unknown option 'filtres'; did you mean 'filters'\?$"),
        ("budget_g = 1.0\nbudget_kwh = 1.0", "both 'budget_g' and 'budget_kwh' are given; keep one"),
        ("", "nowhere: not a crop archive"),
    ],
)
def test_what_papermill_sets_wrongly_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = executed(monkeypatch, DECLARED, f'# Parameters\ncrops = "nowhere"\noutput = "run"\n{given}')
    with pytest.raises(InputError, match=message):
        open_experiment(**notebook_parameters(variables))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "cells",
    [
        ["title = 'mine'"],
        ["# Parameters\nfilters = 8", "title = 'mine'\nfilters = 4"],
        ["# Parameters\nfilters = 4\nPAPERMILL_INPUT_PATH = 'a.ipynb'\nthesis = 'yes'"],
    ],
    ids=["a cell", "a cell behind papermill's, by hand", "declared"],
)
def test_variables_of_ones_own_are_nobodys_business(monkeypatch: pytest.MonkeyPatch, cells: list[str]) -> None:
    own = 'note = "mine"\nthesis: str = "no"\n' + DECLARED
    variables = executed(monkeypatch, own, *cells)
    assert parse_parameters(notebook_parameters(variables)).filters == variables["filters"]
    refuse_undeclared_parameters()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["# Parameters\nfiltres = 64"], r"unknown parameter 'filtres'; this notebook has none\."),
        (["places = ['DK']", "# Parameters\nplace = 'NO'"], "unknown parameter 'place'; did you mean 'places'"),
    ],
)
def test_another_notebook_refuses_what_it_does_not_declare(
    monkeypatch: pytest.MonkeyPatch, cells: list[str], message: str
) -> None:
    executed(monkeypatch, *cells)
    with pytest.raises(InputError, match=message):
        refuse_undeclared_parameters()
