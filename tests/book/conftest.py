import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carbon_midl.book.build import build, prepare
from carbon_midl.book.evidence import Evidence, WidthStudy
from carbon_midl.book.explorer import explorer_data
from tests.book.browsing import chromium
from tests.book.synthetic import make_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]


def copy_book(root: Path) -> Path:
    """Copy the sources of the book, with nothing prepared or built."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_generated", "_build", "__pycache__"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    (root / "results").symlink_to(ROOT / "results")
    return root


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and runs of a made-up study."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    """What the chapters speak of."""
    return Evidence(ROOT)


@pytest.fixture(scope="session")
def shown(study: tuple[Path, Path]) -> WidthStudy:
    """The made-up study as the appendix reads it."""
    return WidthStudy(study[0])


@pytest.fixture(scope="session")
def explorer(shown: WidthStudy) -> dict[str, Any]:
    """What the explorer computes from, of the made-up study."""
    return explorer_data(shown, [1e-9, 2e-9, 4e-9, 8e-9])


@pytest.fixture(scope="session")
def prepared(study: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book, with the made-up study in its appendix."""
    root = copy_book(tmp_path_factory.mktemp("book") / "root")
    prepare(study[1], root)
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
