"""A packed file: equal for equal results, telling nothing of the machine, and found out when it was changed."""

import getpass
import io
import json
import socket
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.sharing import archive
from carbon_midl.sharing.crate import CRATE, Citation, find_citation, read_citation
from carbon_midl.sharing.pack import pack
from carbon_midl.sharing.privacy import refuse_local, without_paths
from carbon_midl.sharing.stored import RESULTS_FILES, StoredResults, read_stored
from carbon_midl.study.spec import Study
from tests.sharing.made_up import collected, make_study

ROOT = Path(__file__).parents[2]
CITATION = Citation(({"given-names": "Ada", "family-names": "Lovelace"}, {"name": "The authors"}), "CC-BY-4.0")


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def rezipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_equal_results_make_equal_files(
    whole: StoredResults, directory: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = read_stored(directory)  # another place, other times of the files
    first = pack(whole, study.path, CITATION)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert pack(elsewhere, study.path, CITATION) == first
    assert set(unpacked(first)) == {"pack.json", CRATE, "study.toml", *RESULTS_FILES}


def test_what_was_packed_is_what_is_read(whole: StoredResults, tmp_path: Path) -> None:
    (tmp_path / "tiny.zip").write_bytes(pack(whole))
    assert read_stored(tmp_path / "tiny.zip").files == whole.files


def test_local_paths_of_a_study_file_are_shortened(whole: StoredResults, study: Study, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(study.path.read_text().replace("data/discs", "/home/ada/scans/discs"))
    packed = unpacked(pack(whole, path))
    assert b'archive = "discs"' in packed["study.toml"]
    assert not any(b"ada" in content for content in packed.values())


def test_the_file_of_another_study_is_refused(whole: StoredResults) -> None:
    with pytest.raises(InputError, match=r"demo\.toml: is the study 'demo'|does not plan"):
        pack(whole, ROOT / "studies" / "demo.toml")


@pytest.mark.parametrize(
    "text",
    [
        "read from /home/ada/scans",
        "~/scans/lidc",
        r"C:\Users\ada\scans",
        "made on Workstation-7.lab",
        "https://ada:lovelace@example.org/data",
        "token = 0123456789abcdef",
        "ghp_0123456789abcdef",
    ],
)
def test_what_tells_of_a_machine_or_opens_a_door_is_refused(
    whole: StoredResults, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "workstation-7.lab")
    manifest = whole.manifest | {"footprint_notes": [text]}
    files = whole.files | {"manifest.json": json.dumps(manifest).encode()}
    with pytest.raises(InputError, match=r"manifest\.json, footprint_notes: "):
        pack(StoredResults.of_files("results", files))


def test_the_name_of_the_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "lovelace")
    refuse_local("text", "Lovelaces of this world, and a lovelaced one")
    with pytest.raises(InputError, match="'Lovelace' names this machine, its user"):
        refuse_local("text", {"title": "The study of Lovelace"})


@pytest.mark.parametrize(
    "text",
    [
        "estimated: TDP × utilisation; estimated: W per GB",
        "445 g/kWh of https://www.iea.org/reports/electricity-2025, and/or kWh/h",
        "CC BY 3.0; doi:10.7937/K9/TCIA.2015.LO9QL9SX",
        "read from /sys/class/powercap",
        "data/phantom/seed-0",
    ],
)
def test_what_every_machine_could_say_is_not_refused(text: str) -> None:
    refuse_local("text", text)
    assert without_paths(text) == text


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=2, max_size=5))
def test_any_absolute_path_is_refused_and_shortened(names: list[str]) -> None:
    path = "/srv/" + "/".join(names)
    with pytest.raises(InputError, match="a place on it"):
        refuse_local("text", f"crops of {path}")
    assert without_paths(f'archive = "{path}"') == f'archive = "{names[-1]}"'


def test_every_changed_byte_is_found(whole: StoredResults, tmp_path: Path) -> None:
    content = pack(whole)
    path = tmp_path / "tiny.zip"

    @given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
    def changed(where: float, change: int) -> None:
        other = bytearray(content)
        other[int(where * len(content))] ^= change
        path.write_bytes(other)
        try:
            found = read_stored(path).files
        except InputError:
            return
        # A zip says some things twice, or says what nobody reads.
        assert found == whole.files

    changed()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_a_truncated_file_is_refused(whole: StoredResults, tmp_path: Path, kept: float) -> None:
    content = pack(whole)
    path = tmp_path / "tiny.zip"
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(InputError, match="not a readable zip file, or damaged"):
        read_stored(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"runs.csv": b"run\n"}, r"runs\.csv is not what was packed: SHA-256 found \w{64}, expected \w{64}"),
        ({"runs.csv": None}, r"runs\.csv is missing, which pack\.json names"),
        ({"more.csv": b""}, r"holds more\.csv, which pack\.json does not name"),
        ({"../runs.csv": b""}, "a packed file has no directories in it"),
        ({"pack.json": b"{}"}, r"no pack\.json that can be read"),
        ({"pack.json": None}, r"no pack\.json that can be read"),
        ({str(number): b"" for number in range(1100)}, "1024 at most"),
    ],
)
def test_what_was_not_packed_so_is_refused(
    whole: StoredResults, tmp_path: Path, changes: dict[str, bytes | None], says: str
) -> None:
    files = {name: content for name, content in (unpacked(pack(whole)) | changes).items() if content is not None}
    (tmp_path / "tiny.zip").write_bytes(rezipped(files))
    with pytest.raises(InputError, match=says):
        read_stored(tmp_path / "tiny.zip")


