from pathlib import Path

import pytest

from carbon_midl.study.results import Results
from carbon_midl.study.spec import Study
from tests.sharing.made_up import collected, make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("made-up") / "root")


@pytest.fixture(scope="session")
def whole(study: Study) -> Results:
    return collected(study)


@pytest.fixture
def directory(whole: Results, tmp_path: Path) -> Path:
    """The results of the whole study, to do what one likes with."""
    out = tmp_path / "results"
    out.mkdir()
    for name, content in whole.files.items():
        (out / name).write_bytes(content)
    return out
