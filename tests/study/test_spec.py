import re
from pathlib import Path

import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.study.collect import other_axes
from carbon_midl.study.spec import read_study
from tests.study.tiny import study_toml, write_study

STUDIES = Path(__file__).parents[2] / "studies"

GOOD = study_toml(filters=[4, 8], seeds=[0, 1], epochs=2)


def test_the_axes_are_multiplied_out(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, GOOD))
    names = [run.name for run in study.runs]
    assert names == ["filters-4-seed-0", "filters-4-seed-1", "filters-8-seed-0", "filters-8-seed-1"]
    assert all(run.options.epochs == 2 for run in study.runs)
    assert study.directory == tmp_path / "runs" / "tiny"
    with pytest.raises(InputError, match=r"demo\.toml: no such study file\. There are .*tiny\.toml"):
        read_study(tmp_path / "studies" / "demo.toml")


def test_a_study_may_begin_with_a_byte_order_mark_and_lies_in_studies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path / "project", study_toml(crops="phantom = { patients = 3 }"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_study(path).name == "tiny"
    outside = path.rename(tmp_path / "project" / "outside.toml")
    for command in (["study", "run"], ["study", "prepare"], ["study", "collect"], ["search"]):
        assert main([*command, str(outside)]) == 2
        assert re.search(r"outside\.toml: found no .*; a study lies in studies/ .* Move it", capsys.readouterr().err)
    assert [entry.name for entry in tmp_path.iterdir()] == ["project"]  # neither data/ nor runs/


def test_what_a_study_varies_is_in_the_names_of_its_runs_and_a_column(tmp_path: Path) -> None:
    text = GOOD.replace("[footprint]", 'learning_rate = [1e-3, 1e-2]\nmodel = ["unet", "a.b:c"]\n[footprint]')
    study = read_study(write_study(tmp_path, text))
    assert other_axes(study) == ["learning_rate", "model"]
    assert study.runs[1].name == "filters-4-seed-0-learning-rate-0.001-model-b-c"
    assert other_axes(read_study(write_study(tmp_path, GOOD))) == []


def test_the_studies_of_the_repository() -> None:
    demo, lidc = read_study(STUDIES / "demo.toml"), read_study(STUDIES / "lidc.toml")
    assert demo.crops.phantom is not None
    assert len({run.options.filters for run in demo.runs}) >= 4
    assert len({run.options.seed for run in demo.runs}) >= 2
    assert [run.options.filters for run in lidc.runs][::5] == [4, 8, 16, 24, 32, 48, 64]
    assert len(lidc.runs) == 35


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 2", "epoch = 2", r"tiny\.toml: unknown option 'epoch'; did you mean 'epochs'\?"),
        ("epochs = 2", "epochs = 0", r"'epochs' is 0: input should be greater than 0"),
        ("epochs = 2", 'readers = "most"', "readers = 'most': expected 'at least K'"),
        ("[options]", "[optoins]", r"unknown option 'optoins'; did you mean 'options'\?"),
        ("[4, 8]", "[4, 8.5]", r"'filters' is 8\.5: input should be a valid integer"),
        ("[4, 8]", "[4, 4]", r"axis 'filters' is \[4, 4\]; expected one or more values, each once"),
        ("filters = [4, 8]", "", r"\[axes\] needs 'filters'"),
        ("filters =", "filter =", r"unknown axis 'filter' in \[axes\]; did you mean 'filters'\?"),
        ("epochs = 2", "filters = 4", r"'filters' is in \[axes\] and in \[options\]; keep one"),
        ('archive = "data/discs"', "", r"\[crops\] needs either 'archive'"),
        ('archive = "data/discs"', 'archive = "a"\nphantom = {patients = 3}', r"either 'archive' .* not both"),
        ('name = "tiny"', 'name = "../tiny"', r"'study\.name' is '\.\./tiny'"),
        ('name = "tiny"', "", r"'study\.name' is missing"),
        ('"DK"', '"XX"', "XX"),
        ('"DK"', '"DK"\npue = 0.5', r"'footprint\.pue' is 0\.5"),
        ("seed = [0, 1]", "seed = [0, 1", r"not valid TOML: .*line"),
        ("seed = [0, 1]", 'seed = [0]\nmodel = ["a.b:c", "d.b:c"]', "two runs would be called .*-seed-0-model-b-c'"),
        ("epochs = 2", "[options.filters.16]\nepochs = 3", r"filters\.16\]: no such width in \[axes\]; .* 4, 8"),
        ("epochs = 2", "[options.filters.8]\nepoch = 3", r"filters\.8\]: unknown option 'epoch'; did you mean"),
        ("epochs = 2", "[options.filters.8]\nseed = 3", r"filters\.8\]: 'seed' is in \[axes\], too; keep one"),
        ("epochs = 2", "[options.filters]\n8 = 3", r"\[options\.filters\.8\]: 3; expected a table of options"),
    ],
)
def test_bad_study_files_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        read_study(write_study(tmp_path, GOOD.replace(old, new)))


def test_the_list_of_a_study_shows_options_of_one_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, GOOD + "learning_rate = 1e-3\n[options.filters.8]\nlearning_rate = 3e-4\n")
    assert [run.options.learning_rate for run in read_study(path).runs] == [1e-3, 1e-3, 3e-4, 3e-4]
    assert main(["study", "list", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "epochs 2" in shown.splitlines()[0]
    assert "learning_rate" in shown.splitlines()[1]
    assert any(line.split()[0] == "filters-8-seed-1" and "0.0003" in line for line in shown.splitlines())
    assert main(["study", "list", "--names", str(path)]) == 0
    assert capsys.readouterr().out.split() == [run.name for run in read_study(path).runs]
