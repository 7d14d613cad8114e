"""Which series are chosen, how large they are, the question before a download, and what IDC's client is asked for."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import download as module
from carbon_midl.lidc.annotations import patients_with_nodules, read_scans, series_with_nodules
from carbon_midl.lidc.download import choose, download, incomplete, read_index

SLICE_MB = 0.01


def made_up(*series: tuple[int, int]) -> pd.DataFrame:
    """An index of series, each with the number of its patient and of its slices."""
    rows = [
        (f"LIDC-IDRI-{patient:04d}", "1.1", f"1.2.{row}", slices, slices * SLICE_MB, "CC BY 3.0", "10.1/x")
        for row, (patient, slices) in enumerate(series)
    ]
    return pd.DataFrame(rows, columns=module._COLUMNS)


SERIES = made_up((1, 4), (3, 3), (3, 2))


@pytest.mark.slow
def test_the_index_agrees_with_the_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = read_index()
    known = index.set_index("SeriesInstanceUID")
    assert known["PatientID"].to_dict() == series_with_nodules()
    assert (len(index), index["PatientID"].nunique()) == (883, 875)
    for scan in read_scans(["LIDC-IDRI-0001", "LIDC-IDRI-0132", "LIDC-IDRI-1011"]):
        found = known.loc[scan.series_uid]
        assert (found["StudyInstanceUID"], found["instanceCount"]) == (scan.study_uid, len(scan.slice_z_mm))
    assert choose(index).equals(index)
    chosen = choose(index, patients=["LIDC-IDRI-0132", "LIDC-IDRI-0001", "LIDC-IDRI-0132"])
    assert chosen["PatientID"].tolist() == ["LIDC-IDRI-0001", "LIDC-IDRI-0132", "LIDC-IDRI-0132"]
    assert choose(index, number=3).equals(choose(index, patients=patients_with_nodules()[:3]))
    assert main(["lidc", "download", str(tmp_path / "ct"), "--all", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in ("875\n", "883 CT series with", "CC BY 3.0", "10.7937/k9/tcia.2015.lo9ql9sx", "Armato", "With --yes"):
        assert words in shown
    assert not (tmp_path / "ct").exists()


def test_as_many_whole_patients_as_fit() -> None:
    index = made_up((1, 40_000), (3, 30_000), (3, 20_000), (4, 10_000))  # of 0.4, 0.5 and 0.1 GB
    for max_gb, patients in ((0.41, 1), (0.89, 1), (0.91, 2), (5.0, 3)):
        assert choose(index, max_gb=max_gb)["PatientID"].nunique() == patients
    for too_little in (0.39, 0.0, float("nan")):
        with pytest.raises(InputError, match=rf"max-gb: {too_little:g}, but the first patient alone takes 0\.400 GB"):
            choose(index, max_gb=too_little)


# Fetching, from a client that stands in for IDC's


class Client:
    """Writes the slices of an index, but for some that the server lacks."""

    def __init__(self, index: pd.DataFrame, lacking: dict[str, int]) -> None:
        self.index = index.set_index("SeriesInstanceUID")
        self.lacking = lacking
        self.asked: list[dict[str, Any]] = []

    def download_from_selection(self, **options: Any) -> None:
        self.asked.append(options)
        for uid in options["seriesInstanceUID"]:
            series = self.index.loc[uid]
            folder = Path(options["downloadDir"], series["PatientID"], series["StudyInstanceUID"], uid)
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(series["instanceCount"] - self.lacking.get(uid, 0)):
                (folder / f"{number}.dcm").write_bytes(bytes(round(SLICE_MB * 1e6)))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client that the library finds; the command line sees an index of what it has: two patients, three series."""
    client = Client(SERIES, {})
    package = ModuleType("idc_index")
    vars(package)["IDCClient"] = lambda: client
    monkeypatch.setitem(sys.modules, "idc_index", package)
    monkeypatch.setattr(module, "read_index", lambda: SERIES)
    return client


@pytest.mark.slow
def test_the_client_is_asked_for_what_is_missing_in_pylidcs_layout(client: Client, tmp_path: Path) -> None:
    download(tmp_path, SERIES[:1])
    assert (tmp_path / "LIDC-IDRI-0001/1.1/1.2.0/3.dcm").is_file()
    download(tmp_path, SERIES)
    assert client.asked[1] == {
        "downloadDir": str(tmp_path), "seriesInstanceUID": ["1.2.1", "1.2.2"], "use_s5cmd_sync": True,
        "dirTemplate": "%PatientID/%StudyInstanceUID/%SeriesInstanceUID", "show_progress_bar": sys.stderr.isatty(),
    }  # fmt: skip
    # The real client takes that; in a process of its own, for its import configures logging.
    code = (
        "import inspect; from idc_index import IDCClient\n"
        f"assert {set(client.asked[1])} <= set(inspect.signature(IDCClient.download_from_selection).parameters)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert incomplete(tmp_path, SERIES).empty
    (tmp_path / "LIDC-IDRI-0001/1.1/1.2.0/3.dcm").write_bytes(b"")
    assert incomplete(tmp_path, SERIES)["found"].tolist() == ["4 of 4 slices, 0.0 of 0.0 MB"], "one is empty"


def test_what_stays_incomplete_is_named_and_a_full_disk_noticed_before(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.lacking["1.2.1"] = 1
    with pytest.raises(InputError, match=r"1 of 3 series are incomplete(.|\n)*1\.2\.1: 2 of 3 slices(.|\n)*again"):
        download(tmp_path / "a", SERIES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8.9e6 * SLICE_MB))
    with pytest.raises(InputError, match=r"GB free on this disk.*fewer patients"):
        download(tmp_path / "b", SERIES)
    assert len(client.asked) == 1


@pytest.mark.parametrize("agrees", [True, False])
def test_only_who_agrees_gets_the_scans(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], agrees: bool
) -> None:
    def ask(question: str) -> bool:
        assert "size         0.000 GB" in capsys.readouterr().out, "the size is shown before the question"
        assert question == f"Download 0.000 GB to {tmp_path / 'ct'}?"
        return agrees

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("carbon_midl.cli.data.confirm", ask)
    assert main(["lidc", "download", str(tmp_path / "ct"), "--all"]) == 0
    assert ("3 series are complete" if agrees else "Nothing was downloaded") in capsys.readouterr().out
    assert bool(client.asked) == (tmp_path / "ct").exists() == agrees


def test_without_a_terminal_it_is_refused_but_for_yes(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    (tmp_path / "ids.txt").write_text("LIDC-IDRI-0003\n")
    command = ["lidc", "download", str(tmp_path / "ct"), "--patients", str(tmp_path / "ids.txt")]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert "2 CT series with 5 slices" in shown.out
    assert "no terminal to ask" in shown.err
    assert client.asked == []
    assert main([*command, "--yes"]) == main([*command, "--yes"]) == 0
    assert "nothing to download" in capsys.readouterr().out
    assert [options["seriesInstanceUID"] for options in client.asked] == [["1.2.1", "1.2.2"]]


@pytest.mark.slow
def test_an_unreadable_list_and_a_missing_idc_index_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lidc", "download", str(tmp_path / "ct"), "--patients", sys.executable]) == 2
    assert "not a readable text file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "idc_index_data", None)
    assert main(["lidc", "download", str(tmp_path / "ct"), "--all"]) == 2
    assert "pip install 'carbon-midl[lidc]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
