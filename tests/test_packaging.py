"""pyproject.toml, requirements.lock and environment.yml describe one and the same installation."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from papermill.inspection import inspect_notebook

from benchmarks.record import README, with_table
from carbon_midl.study.parameters import NotebookParameters
from carbon_midl.study.run import read_result
from carbon_midl.training.checkpoint import WEIGHTS, load_model

ROOT = Path(__file__).parents[1]


def lock() -> dict[str, list[Requirement]]:
    pinned: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            pinned.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pinned


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    requirements = [Requirement(line) for line in lines]
    return [requirement for requirement in requirements if requirement.name != project["name"]]  # an extra of its own


def test_the_lock_pins_exactly_what_the_project_declares_and_no_cuda() -> None:
    pinned = lock()
    for pin in sum(pinned.values(), []):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
    assert [name for name in pinned if re.match(r"nvidia-(cu|nccl|nv)|cuda|triton", name)] == []
    for requirement in declared():
        pins = pinned.get(canonicalize_name(requirement.name), [])
        assert pins, f"{requirement.name} is not in requirements.lock; run 'make lock'"
        for pin in pins:
            version = next(iter(pin.specifier)).version
            assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def test_conda_installs_the_same_project_under_the_same_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    by_pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert by_pip == ["--requirement requirements.lock", "--editable ."]
    python = next(item for item in environment["dependencies"] if str(item).startswith("python="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python == f"python={project['requires-python'].removeprefix('>=')}"


def test_make_and_ci_run_the_same_tests() -> None:
    makefile, readme = (ROOT / "Makefile").read_text(), (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
    for target in ("book", "test"):
        assert re.search(rf"^{target}: \$\(VENV\)/\.installed", makefile, re.MULTILINE)
        assert f"make {target}" in readme


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(citation["version"]) == project["version"]
    assert citation["references"][0]["year"] == 2021


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_notebook_explains_each_parameter_and_shares_the_defaults() -> None:
    found = inspect_notebook(ROOT / "notebooks" / "train_unet.ipynb")
    assert set(found) == set(NotebookParameters.model_fields)
    for name, parameter in found.items():
        assert len(parameter["help"]) > 5, f"{name} has no comment"
    defaults = {name: eval(parameter["default"], {}) for name, parameter in found.items()}
    assert NotebookParameters(**defaults) == NotebookParameters()


def test_what_the_readme_shows_and_links_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    named = re.findall(r'(?:src|srcset)="([^"]+)"', readme) + re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert any(name.endswith(".svg") for name in named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_benchmarks_table_is_what_was_recorded() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_table(text) == text


def test_the_networks_that_come_along_are_what_their_card_says() -> None:
    weights = ROOT / "results" / "lidc-weights"
    lines = [line for line in (weights / "README.md").read_text().splitlines() if line.startswith("| `filters-")]
    directories = sorted(weights.glob("filters-*"), key=lambda path: int(path.name.partition("-")[2]))
    for directory, line in zip(directories, lines, strict=True):
        (_, card), result = load_model(directory), read_result(directory)
        assert directory.name == f"filters-{card.filters}" == line.split("`")[1]
        assert card.crops == result["crops"]["fingerprint"]
        assert f"| {result['validation']['dice_patients']:.3f} | {result['test']['dice_patients']:.3f} |" in line
    assert sum((directory / WEIGHTS).stat().st_size for directory in directories) < 4e6
