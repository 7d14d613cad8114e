"""The explorer's page: markup, data and program in one, so that it opens from a disk as well as from a server.

Browsers refuse modules that a page on a disk imports. So the modules of ``book/_static/explorer`` are put one after
the other, each after those that it imports, into a single module inside the page. For that they import by name from
their neighbours, on one line for each and without renaming, export what they declare where they declare it, and
declare no name twice.
"""

import json
import re
from pathlib import Path
from typing import Any

from carbon_midl.errors import InputError

MARKUP = Path("book/explorer.html")
MODULES = Path("book/_static/explorer")
MAIN = "main.js"
_IMPORT = re.compile(r'^import \{ \w+(?:, \w+)* \} from "\./([\w.-]+)";\n', re.MULTILINE)
_DECLARED = re.compile(r"^(?:export )?(?:const|let|function\*?|class) (\w+)", re.MULTILINE)


def explorer_page(root: Path, data: dict[str, Any]) -> str:
    """The markup with its data and program.

    Args:
        root: the repository.
        data: of :func:`carbon_midl.book.explorer.explorer_data`.

    Raises:
        InputError: a file is missing, or a module is written in a way that cannot be joined.
    """
    # In a script's text "</script" would end it; "\u003c" is the same to a reader of JSON.
    embedded = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        _read(root / MARKUP)
        + f'<script type="application/json" id="explorer-data">{embedded}</script>\n'
        + f'<script type="module">\n{joined_modules(root / MODULES)}</script>\n'
    )


def joined_modules(directory: Path, main: str = MAIN) -> str:
    """One module of ``main`` and all that it imports, each once and before those that need it.

    Raises:
        InputError: a module is missing, imports itself by a detour, is written in a way that cannot be joined, or a
            name is used twice.
    """
    texts: dict[str, str] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InputError(f"{directory / name}: imports itself by way of {' and '.join(path[1:])}.")
        if name in texts:
            return
        text = _read(directory / name)
        for neighbour in _IMPORT.findall(text):
            add(neighbour, (*path, name))
        texts[name] = _IMPORT.sub("", text)

    add(main, ())
    owners: dict[str, str] = {}
    for name, text in texts.items():
        if found := re.search(r"^(?:import\b|export (?:default|\{|\*)).*", text, re.MULTILINE):
            raise InputError(
                f"{directory / name}: {found[0]!r} cannot be joined; expected "
                'import { one, other } from "./neighbour.js"; or export before a declaration.'
            )
        if "</script" in text.lower():
            raise InputError(f"{directory / name}: contains </script, which would end the program; write it in parts.")
        for declared in _DECLARED.findall(text):
            if declared in owners:
                raise InputError(f"{directory / name}: {declared} is declared in {owners[declared]} too; rename one.")
            owners[declared] = name
    parts = [f"// {name}\n{re.sub(r'^export ', '', text, flags=re.MULTILINE)}" for name, text in texts.items()]
    return "\n".join(parts)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file. It comes with the repository; restore it.") from None
