import re
import subprocess
import sys
from pathlib import Path

import pytest

from carbon_midl.cli import main
from carbon_midl.lidc.crops import CropArchive


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["lidc", "download", "--help"],
        ["lidc", "statistics", "--help"],
        ["crops", "build", "--help"],
        ["crops", "phantom", "--help"],
        ["crops", "info", "--help"],
        ["study", "run", "--help"],
        ["results", "verify", "--help"],
        ["results", "pack", "--help"],
        ["results", "merge", "--help"],
        ["book", "build", "--help"],
    ],
)
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: carbon-midl")
    assert len(shown.splitlines()) > 5


def test_help_shows_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Each example of ``--help`` gets as far as looking for its files, so its words are known."""
    with pytest.raises(SystemExit):
        main(["--help"])
    examples = re.findall(r"^  carbon-midl (.+?)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) >= 4
    for example in examples:
        with pytest.raises(SystemExit) as ended:
            main([*example.split(), "--help"])
        assert ended.value.code == 0


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


def test_interrupting_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("carbon_midl.study.spec.read_study", interrupted)
    assert main(["study", "run", "studies/demo.toml"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, carbon_midl, carbon_midl.cli\n"
        "heavy = {'torch', 'pylidc', 'pydicom', 'matplotlib', 'pandas', 'carbontracker'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    "module",
    [
        "selection.marginal",
        "selection.choice",
        "figures",
        "selection.by_width",
        "study.share",
        "book.prepare",
        "book.build",
    ],
)
def test_a_reader_needs_no_torch(module: str) -> None:
    code = f"import sys, carbon_midl.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", ["carbon_midl.training", "carbon_midl.study.notebook"])
def test_training_needs_no_pylidc(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'pylidc', 'pydicom'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
