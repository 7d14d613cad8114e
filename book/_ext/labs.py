"""One source for each lab, ``book/course/lab-*.md``: its page, and notebooks for students, instructors, otter-grader.

Of the exam, ``book/course/exam.md``, the page has the questions alone, and only instructors get a notebook.

- Python code runs, in order and in one process; the page shows what it prints.
- ``:::{dropdown} Solution`` follows an exercise, ``**1.**``. Of its code, students get what otter-grader leaves of it:
  ``name = ...`` of a line that ends with ``# SOLUTION``, ``...`` of one that assigns nothing.
- ```` ```{check} name: type, … ```` in a solution, after its code, is worth a mark. It names the answers it needs, with
  their types, and asserts what is right, each time with a message for the usual wrong turn. No page shows it.

As a Sphinx extension this makes the pages and ``book/_generated/labs``; as a program, ``python book/_ext/labs.py labs``
makes the notebooks alone. A lab that fails, or a solution that does not pass its own checks, is an error.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, starmap
from pathlib import Path
from typing import Any, NamedTuple

from nbformat import v4, writes

COURSE = "book/course"
_SOLUTION = re.compile(r"^:::\{dropdown\} Solution\n(.*?)^:::$\n?", re.M | re.S)
_CODE = re.compile(r"^```(?:python|\{check\} ([^\n]*))\n(.*?)^```$\n?", re.M | re.S)
_LINE = re.compile(r"^( *)([\w., ]+= )?.*# SOLUTION$", re.M)
_PAGE_ONLY = re.compile(r"^\{download\}.*\n\n|^:{3,}.*\n", re.M)
_ROLE = re.compile(r"\{\w+\}`(?:([^`<]+) <)?([^`>]+)>?`")
_OTTER = "# ASSIGNMENT CONFIG\ntests: {ok_format: false}\nexport_cell: {pdf: false, run_tests: false}"
_RUN = """\
import contextlib, io, json, sys, time
printed = []
for piece in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(piece, piece, "exec"))
    printed.append(out.getvalue().rstrip())
json.dump([printed, f"{time.process_time():.0f}"], sys.stdout)
"""
_CHECK = """\
try:
{}
    print("Right.")
except Exception as problem:
    print("Not yet.", problem if isinstance(problem, AssertionError) else f"Is it of the kind asked for? {{problem!r}}")
