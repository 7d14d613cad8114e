import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carbon_midl.book.build import build
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.explorer import explorer_data
from carbon_midl.book.prepare import COLLECTION, FACTS, prepare
from carbon_midl.book.published import RECORDED as PUBLISHED
from carbon_midl.book.search import RECORDED as SEARCHED
from carbon_midl.files import write_json
from carbon_midl.lidc.annotations import patients_with_nodules
from carbon_midl.lidc.statistics import fingerprint, measure, to_json
from tests.book.browsing import chromium
from tests.book.synthetic import make_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]


def copy_book(root: Path) -> Path:
    """Copy the sources of the book, with nothing prepared or built but the numbers of some patients of LIDC-IDRI."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_generated", "_build", "__pycache__"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    for recorded in (PUBLISHED, SEARCHED):
        shutil.copytree(ROOT / recorded, root / recorded)
    write_json(root / COLLECTION, {"fingerprint": fingerprint(), "tables": some_patients()})
    return root


@functools.cache
def some_patients() -> dict[str, Any]:
    """The collection's tables from few of its patients; measuring them all takes half a minute."""
    return to_json(measure(patients_with_nodules()[:80]))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and runs of a made-up study."""
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def explorer(study: tuple[Path, Path]) -> dict[str, Any]:
    """What the explorer computes from, of the made-up study."""
    return explorer_data(Evidence.read(study[0], ROOT / FACTS))


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
