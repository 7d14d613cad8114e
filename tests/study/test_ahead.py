"""The next run starts while one trains, and the meter still counts one at a time."""

import itertools
import os
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint.turn import turn
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.run import read_result
from carbon_midl.study import devices
from carbon_midl.study.devices import Slot, slots
from carbon_midl.study.display import Display
from carbon_midl.study.runner import run_study
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml
from tests.study.test_runner import ROOT, TEXT, make_root

# What every program of the study takes for NVML: a GPU of 100 W that all share.
PYNVML = """
import sys, time
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml
sys.modules[__name__] = SimulatedNvml(time.time, SimulatedGpu("GPU-aaaa"))
"""


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU that NVML meters, and a processor that nothing does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", SimulatedNvml(FakeClock(), SimulatedGpu("GPU-aaaa")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_cpu_is_measured", lambda: False)


@pytest.mark.usefixtures("simulated")
def test_a_second_place_on_each_gpu() -> None:
    places = slots(ahead=True)
    assert len(places) == 2
    assert all(place.metered_alone for place in places)


@pytest.mark.usefixtures("simulated")
def test_it_is_refused_where_the_start_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cpu is no GPU that NVML meters"):
        slots(["cpu"], ahead=True)
    monkeypatch.setattr(devices, "_meter_is_shared", lambda name: True)
    with pytest.raises(InputError, match="--share-meter does not"):
        slots(share_meter=True, ahead=True)
    monkeypatch.setattr(devices, "_cpu_is_measured", lambda: True)
    with pytest.raises(InputError, match="the start of the next run would count"):
        slots(ahead=True)


def test_turns_on_one_board_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    order: list[str] = []

    def second() -> None:
        with turn(["GPU-b", "GPU-a"], lambda: order.append("waits")):
            order.append("second")

    with turn(["GPU-a", "GPU-b"]):
        with turn(["GPU-c"], lambda: order.append("waits for another board")):
            pass
        beside = threading.Thread(target=second)
        beside.start()
        while not order:
            beside.join(0.01)
        order.append("first")
    beside.join()
    assert order == ["waits", "first", "second"]


@pytest.mark.slow
def test_trainings_do_not_overlap_though_their_notebooks_do(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", discs, TEXT.replace("seed = [0]", "seed = [0, 1]"))
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "pynvml.py").write_text(PYNVML)
    path = os.pathsep.join([str(tmp_path / "fakes"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    place = Slot("", {"PYTHONPATH": path, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0"})
    run_study(study, Display(), [place, place])
    spans = []
    for planned in study.runs:
        windows = {
            window["name"]: window for window in read_result(study.directory / planned.name)["footprint"]["windows"]
        }
        # From the idle power that is read before to the end of the test: nobody else's may be in there.
        begins, ends = windows["idle"], windows["test"]
        last = datetime.fromisoformat(ends["started"]) + timedelta(seconds=ends["duration_s"])
        spans.append((datetime.fromisoformat(begins["started"]), last))
        assert windows["training"]["components"][1]["method"] == "measured: NVML energy counter"
    spans.sort()
    # Starts are written in whole seconds.
    assert all(before <= after + timedelta(seconds=1) for (_, before), (after, _) in itertools.pairwise(spans))
    waited = [
        (study.directory / run.name / "notebook.ipynb").read_text().count("Waiting for another") for run in study.runs
    ]
    assert sum(waited) >= 1
