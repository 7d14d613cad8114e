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
    assert {file.id for file in crate.data_entities} == names == {*whole.files, "study.toml", "CITATION.cff"}
    assert all(len(file["sha256"]) == 64 and int(file["contentSize"]) > 0 for file in crate.data_entities)
    assert crate.license == "https://spdx.org/licenses/CC-BY-4.0"
    assert crate.isBasedOn["identifier"] == whole.manifest["crops"]["fingerprint"]


def test_packed_from_the_command_line_with_what_lies_near(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, out = make_study(tmp_path), tmp_path / "tiny.zip"
    collected(study)
    assert main(["results", "pack", str(study.path), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "6 runs" in shown
    assert "No authors and no licence" in shown
    (tmp_path / "CITATION.cff").write_text(CITATION)
    assert main(["results", "pack", str(study.results), "--out", str(out), "--weights"]) == 2
    assert "weights.safetensors: no such file" in capsys.readouterr().err
    for run in study.runs:
        (study.directory / run.name / "weights.safetensors").write_bytes(run.name.encode())
    assert main(["results", "pack", str(study.results), "--out", str(out), "--weights"]) == 0
    assert "No " not in capsys.readouterr().out
    with zipfile.ZipFile(out) as packed:
        assert {"study.toml", "CITATION.cff"} < set(packed.namelist())
        assert all(packed.read(f"{run.name}.safetensors") == run.name.encode() for run in study.runs)
    assert main(["results", "verify", str(out)]) == 0
    out.write_bytes(out.read_bytes()[:500])
    assert main(["results", "verify", str(out)]) == 2
    assert "tiny.zip: cannot be read, or is damaged" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_told(
    made_up: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collected(made_up)
    (tmp_path / "file").touch()
    assert main(["results", "pack", str(made_up.path), "--out", str(tmp_path / "file" / "out.zip")]) == 2
    assert "Nothing done is lost; see to the place" in capsys.readouterr().err


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
