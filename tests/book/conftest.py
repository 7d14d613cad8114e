import shutil
from pathlib import Path

import pytest

from carbon_midl.book.build import build
from carbon_midl.book.prepare import prepare
from tests.book.synthetic import make_study

ROOT = Path(__file__).parents[2]


def copy_book(root: Path) -> Path:
    """Copy the sources of the book, without anything prepared or built."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_generated", "_build", "__pycache__"))
    return root


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and runs of a made-up study."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def prepared(study: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book, prepared from the made-up study."""
    root = copy_book(tmp_path_factory.mktemp("book") / "root")
    prepare(*study, root)
    return root


@pytest.fixture(scope="session")
def built(prepared: Path) -> Path:
    """The HTML of the book."""
    return build(prepared).parent
