import pytest

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study.spec import Study
from tests.study.tiny import make_root, run


@pytest.fixture(scope="session")
def finished(discs: CropArchive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, str]:
    """The tiny study, made without a disturbance, and what was said meanwhile; whoever changes it puts it back."""
    study = make_root(tmp_path_factory.mktemp("study") / "root", discs)
    return study, run(study)
