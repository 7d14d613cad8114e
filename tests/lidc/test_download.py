"""Downloads with the real s5cmd from a local S3 server, over lines and servers with faults."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.lidc import download as module
from carbon_midl.lidc import idc, s5cmd
from carbon_midl.lidc.annotations import read_scans
from carbon_midl.lidc.download import PARTIAL, download, is_complete, plan, series_directory
from carbon_midl.lidc.idc import Series
from tests.lidc.pylidc_repair import import_pylidc
from tests.lidc.s3_server import BUCKET, BreakingLine, S3Server, serve_s3


class Stored:
    """Three series of two patients on the server, of small files, with the index's view of them."""

    def __init__(self, s3: S3Server) -> None:
        self.s3 = s3
        self.content: dict[str, dict[str, bytes]] = {}
        self.put_slices_of(3000)

    def put_slices_of(self, slice_bytes: int) -> None:
        self.series = [
            self._put("LIDC-IDRI-0001", "1.10", "1.11", 4, slice_bytes),
            self._put("LIDC-IDRI-0003", "1.30", "1.31", 3, slice_bytes),
            self._put("LIDC-IDRI-0003", "1.40", "1.41", 2, slice_bytes),
        ]

    def _put(self, patient: str, study: str, uid: str, slices: int, slice_bytes: int) -> Series:
        files = {f"{uid}-{k}.dcm": os.urandom(slice_bytes + k) for k in range(slices)}
        for name, content in files.items():
            self.s3.put(f"uuid-{uid}/{name}", content)
        self.content[uid] = files
        size_bytes = sum(map(len, files.values()))
        url = f"s3://{BUCKET}/uuid-{uid}/*"
        return Series(patient, study, uid, slices, size_bytes, url, "CC BY 3.0", "10.1/x", outlined=True)

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.series)

    def key(self, number: int, slice_number: int) -> str:
        uid = self.series[number].series_uid
        return f"uuid-{uid}/{uid}-{slice_number}.dcm"

    def is_whole(self, out: Path, series: Series) -> bool:
        """Whether the series lies below `out`, with the server's bytes and nothing else."""
        directory = series_directory(out, series)
        if not directory.exists():
            return False
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == self.content[series.series_uid]
        return True

    def whole(self, out: Path) -> list[bool]:
        return [self.is_whole(out, one) for one in self.series]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with serve_s3() as s3:
        yield s3