"""


class _Piece(NamedTuple):
    kind: str  #: "prose", "code" or "check".
    text: str
    solution: bool  #: whether it is part of one.
    exercise: str  #: its number; "" before the first.

    @property
    def code(self) -> str:  # what runs
        return self.text.replace("  # SOLUTION\n", "\n").rstrip()

    @property
    def skeleton(self) -> str:  # what students are given of it
        given = _LINE.sub(lambda line: f"{line[1]}{line[2] or ''}...", self.text).rstrip()
        return given if self.kind == "code" and given != self.text.rstrip() else "# your answer"


class Lab:
    """A lab that has run."""

    def __init__(self, source: Path) -> None:
        self.source, self.for_students = source, source.stem != "exam"
        self.pieces = list(_pieces(source.read_text(encoding="utf-8")))
        code = json.dumps([piece.code if piece.kind != "prose" else "" for piece in self.pieces])
        options: dict[str, Any] = {"cwd": source.parent, "capture_output": True, "encoding": "utf-8"}
        done = subprocess.run([sys.executable, "-c", _RUN], input=code, check=False, **options)
        if done.returncode:
            raise RuntimeError(f"{source}: {done.stderr}")
        self.printed, seconds = json.loads(done.stdout)
        self.pieces = [piece._replace(text=piece.text.replace("{{ seconds }}", seconds)) for piece in self.pieces]

    def page(self) -> str:
        """The page: code with what it prints, before each solution what students are given, and no checks."""
        parts = []
        for solution, group in groupby(zip(self.pieces, self.printed, strict=True), lambda one: one[0].solution):
            pieces = list(group)
            if solution and not self.for_students:
                continue
            if solution:
                parts += [f"```python\n{one.skeleton}\n```\n" for one, _ in pieces if "..." in one.skeleton]
                parts.append(":::{dropdown} Solution\n")
            for piece, printed in pieces:
                parts += [f"```python\n{piece.code}\n```\n"] if piece.kind == "code" else []
                # Columns scroll on a phone, where sentences wrap.
                columns = re.search(r"\S {2,}\S", printed) and len(max(printed.splitlines(), key=len)) <= 72
                look = "lab-output lab-columns" if columns else "lab-output"
                parts += [f"```{{code-block}} none\n:class: {look}\n\n{printed}\n```\n"] if printed else []
                parts += [piece.text] if piece.kind == "prose" else []
            parts += [":::\n"] if solution else []
        return "\n".join(parts)

    def notebook(self, reader: str) -> str:
        """The notebook for students, or for "instructor" or "otter"."""
        cells = [v4.new_raw_cell(_OTTER)] if reader == "otter" else []
        for piece, printed in zip(self.pieces, self.printed, strict=True):
            checks, code = self._of(piece, "check"), self._of(piece, "code")
            if piece.kind == "check":
                if piece is checks[-1]:
                    cells += _question(code, checks) if reader == "otter" else [_check_cell(checks)]
            elif piece.solution and reader != "instructor":
                if not reader and piece.kind == "code":
                    # "Run all" goes on to the check, which says what is missing.
                    cells.append(v4.new_code_cell(piece.skeleton, metadata={"tags": ["raises-exception"]}))
                elif not code:
                    cells.append(v4.new_markdown_cell("*Your answer:*"))
            elif piece.kind == "code":
                outputs = [v4.new_output("stream", text=f"{printed}\n")] if printed and reader == "instructor" else []
                cells.append(v4.new_code_cell(piece.code, outputs=outputs))
            else:
                cells.append(self._prose(piece))
        for number, cell in enumerate(cells):
            cell["id"] = f"cell-{number}"  # the same each time
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        return str(writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})))

    def _of(self, piece: _Piece, kind: str) -> list[_Piece]:  # in the solution of its exercise
        return [one for one in self.pieces if one.solution and (one.exercise, one.kind) == (piece.exercise, kind)]

    def _prose(self, piece: _Piece) -> Any:
        """Prose for a notebook: links lead to the published book, or are the titles of its pages."""

        def link(role: "re.Match[str]") -> str:
            page, address = self.source.parent / f"{role[2]}.md", os.environ.get("CARBON_MIDL_BOOK_ADDRESS", "")
            words = role[1] or (page.read_text(encoding="utf-8").partition("\n")[0][2:] if page.is_file() else role[2])
            place = os.path.normpath(f"{COURSE}/{role[2]}.html")
            return f"[{words}]({address.rstrip('/')}/{place})" if address and page.is_file() else f"*{words}*"

        text = _ROLE.sub(link, _PAGE_ONLY.sub("", piece.text)).strip()
        return v4.new_markdown_cell(f"**Solution.** {text}" if piece.solution else text)


def _pieces(text: str) -> Iterator[_Piece]:
    exercise = ""
    for place, part in enumerate(_SOLUTION.split(text)):
        for answers, body, prose in zip(*[iter(["", "", *_CODE.split(part)])] * 3, strict=True):
            if body:
                kind, types = ("code", []) if answers is None else ("check", re.findall(r"(\w+): (\w+)", answers))
                yield _Piece(kind, "".join(starmap(_type_check, types)) + body, bool(place % 2), exercise)
            exercise = (re.findall(r"^\*\*(\d+)\.\*\*", prose, re.M) or [exercise])[-1]
            if prose.strip():
                yield _Piece("prose", prose, bool(place % 2), exercise)


def _type_check(name: str, kind: str) -> str:
    """Python that asserts that there is an answer, and of which type."""
    wanted, words = ('__import__("numbers").Real', "a number") if kind == "float" else (kind, kind)
    there = f'assert globals().get("{name}", ...) is not ..., "{name}: no answer yet; it goes where the dots are."'
    return f'{there}\nassert isinstance({name}, {wanted}), f"{name}: found {{{name}!r:.60}}; expected {words}."\n'


def _check_cell(checks: list[_Piece]) -> Any:
    """A cell that says of each check whether it is passed; otter-grader, too, looks at the answers there."""
    number, tries = checks[0].exercise, [_CHECK.format(re.sub("^", "    ", check.code, flags=re.M)) for check in checks]
    about = {"jupyter": {"source_hidden": True}, "otter": {"tests": [f"q{number}"]}}
    return v4.new_code_cell(f"# Check {number}: run this cell.\n{''.join(tries)}".rstrip(), metadata=about)


def _question(code: list[_Piece], checks: list[_Piece]) -> list[Any]:
    """An exercise as ``otter assign`` reads it."""
    tests = [f"def check_{number}(env):\n    exec({one.code!r}, dict(env))" for number, one in enumerate(checks)]
    solution, raw = [v4.new_code_cell(one.text.rstrip()) for one in code], v4.new_raw_cell
    return [
        raw(f"# BEGIN QUESTION\nname: q{checks[0].exercise}\npoints: {len(checks)}"),
        raw("# BEGIN SOLUTION"), *solution, raw("# END SOLUTION"),
        raw("# BEGIN TESTS"), *map(v4.new_code_cell, tests), raw("# END TESTS"), raw("# END QUESTION"),
    ]  # fmt: skip


def lab_sources(root: Path) -> list[Path]:
    """Those of the labs and of the exam, below the root of the repository."""
    return [*sorted((root / COURSE).glob("lab-*.md")), *(root / COURSE).glob("exam.md")]


def run_labs(sources: Iterable[Path], out: Path) -> dict[str, Lab]:
    """Run labs, and write notebooks for students into ``out``, others into ``out/instructor`` and ``out/otter``."""
    labs = {lab.source.stem: lab for lab in ThreadPoolExecutor(os.cpu_count()).map(Lab, sources)}
    for name, lab in labs.items():
        for reader in ("", "instructor", "otter") if lab.for_students else ("instructor",):
            (out / reader).mkdir(parents=True, exist_ok=True)
            (out / reader / f"{name}.ipynb").write_text(lab.notebook(reader), encoding="utf-8")
    return labs


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx: labs run before pages are read, which several processes may do."""
    labs: dict[str, Lab] = {}

    def run(app: Any, env: Any, names: list[str]) -> None:
        root = Path(app.srcdir)
        changed = [source for source in lab_sources(root) if f"{COURSE}/{source.stem}" in names]
        labs.update(run_labs(changed, root / "book/_generated/labs"))

    def page(app: Any, name: str, source: list[str]) -> None:
        lab = labs.get(name.removeprefix(f"{COURSE}/"))
        source[0] = lab.page() if lab else source[0]

    app.connect("env-before-read-docs", run)
    app.connect("source-read", page, priority=100)  # before links are added
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    made = run_labs(lab_sources(Path(__file__).parents[2]), Path(sys.argv[1]))
    print(f"{sys.argv[1]}: {', '.join(made)}; all solutions have run and pass their checks")
