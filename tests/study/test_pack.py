"""A packed file has the results and describes itself as an RO-Crate."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.study.results import Results, read_results
from carbon_midl.study.share import pack
from carbon_midl.study.spec import Study
from tests.study.made_up import collected, make_study
from tests.study.tiny import ROOT

CITATION = """
authors:
  - given-names: Ada
    family-names: Lovelace
  - name: The authors
license: CC-BY-4.0
"""


def test_a_packed_file_has_the_results_and_describes_them(whole: Results, made_up: Study, tmp_path: Path) -> None:
    (tmp_path / "CITATION.cff").write_text(CITATION)
    out = tmp_path / "tiny.zip"
    pack(whole, out, made_up.path, tmp_path / "CITATION.cff")
    assert read_results(out).files == whole.files
    with zipfile.ZipFile(out) as packed:
        names = set(packed.namelist()) - {"ro-crate-metadata.json"}
        assert packed.read("study.toml") == made_up.path.read_bytes()
        context = json.loads(packed.read("ro-crate-metadata.json"))["@context"]
    assert context[0] == "https://w3id.org/ro/crate/1.1/context"
    crate = ROCrate(out)
    assert {file.id for file in crate.data_entities} == names == {*whole.files, "study.toml"}
    assert all(len(file["sha256"]) == 64 and int(file["contentSize"]) > 0 for file in crate.data_entities)
    assert [author["name"] for author in crate.root_dataset["author"]] == ["Ada Lovelace", "The authors"]
    assert crate.license.id == "https://spdx.org/licenses/CC-BY-4.0"
    assert crate.isBasedOn["identifier"] == whole.manifest["crops"]["fingerprint"]


def test_packed_from_the_command_line_with_what_lies_near(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, out = make_study(tmp_path), tmp_path / "tiny.zip"
    collected(study)
    assert main(["results", "pack", str(study.path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "6 runs" in shown
    assert "No authors and no licence" in shown
    (tmp_path / "CITATION.cff").write_text(CITATION)
    for run in study.runs:
        (study.directory / run.name / "weights.safetensors").write_bytes(run.name.encode())
    assert main(["results", "pack", str(study.results), "--out", str(out), "--weights"]) == 0
    assert "No " not in capsys.readouterr().out
    with zipfile.ZipFile(out) as packed:
        assert "study.toml" in packed.namelist()
        assert all(packed.read(f"{run.name}.safetensors") == run.name.encode() for run in study.runs)
    assert main(["results", "verify", str(out)]) == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--weights"], "weights.safetensors: no such file"),
        (["--out", "nowhere.toml/out.zip"], "Nothing done is lost; see to the place"),
    ],
)
def test_what_cannot_be_packed_is_told_and_nothing_is_written(
    made_up: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    more: list[str], says: str,
) -> None:  # fmt: skip
    collected(made_up)
    monkeypatch.chdir(tmp_path)
    Path("nowhere.toml").touch()
    assert main(["results", "pack", str(made_up.path), "--out", "tiny.zip", *more]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("content", ["", "authors: [", "license: MIT", "authors: [{}]\nlicense: MIT"])
def test_a_citation_without_authors_or_licence_is_refused(whole: Results, tmp_path: Path, content: str) -> None:
    (tmp_path / "CITATION.cff").write_text(content)
    with pytest.raises(InputError, match=r"CITATION\.cff: expected a file in .* 'license'"):
        pack(whole, tmp_path / "out.zip", citation=tmp_path / "CITATION.cff")


def test_results_that_disagree_or_nobody_could_make_again_are_not_packed(whole: Results, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"demo\.toml: does not plan the runs of 'tiny'"):
        pack(whole, tmp_path / "out.zip", ROOT / "studies" / "demo.toml")
    changed = whole.files | {"epochs.csv": whole.files["epochs.csv"] + b"\n"}
    with pytest.raises(InputError, match=r"there: 1 disagreement, first epochs\.csv, SHA-256: found"):
        pack(Results.of_files("there", changed), tmp_path / "out.zip")
    runs = whole.runs.copy()
    runs.loc[1, "commit"] = "0123456789ab-dirty"
    with pytest.raises(InputError, match=rf"1 runs, first {runs['run'][1]}, .* changes that are in no commit"):
        pack(replace(whole, runs=runs), tmp_path / "out.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_truncated_file_is_refused(whole: Results, tmp_path: Path, kept: int) -> None:
    pack(whole, tmp_path / "tiny.zip")
    (tmp_path / "tiny.zip").write_bytes((tmp_path / "tiny.zip").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"tiny\.zip: cannot be read, or is damaged"):
        read_results(tmp_path / "tiny.zip")
