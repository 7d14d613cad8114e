import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carbon_midl.book.build import build, prepare
from carbon_midl.book.evidence import COLLECTION, PUBLISHED, SEARCHED, Evidence
from carbon_midl.book.explorer import explorer_data
from tests.book.browsing import chromium
from tests.book.synthetic import make_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]


def copy_book(root: Path) -> Path:
    """Copy the sources of the book, with nothing prepared or built."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_generated", "_build", "__pycache__"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    for recorded in (PUBLISHED, SEARCHED, COLLECTION):
        shutil.copytree(ROOT / recorded, root / recorded)
    return root


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and runs of a made-up study."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def explorer(study: tuple[Path, Path]) -> dict[str, Any]:
    """What the explorer computes from, of the made-up study."""
    return explorer_data(Evidence.read(study[0], ROOT))


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


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Headless Chromium."""
    with chromium() as found:
        yield found
