"""The parameters of a notebook: typed, and none that it does not know, of which papermill only warns."""

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
    pause_after: int = Field(
        0, ge=0, description="pause the training after this epoch, so that whoever searches can decide; 0 never"
    )

    @property
    def options(self) -> RunOptions:
        """Those that decide the outcome of the run."""
        return parse_options(self.model_dump(include=set(RunOptions.model_fields)), WHERE)


def parse_parameters(values: dict[str, Any]) -> NotebookParameters:
    """Check ``values``, and what papermill was asked to set beyond the notebook's own parameters.

    Raises:
        InputError: an unknown name or a bad value; the message names each.
    """
    undeclared, _ = _undeclared()
    try:
        return NotebookParameters(**(undeclared | values))
    except ValidationError as error:
        found = explain(error, list(NotebookParameters.model_fields))
        ways_out = {_WAYS_OUT[item["type"]] for item in error.errors() if item["type"] in _WAYS_OUT}
        raise InputError(" ".join([f"{WHERE}: {found}", *sorted(ways_out)])) from None


def notebook_parameters(variables: dict[str, Any]) -> dict[str, Any]:
    """Of a notebook's variables, those that are parameters of ``notebooks/train_unet.ipynb``."""
    return {name: variables[name] for name in NotebookParameters.model_fields if name in variables}


def refuse_undeclared_parameters() -> None:
    """For a notebook with other parameters, or none: refuse what papermill was asked to set and it does not have.

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


def running_shell() -> Any:
    """The IPython shell that this code runs in, or None."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _undeclared() -> tuple[dict[str, Any], list[str]]:
    """What papermill has set beyond the notebook's parameters cell, with its value, and the names in that cell.

    Papermill puts a cell of assignments, begun with the comment "# Parameters", behind the parameters cell, or at the
    top where there is none. The kernel keeps the sources of the cells that it has executed, in their order.
    """
    shell = running_shell()
    # Where a person works, Jupyter sends each cell's name along. There a cell like papermill's is the person's own.
    if shell is None or "cellId" in getattr(shell, "get_parent", dict[str, Any])().get("metadata", {}):
        return {}, []
    for before, cell in itertools.pairwise(shell.user_ns["In"]):
        if cell.partition("\n")[0] == "# Parameters":
            declared = _assigned(before)
            # With --inject-paths papermill sets two of its own.
            names = [name for name in _assigned(cell) if name not in declared and not name.startswith("PAPERMILL_")]
            return {name: shell.user_ns[name] for name in names}, declared
    return {}, []


def _assigned(source: str) -> list[str]:
    """The names that a cell assigns to."""
    nodes = ast.walk(ast.parse(source))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