@pytest.fixture
def stored(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setenv("S3_ENDPOINT_URL", server.url)
    server.gone.clear()
    stored = Stored(server)
    server.requests.clear()
    return stored


@pytest.fixture
def line(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingLine]:
    """A line to the server, on which each object takes many packets."""
    stored.put_slices_of(200_000)
    line = BreakingLine(stored.s3.port)
    monkeypatch.setenv("S3_ENDPOINT_URL", line.url)
    yield line
    line.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are not slept through."""
    slept: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=slept.append))
    return slept


def fetch(out: Path, series: list[Series], retries: int = 0) -> int:
    """Download and return how many bytes arrived."""
    arrived: list[int] = []
    download(plan(out, series), arrived.append, retries)
    return sum(arrived)


def left_in_progress(out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in out.rglob("*.dcm[0-9]*")]


@pytest.mark.parametrize("name", ["ct", "CT of 'LIDC' [a] * ü/deep"])
def test_series_arrive_whole_in_the_layout(stored: Stored, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    planned = plan(out, stored.series)
    assert planned.missing_bytes == stored.size_bytes
    assert not out.exists(), "a plan changes nothing"
    assert fetch(out, stored.series) == stored.size_bytes
    assert stored.whole(out) == [True, True, True]
    assert (out / "LIDC-IDRI-0003" / "1.40" / "1.41" / "1.41-1.dcm").is_file()
    assert not (out / PARTIAL).exists()


def test_a_second_download_asks_the_server_nothing(stored: Stored, tmp_path: Path) -> None:
    fetch(tmp_path, stored.series)
    assert len(stored.s3.fetched()) == 9
    stored.s3.requests.clear()
    again = plan(tmp_path, stored.series)
    assert (len(again.complete), again.to_fetch, again.missing_bytes) == (3, (), 0)
    assert fetch(tmp_path, stored.series) == 0
    assert stored.s3.requests == []


def test_more_series_than_a_batch(stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 1)
    assert fetch(tmp_path, stored.series) == stored.size_bytes
    assert stored.whole(tmp_path) == [True, True, True]


@settings(max_examples=15)
@given(
    states=st.lists(st.sampled_from(["missing", "cut", "whole"]), min_size=9, max_size=9),
    named=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_any_remains_are_completed_with_only_what_is_missing(
    server: S3Server, states: list[str], named: list[bool]
) -> None:
    """Whatever part of the slices lies there, under the final name or the partial one, only the rest is fetched."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("S3_ENDPOINT_URL", server.url)
        out = Path(folder)
        stored = Stored(server)
        missing, state = [], iter(states)
        for one, is_named in zip(stored.series, named, strict=True):
            directory = series_directory(out, one) if is_named else out / PARTIAL / one.series_uid
            directory.mkdir(parents=True)
            for name, content in stored.content[one.series_uid].items():
                found = next(state)
                if found != "whole":
                    missing.append(f"uuid-{one.series_uid}/{name}")
                if found != "missing":
                    (directory / name).write_bytes(content if found == "whole" else content[:1000])
        server.requests.clear()
        fetch(out, stored.series)
        assert server.fetched() == sorted(missing)
        assert stored.whole(out) == [True, True, True]
        assert not (out / PARTIAL).exists()


def test_other_files_beside_the_slices_are_kept(stored: Stored, tmp_path: Path) -> None:
    """TCIA's downloads have the readers' XML beside the slices; an incomplete one is completed with it."""
    one = stored.series[0]
    directory = series_directory(tmp_path, one)
    directory.mkdir(parents=True)
    (directory / "069.xml").write_text("<readings/>")
    fetch(tmp_path, [one])
    assert is_complete(tmp_path, one)
    assert (directory / "069.xml").read_text() == "<readings/>"


def test_remains_of_a_killed_s5cmd_are_removed(stored: Stored, tmp_path: Path) -> None:
    partial = tmp_path / PARTIAL / "1.11"
    partial.mkdir(parents=True)
    (partial / "1.11-0.dcm123456").write_bytes(b"half")
    fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [True, True, True]


def test_a_broken_line_is_resumed(stored: Stored, line: BreakingLine, tmp_path: Path) -> None:
    line.allowance, line.breaks_left = 100_000, 3
    with pytest.raises(InputError, match="series are incomplete"):
        fetch(tmp_path, stored.series)
    whole = stored.whole(tmp_path)
    assert not all(whole)
    assert left_in_progress(tmp_path) == []
    there = sum(1 for _ in tmp_path.rglob("*.dcm"))
    line.allowance = None
    stored.s3.requests.clear()
    fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [True, True, True]
    assert len(stored.s3.fetched()) == 9 - there, "what had arrived was not fetched again"


def test_a_line_that_works_again_in_the_third_pause(
    stored: Stored, line: BreakingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.allowance = 100_000
    pauses: list[float] = []

    def pause(duration_s: float) -> None:
        pauses.append(duration_s)
        if len(pauses) == 3:
            line.allowance = None

    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=pause))
    assert fetch(tmp_path, stored.series, retries=5) == stored.size_bytes
    assert stored.whole(tmp_path) == [True, True, True]
    assert pauses == [1.0, 2.0, 4.0]


def test_a_line_that_always_breaks_is_reported_and_nothing_passes_as_complete(
    stored: Stored, line: BreakingLine, tmp_path: Path, pauses: list[float]
) -> None:
    line.allowance = 100_000
    with pytest.raises(InputError) as error:
        fetch(tmp_path, stored.series, retries=2)
    text = str(error.value)
    assert "3 of 3 series are incomplete" in text
    for one in stored.series:
        assert f"{one.patient_id}, series {one.series_uid}: 0 of {one.slices} slices; s3://" in text
    assert "Run the same command again" in text
    assert stored.whole(tmp_path) == [False, False, False]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    assert list(tmp_path.rglob("*.dcm*")) == []
    assert pauses == [1.0, 2.0]


