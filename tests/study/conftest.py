from pathlib import Path

import pytest

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.results import Results
from carbon_midl.study.spec import Study
from tests.study.made_up import collected, make_study
from tests.study.tiny import make_root, run, study_toml


@pytest.fixture(scope="session")
def finished(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    """The tiny study, made without a disturbance, and what was said meanwhile; whoever changes it puts it back."""
    study = make_root(tmp_path_factory.mktemp("finished") / "root", study_toml(), discs)
    with pytest.MonkeyPatch.context() as environment:
        # As if installed: runs from a working tree with changes, which whoever works on the code has, cannot be packed.
        environment.setenv("GIT_DIR", "/nowhere")
        return study, run(study)


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose runs are made up."""
    return make_study(tmp_path_factory.mktemp("made-up") / "root")


@pytest.fixture(scope="session")
def whole(made_up: Study) -> Results:
    """Its results."""
    return collected(made_up)


@pytest.fixture
def directory(whole: Results, tmp_path: Path) -> Path:
    """Its results, to do what one likes with."""
    (out := tmp_path / "results").mkdir()
    for name, content in whole.files.items():
        (out / name).write_bytes(content)
    return out
