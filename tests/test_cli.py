import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from carbon_midl import __version__
from carbon_midl.cli import app, main
from carbon_midl.lidc.crops import CropArchive
from tests.study.tiny import study_toml, write_study

ROOT = Path(__file__).parents[1]


def commands(group: Any = None, name: str = "carbon-midl") -> Iterator[tuple[str, Any]]:
    """Every command and group, with what one types to reach it."""
    group = group or typer.main.get_command(app)
    yield name, group
    for below, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {below}")


@pytest.mark.parametrize("command", [name for name, _ in commands()])
def test_help_teaches_and_fits_a_terminal(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split()[1:], "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {command} ")
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"[a-z]\.\.\.$", shown, re.MULTILINE)  # no summary is cut short


EXAMPLES = [
    line
    for text in [
        *(command.epilog or "" for _, command in commands()),
        (ROOT / "README.md").read_text(),
        *(page.read_text() for page in [*(ROOT / "book").glob("*.md"), *(ROOT / "book" / "course").glob("*.md")]),
    ]
    for line in re.findall(r"^(?: {4}|(?:\.venv/bin/)?)carbon-midl (.+)$", re.sub(r" \\\n", "", text), re.MULTILINE)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_commands_with_options_that_exist(example: str) -> None:
    words = shlex.split(re.split(r" [|>] ", example)[0], comments=True)
    command: Any = typer.main.get_command(app)
    if words[0] == "footprint" and "--" in words:
        words.insert(1, "measure")
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("carbon-midl", words)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["crops", "inof"], "No such command 'inof'. Did you mean 'info'?"),
        (["crops", "info"], "Missing argument 'DIR'"),
        (["crops", "info", "x", "--crop", "3"], "No such option: --crop (Possible options: --crops)"),
        (["crops", "info", "x", "--crops", "0"], "Invalid value for '--crops'"),
        (["select", "x", "--criterion", "bset"], "Invalid value for '--criterion'"),
        (["lidc", "download", "ct"], "give exactly one of --patients, --number, --max-gb and --all"),
        (["lidc", "download", "ct", "--all", "--number", "3"], "give exactly one of"),
        (["search", "x.toml", "--budget-g", "1", "--budget-kwh", "1"], "give one of --budget-g and --budget-kwh"),
    ],
)
def test_a_wrong_command_is_told_with_usage(command: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("Usage: carbon-midl ")
    assert says in error


def test_it_runs_as_a_module_and_tells_its_version() -> None:
    command = [sys.executable, "-m", "carbon_midl.cli", "--version"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == f"carbon-midl {__version__}\n"


def test_info_describes_an_archive_and_draws_a_sheet(
    discs: CropArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    assert main(["crops", "info", str(discs.path), "--sheet", str(sheet), "--crops", "4", "--verify"]) == 0
    shown = capsys.readouterr().out
    assert "60 crops of 32 × 32 px" in shown
    assert re.search(r"patients +10\n", shown)
    assert "60 crops outlined by 4" in shown
    assert f"{discs.fingerprint[:12]} (verified)" in shown
    assert sheet.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "command",
    [
        ["crops", "info", "nowhere"],
        ["crops", "import-slices", "nowhere", "out"],
        ["crops", "phantom", "out", "--patients", "0"],
        ["study", "run", "nowhere.toml"],
        ["results", "verify", "nowhere"],
        ["results", "pack", "nowhere.toml", "--out", "out.zip"],
        ["results", "merge", "nowhere", "elsewhere", "--out", "out"],
        ["book", "build", "--study", "nowhere.toml"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("carbon-midl: ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_what_a_terminal_cannot_show_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert main(["study", "status", str(write_study(tmp_path, study_toml()))]) == 0
    terminal.seek(0)
    assert "filters-2-seed-0  waiting  0/40   ?" in terminal.read()


def test_files_are_written_before_anything_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(BlockingIOError):
        main(["select", "results/recipes", "--candidate", "recipe,filters", "--json", str(tmp_path / "x.json")])
    assert (tmp_path / "x.json").exists()


def test_interrupting_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("carbon_midl.study.spec.read_study", interrupted)
    assert main(["study", "run", "studies/demo.toml"]) == 130
    assert "goes on from there" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import carbon_midl.cli", "torch pylidc pydicom matplotlib pandas carbontracker scipy"),
        ("from carbon_midl.selection import by_width, choice; from carbon_midl.book import build, figures", "torch"),
        ("from carbon_midl.study import devices, runner, share; devices.slots()", "torch"),
        ("import carbon_midl.training, carbon_midl.study.notebook", "pylidc pydicom"),
        ("from carbon_midl.lidc.annotations import read_scans; read_scans(['LIDC-IDRI-0078'])", "pylidc pydicom torch"),
    ],
)
def test_nothing_heavy_is_loaded_that_is_not_needed(code: str, heavy: str) -> None:
    code = f"import sys; {code}; sys.exit(' '.join(set({heavy.split()}) & set(sys.modules)) or None)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stderr == ""