def test_without_a_server_the_rest_is_not_tried(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(module, "_BATCH", 1)
    with pytest.raises(InputError, match=r"connection refused(.|\n)*0003 to LIDC-IDRI-0003, 2 series: not tried"):
        fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [False, False, False]


def test_a_line_that_carries_nothing_is_given_up(
    stored: Stored, line: BreakingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s5cmd, "_SILENCE_S", 0.5)
    line.is_silent = True
    with pytest.raises(InputError, match=r"0 of 4 slices; s5cmd: nothing arrived for 0\.5 s"):
        fetch(tmp_path, stored.series)
    assert [child for child in psutil.Process().children() if "s5cmd" in child.name()] == []
    line.is_silent = False
    fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [True, True, True]


def test_an_object_that_the_server_lists_but_does_not_have_is_named(
    stored: Stored, tmp_path: Path, pauses: list[float]
) -> None:
    stored.s3.gone.add(stored.key(1, 2))
    with pytest.raises(InputError) as error:
        fetch(tmp_path, stored.series, retries=2)
    text = str(error.value)
    assert "1 of 3 series are incomplete" in text
    assert "LIDC-IDRI-0003, series 1.31: 2 of 3 slices; s3://idc-open-data/uuid-1.31/1.31-2.dcm: NoSuchKey" in text
    assert stored.whole(tmp_path) == [True, False, True], "the others arrive"
    assert pauses == [], "asking again is no use"
    stored.s3.gone.clear()
    stored.s3.requests.clear()
    fetch(tmp_path, stored.series)
    assert stored.s3.fetched() == [stored.key(1, 2)]
    assert stored.whole(tmp_path) == [True, True, True]


def test_a_slice_that_the_server_does_not_list_is_missed(stored: Stored, tmp_path: Path) -> None:
    stored.s3.delete(stored.key(0, 3))
    with pytest.raises(InputError, match=r"series 1\.11: 3 of 4 slices; the server lists no more"):
        fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [False, True, True]


def test_a_series_that_the_server_does_not_have_is_named(stored: Stored, tmp_path: Path) -> None:
    for number in range(4):
        stored.s3.delete(stored.key(0, number))
    with pytest.raises(InputError, match=r"series 1\.11: 0 of 4 slices; .*no object found"):
        fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [False, True, True]


def test_more_slices_than_the_index_knows_are_not_taken(stored: Stored, tmp_path: Path) -> None:
    stored.s3.put("uuid-1.11/extra.dcm", b"later release")
    with pytest.raises(InputError, match=r"series 1\.11: 5 slices, but the index says 4\..*out of date"):
        fetch(tmp_path, stored.series)
    assert [is_complete(tmp_path, one) for one in stored.series] == [False, True, True]
    stored.s3.delete("uuid-1.11/extra.dcm")


def test_slices_of_another_size_are_not_taken(stored: Stored, tmp_path: Path) -> None:
    stored.s3.put(stored.key(0, 1), b"much shorter")
    with pytest.raises(InputError, match=r"series 1\.11: 4 of 4 slices but 9,017 of 12,006 bytes"):
        fetch(tmp_path, stored.series)
    assert [is_complete(tmp_path, one) for one in stored.series] == [False, True, True]


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(total=10**12, used=10**12, free=stored.size_bytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    out = tmp_path / "ct"
    with pytest.raises(InputError, match=r"GB free on this disk.*fewer patients"):
        fetch(out, stored.series)
    assert stored.s3.requests == []
    assert not out.exists()


def test_disk_space_counts_only_what_is_missing(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(tmp_path, stored.series[:2])
    free = SimpleNamespace(total=10**12, used=10**12, free=round(stored.series[2].size_bytes * 1.02))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert fetch(tmp_path, stored.series) == stored.series[2].size_bytes


def test_out_that_is_a_file_is_refused(stored: Stored, tmp_path: Path) -> None:
    (tmp_path / "ct").write_text("")
    with pytest.raises(InputError, match="not a directory"):
        plan(tmp_path / "ct", stored.series)


def test_a_second_process_is_kept_off(stored: Stored, tmp_path: Path) -> None:
    with (tmp_path / ".download.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is downloading"):
            fetch(tmp_path, stored.series)
    assert stored.s3.requests == []
    fetch(tmp_path, stored.series)


def test_interrupted_it_stops_s5cmd_and_goes_on_later(stored: Stored, line: BreakingLine, tmp_path: Path) -> None:
    line.pause_s = 0.03  # 200 kB take more than a second
    fetch(tmp_path, stored.series[:1])
    planned = plan(tmp_path, stored.series)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(planned, interrupt)
    assert [child for child in psutil.Process().children() if "s5cmd" in child.name()] == []
    assert left_in_progress(tmp_path) == []
    there = sum(1 for _ in tmp_path.rglob("*.dcm"))
    assert 5 <= there < 9
    line.pause_s = 0.0
    stored.s3.requests.clear()
    fetch(tmp_path, stored.series)
    assert stored.whole(tmp_path) == [True, True, True]
    assert len(stored.s3.fetched()) == 9 - there


def test_interrupted_when_a_series_is_whole_it_has_its_name(stored: Stored, tmp_path: Path) -> None:
    arrived = 0

    def interrupt(size_bytes: int) -> None:
        nonlocal arrived
        arrived += size_bytes
        if arrived == stored.series[2].size_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(plan(tmp_path, stored.series[2:]), interrupt)
    assert stored.is_whole(tmp_path, stored.series[2])


def test_terminated_from_outside_it_ends_with_s5cmd(stored: Stored, line: BreakingLine, tmp_path: Path) -> None:
    """As a scheduler does it: the whole command in a process of its own, told to end in the middle."""
    line.pause_s = 0.5  # seconds for each slice, so that a busy machine does not miss the middle
    code = f"""
import sys
from carbon_midl.lidc import idc
from carbon_midl.lidc.idc import Series
idc.read_index = lambda: {stored.series!r}
from carbon_midl.cli import main
sys.exit(main(["lidc", "download", {str(tmp_path / "ct")!r}, "--all", "--yes"]))
"""
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not left_in_progress(tmp_path) and command.poll() is None:
            time.sleep(0.02)
        started = psutil.Process(command.pid).children(recursive=True)
        names = [child.name() for child in started]
        command.terminate()
        assert command.communicate(timeout=60)[1].count(b"the same command goes on from there") == 1
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 130
    assert names == ["s5cmd"]
    assert psutil.wait_procs(started, timeout=20)[1] == []
    assert left_in_progress(tmp_path) == []
    assert list((tmp_path / "ct").glob("LIDC-IDRI-*")) == []
    line.pause_s = 0.0
    fetch(tmp_path / "ct", stored.series)
    assert stored.whole(tmp_path / "ct") == [True, True, True]


def test_an_s5cmd_that_cannot_run_is_reported(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    broken = tmp_path / "s5cmd"
    broken.write_text("#!/bin/sh\necho flag provided but not defined >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(s5cmd, "program", lambda: broken)
    with pytest.raises(InputError, match="flag provided but not defined"):
        fetch(tmp_path / "ct", stored.series)
    broken.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(InputError, match="ended with exit code 3"):
        fetch(tmp_path / "ct", stored.series)


def test_pylidc_finds_the_slices(stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pylidc = import_pylidc()
    scan = read_scans(["LIDC-IDRI-0001"])[0]
    fetch(tmp_path / "ct", [replace(stored.series[0], study_uid=scan.study_uid, series_uid=scan.series_uid)])
    (tmp_path / ".pylidcrc").write_text(f"[dicom]\npath = {tmp_path / 'ct'}\nwarn = False\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = Path(pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan.id).one().get_path_to_dicom_files())
    assert {path.name for path in found.iterdir()} == stored.content["1.11"].keys()


@pytest.fixture
def indexed(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """The command line sees an index of what the server has."""
    monkeypatch.setattr(idc, "read_index", lambda: stored.series)
    return stored


def answer(monkeypatch: pytest.MonkeyPatch, text: str | None) -> list[str]:
    """Sit at a terminal and give this answer, or end the input; returns the questions."""
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        if text is None:
            raise EOFError
        return text

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", ask)
    return questions


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The command handles signals until its process ends; here the process goes on."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_without_a_terminal_it_shows_the_size_and_refuses(
    indexed: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    out = tmp_path / "ct"
    assert main(["lidc", "download", str(out), "--patients", "LIDC-IDRI-0003"]) == 2
    shown = capsys.readouterr()
    assert "2 CT series with 5 slices" in shown.out
    assert f"To download: carbon-midl lidc download {out} --patients LIDC-IDRI-0003 --yes" in shown.err
    assert not out.exists()
    assert indexed.s3.requests == []


@pytest.mark.parametrize("text", ["", "n", "no", "maybe", None])
def test_who_does_not_agree_gets_nothing(
    indexed: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
) -> None:
    questions = answer(monkeypatch, text)
    assert main(["lidc", "download", str(tmp_path / "ct"), "--number", "1"]) == 0
    assert len(questions) == 1
    assert re.search(r"Nothing was downloaded.*--number 1 --yes", capsys.readouterr().out)
    assert not (tmp_path / "ct").exists()
    assert indexed.s3.requests == []


@pytest.mark.parametrize("text", ["y", "Yes "])
def test_who_agrees_gets_the_scans(
    indexed: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    def ask(question: str) -> str:
        assert "size         0.000 GB" in capsys.readouterr().out, "the size is shown before the question"
        assert question.startswith("Download 0.000 GB to ")
        return text

    answer(monkeypatch, text)
    monkeypatch.setattr("builtins.input", ask)
    assert main(["lidc", "download", str(tmp_path / "ct"), "--all"]) == 0
    assert "3 series are complete" in capsys.readouterr().out
    assert indexed.whole(tmp_path / "ct") == [True, True, True]


def test_with_yes_nobody_is_asked_and_the_size_is_shown(
    indexed: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = answer(monkeypatch, "n")
    ids = tmp_path / "ids.txt"
    ids.write_text("LIDC-IDRI-0003\n")
    command = ["lidc", "download", str(tmp_path / "ct"), "--patients-from", str(ids), "--yes"]
    assert main(command) == 0
    assert questions == []
    assert "size         0.000 GB" in capsys.readouterr().out
    assert indexed.whole(tmp_path / "ct") == [False, True, True]
    indexed.s3.requests.clear()
    assert main(command) == 0
    assert "nothing to download" in capsys.readouterr().out
    assert indexed.s3.requests == []


def test_an_incomplete_series_is_an_error_of_the_command(
    indexed: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    indexed.s3.gone.add(indexed.key(0, 1))
    command = ["lidc", "download", str(tmp_path / "ct"), "--all", "--yes", "--retries", "0"]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert "LIDC-IDRI-0001, series 1.11: 3 of 4 slices" in shown.err
    assert "Run the same command again" in shown.err
    assert "are complete in" not in shown.out
    indexed.s3.gone.clear()
    assert main(command) == 0
    assert indexed.whole(tmp_path / "ct") == [True, True, True]


@pytest.mark.parametrize(
    ("which", "says"),
    [
        (["--patients-from", "nowhere.txt"], "nowhere.txt: not a readable text file"),
        (["--patients-from", os.devnull], "no identifiers"),
        (["--all", "--retries", "-1"], "--retries: -1, expected 0 or more"),
        (["--patients", "LIDC-IDRI-3"], "did you mean LIDC-IDRI-0003"),
    ],
)
@pytest.mark.usefixtures("indexed")
def test_options_that_cannot_be(
    which: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lidc", "download", str(tmp_path / "ct"), *which, "--yes"]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "ct").exists()


@pytest.mark.parametrize("which", [[], ["--all", "--number", "3"], ["--number", "0"]])
def test_exactly_one_choice_of_patients_is_needed(which: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lidc", "download", "ct", *which])
    assert ended.value.code == 2