def test_a_newer_packed_file_is_refused(whole: StoredResults, tmp_path: Path) -> None:
    files = unpacked(pack(whole))
    files["pack.json"] = files["pack.json"].replace(b'"version": 1', b'"version": 2')
    (tmp_path / "tiny.zip").write_bytes(rezipped(files))
    with pytest.raises(InputError, match=r"version 2; this carbon-midl reads .* version 1\. Update"):
        read_stored(tmp_path / "tiny.zip")


def test_a_file_that_grows_without_end_is_read_to_a_bound(
    whole: StoredResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 100_000)
    (tmp_path / "tiny.zip").write_bytes(rezipped(unpacked(pack(whole)) | {"zeros": bytes(1_000_000)}))
    with pytest.raises(InputError, match="more than 100,000 bytes when unpacked"):
        read_stored(tmp_path / "tiny.zip")


def crate_of(content: bytes) -> dict[str, Any]:
    graph = json.loads(unpacked(content)[CRATE])["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def test_the_crate_follows_the_rules_of_ro_crate_1_1(whole: StoredResults, study: Study) -> None:
    content = pack(whole, study.path, CITATION)
    entities = crate_of(content)
    assert json.loads(unpacked(content)[CRATE])["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    descriptor, root = entities[CRATE], entities["./"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert {"name", "description", "datePublished", "license", "author"} <= root.keys()
    assert {part["@id"] for part in root["hasPart"]} == unpacked(content).keys() - {CRATE}
    assert all(entity.get("@type") and entity.get("name") for name, entity in entities.items() if name != CRATE)
    for value in _references(list(entities.values())):
        assert value in entities or value.startswith(("http://schema.org/", "https://w3id.org/"))


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if isinstance(value, dict):
        own = [value["@id"]] if value.keys() == {"@id"} else []
        return own + [found for item in value.values() for found in _references(item)]
    return []


def test_the_crate_describes_every_file_and_run(whole: StoredResults, study: Study) -> None:
    content = pack(whole, study.path, CITATION)
    entities, files = crate_of(content), unpacked(content)
    for name in files.keys() - {CRATE, "pack.json"}:
        assert entities[name]["contentSize"] == str(len(files[name]))
        assert len(entities[name]["sha256"]) == 64
    assert {f"#run-{name}" for name in whole.names} <= entities.keys()
    assert [entities[author["@id"]]["name"] for author in entities["./"]["author"]] == ["Ada Lovelace", "The authors"]


def test_packed_from_the_command_line(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collected(study)
    out = tmp_path / "tiny.zip"
    command = ["results", "pack", str(study.path), "--out", str(out)]
    assert main([*command, "--ro-crate", "--citation", str(ROOT / "CITATION.cff")]) == 0
    assert "6 runs" in capsys.readouterr().out
    assert {"study.toml", CRATE} <= set(unpacked(out.read_bytes()))
    assert main(["results", "verify", str(out)]) == 0
    assert main(command) == 0
    assert CRATE not in unpacked(out.read_bytes())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--citation", "CITATION.cff"], "--citation: belongs to --ro-crate"),
        (["--ro-crate", "--citation", "nowhere.cff"], "nowhere.cff: cannot be read"),
        (["--study", "nowhere.toml"], "nowhere.toml: no such study file"),
    ],
)
def test_bad_arguments_are_told_and_nothing_is_written(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    collected(study)
    out = tmp_path / "tiny.zip"
    assert main(["results", "pack", str(study.path), "--out", str(out), *more]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_told(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["results", "pack", str(directory), "--out", str(tmp_path / "file" / "out.zip")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    "content", ["", "authors: [", "license: MIT", "authors:\n  - name: Ada", "authors: [{}]\nlicense: MIT"]
)
def test_a_citation_without_authors_or_licence_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "CITATION.cff").write_text(content)
    with pytest.raises(InputError, match=r"CITATION\.cff: (expected 'authors'|cannot be read)"):
        read_citation(tmp_path / "CITATION.cff")


def test_the_nearest_citation_is_taken(tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "CITATION.cff").write_text("authors:\n  - name: Ada\nlicense: MIT")
    assert read_citation(find_citation(tmp_path / "runs" / "tiny")) == Citation(({"name": "Ada"},), "MIT")


def test_results_that_disagree_are_not_packed(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (directory / "epochs.csv").open("a") as file:
        file.write("\n")
    assert main(["results", "pack", str(directory), "--out", str(tmp_path / "out.zip")]) == 2
    assert "epochs.csv, SHA-256: found" in capsys.readouterr().err


def test_runs_from_code_that_is_in_no_commit_are_not_handed_on(tmp_path: Path) -> None:
    results = collected(make_study(tmp_path))
    runs = results.runs.copy()
    runs.loc[1, "commit"] = "0123456789ab-dirty"
    with pytest.raises(InputError, match=rf"1 runs, first {runs['run'][1]}, .* changes that are in no commit"):
        pack(replace(results, runs=runs))


def test_weights_are_taken_along(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    stored, out = collected(study), tmp_path / "tiny.zip"
    command = ["results", "pack", str(study.path), "--out", str(out), "--weights"]
    assert main(command) == 2  # not where the runs were made
    for run in study.runs:
        (study.directory / run.name / "weights.safetensors").write_bytes(run.name.encode())
    assert main(command) == 0
    with zipfile.ZipFile(out) as packed:
        assert {name: packed.read(f"{name}.safetensors") for name in stored.names} == {
            name: name.encode() for name in stored.names
        }
    assert read_stored(out).files == stored.files
