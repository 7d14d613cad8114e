"""The parameters of a notebook, checked. Papermill checks no types, and only warns of an unknown parameter."""

import ast
import itertools
import sys
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.footprint.grid import DEFAULT_PUE, WORLD, CarbonIntensity, carbon_intensity, checked_pue
from carbon_midl.training.options import RunOptions, explain, parse_options, suggestion

WHERE = "notebook parameters"
_WAYS_OUT = {
    "bool_type": "Papermill's -p reads True and False, with a capital.",
    "string_type": "Papermill's -r passes a text as it is.",
}


class NotebookParameters(RunOptions):
    """Every parameter of ``notebooks/train_unet.ipynb``: the options of a run, its crops, and how it is measured."""

    model_config = ConfigDict(allow_inf_nan=False)

    crops: str = Field("phantom", description='directory of a crop archive, or "phantom" for the embedded one')
    output: str = Field("", description="the run's directory; empty for a new one in runs/single/")
    pue: Annotated[float, AfterValidator(checked_pue)] = Field(DEFAULT_PUE, description="power usage effectiveness")
    intensity: Annotated[CarbonIntensity, BeforeValidator(carbon_intensity)] = Field(
        WORLD, description='carbon intensity: "world", a country code or g/kWh'
    )
    carbontracker: bool = Field(True, description="whether carbontracker measures alongside")
    metered_alone: bool = Field(
        True, description="whether nothing else runs on the metered device; False is noted in the footprint"
    )

    @property
    def options(self) -> RunOptions:
        """The parameters that decide the outcome of the run."""
        return parse_options(self.model_dump(include=set(RunOptions.model_fields)), WHERE)


def parse_parameters(values: dict[str, Any]) -> NotebookParameters:
    """Check ``values``, and the parameters that papermill set and the notebook does not declare.

    Raises:
        InputError: an unknown name or a bad value; the message names each.
    """
    undeclared, _ = _undeclared()
    try:
        return NotebookParameters(**(undeclared | values))
    except ValidationError as error:
        problems = explain(error, list(NotebookParameters.model_fields))
        ways_out = {_WAYS_OUT[item["type"]] for item in error.errors() if item["type"] in _WAYS_OUT}
        raise InputError(" ".join([f"{WHERE}: {problems}", *sorted(ways_out)])) from None


def notebook_parameters(variables: dict[str, Any]) -> dict[str, Any]:
    """Return those of a notebook's variables that are parameters of ``notebooks/train_unet.ipynb``."""
    return {name: variables[name] for name in NotebookParameters.model_fields if name in variables}


def refuse_undeclared_parameters() -> None:
    """Refuse parameters that papermill set and the running notebook does not declare.

    Raises:
        InputError: there is such a parameter.
    """
    undeclared, declared = _undeclared()
    if undeclared:
        problems = (
            f"unknown parameter '{name}'; "
            + (suggestion(name, declared) if declared else "this notebook has none. Change its cells instead.")
            for name in undeclared
        )
        raise InputError(f"{WHERE}: {' '.join(problems)}")


def _undeclared() -> tuple[dict[str, Any], list[str]]:
    """Parameters (with values) that papermill set and the parameters cell does not assign, and the names it assigns.

    Papermill puts a cell of assignments, which begins with the comment "# Parameters", after the parameters cell, or at
    the top if there is none. The kernel keeps the sources of the cells it has executed, in order.
    """
    ipython = sys.modules.get("IPython")
    variables = getattr(ipython and ipython.get_ipython(), "user_ns", {})
    for before, cell in itertools.pairwise(variables.get("In", [])):
        if cell.partition("\n")[0] == "# Parameters":
            declared = _assigned(before)
            # With --inject-paths papermill sets two more.
            names = [name for name in _assigned(cell) if name not in declared and not name.startswith("PAPERMILL_")]
            return {name: variables[name] for name in names}, declared
    return {}, []


def _assigned(source: str) -> list[str]:
    """Return the names that a cell assigns to."""
    nodes = ast.walk(ast.parse(source))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
