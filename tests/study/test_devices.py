"""Where runs are made, and that each run's energy can be told apart."""

import itertools
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from carbon_midl.errors import InputError
from carbon_midl.files import locked
from carbon_midl.footprint import read_footprint
from carbon_midl.footprint.nvml import machine_lock
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.study import devices
from carbon_midl.study.devices import Slot, reserved, slots
from carbon_midl.study.runner import run_study
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml
from tests.study.tiny import ROOT, make_root, study_toml

# What every program of the study takes for NVML: a GPU of 100 W that all share.
PYNVML = """
import sys, time
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml
sys.modules[__name__] = SimulatedNvml(time.time, SimulatedGpu("GPU-aaaa"))
"""


@pytest.fixture(autouse=True)
def _locks_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs that NVML meters, and a processor that nothing does."""
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-aaaa"), SimulatedGpu("GPU-bbbb"))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(devices, "find_rapl", lambda cpu: SimpleNamespace(sensors=()))


@pytest.mark.usefixtures("gpus")
def test_two_runs_on_one_meter_are_refused_or_marked() -> None:
    with pytest.raises(InputError, match="2 runs at once on the default device, whose meter counts all of them"):
        slots(jobs=2)
    assert [place.metered_alone for place in slots(jobs=2, share_meter=True)] == [False, False]
    assert [place.metered_alone for place in slots(share_meter=True)] == [False]  # another command's run is beside it
    assert slots() == [Slot("", {}, True)]
    assert len(slots(["cpu"], jobs=3)) == 3


def test_runs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_meters", lambda environment: [])  # energy is estimated for each program
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [place.environment["OMP_NUM_THREADS"] for place in slots(jobs=4)] == ["2"] * 4
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # asked for; left alone
    assert all("OMP_NUM_THREADS" not in place.environment for place in slots(jobs=4))


@pytest.mark.parametrize("units", [True, False])
def test_the_number_format_is_the_processor_s(units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": units})
    told = "bf16, since the processor has units" if units else "fp32, since the processor has no units"
    assert devices.number_format("efficient") == f"{told} for bf16"
    assert devices.number_format("reference").startswith("fp32, ")


def test_a_gpu_is_what_a_run_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    places = slots(["cuda:0", "cuda:1"])
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["0", "1"]
    assert all(place.metered_alone for place in places)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")  # as a scheduler gives them
    assert slots(["cuda:1"])[0].environment["CUDA_VISIBLE_DEVICES"] == "6"
    assert slots(["cpu"])[0].environment["CUDA_VISIBLE_DEVICES"] == ""
    for wrong, message in (
        (["cuda:2"], "no cuda:2 on this machine; there is cuda:0, cuda:1, cpu"),
        (["gpu0"], "found 'gpu0'; expected cpu, or cuda:"),
        (["cuda:0", "cuda:0"], "cuda:0 is named 2 times; name it once"),
    ):
        with pytest.raises(InputError, match=message):
            slots(wrong)


@pytest.mark.usefixtures("gpus")
def test_another_runner_is_kept_from_a_metered_device_by_whatever_name(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pytest.raises(InputError, match=r"training on the default device, whose meter would count both")
    with locked(machine_lock("GPU-aaaa")):
        with reserved(slots(share_meter=True)):
            pass
        # As jobs of a cluster, each of which calls its GPU by one name.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with reserved(slots()):
            pass
        with refused, reserved([Slot("", {"CUDA_VISIBLE_DEVICES": "0"})]):
            pass


@pytest.mark.usefixtures("gpus")
def test_ahead_is_a_second_place_and_refused_where_it_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert slots(ahead=True) == [Slot("", {}, True)] * 2
    with pytest.raises(InputError, match="--share-meter does not"):
        slots(share_meter=True, ahead=True)
    with pytest.raises(InputError, match="--ahead: wants GPUs that NVML meters"):
        slots(["cpu"], ahead=True)
    monkeypatch.setattr(devices, "find_rapl", lambda cpu: SimpleNamespace(sensors=("RAPL",)))
    with pytest.raises(InputError, match=r"--ahead: wants .* a processor that RAPL does not measure"):
        slots(ahead=True)


@pytest.mark.slow
@pytest.mark.xdist_group("study")
def test_trainings_do_not_overlap_though_their_notebooks_do(discs: CropArchive, tmp_path: Path) -> None:
    study = make_root(tmp_path / "root", study_toml(epochs=1), discs)
    (tmp_path / "fakes").mkdir()
    (tmp_path / "fakes" / "pynvml.py").write_text(PYNVML)
    path = os.pathsep.join([str(tmp_path / "fakes"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    place = Slot("", {"PYTHONPATH": path, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0"})
    run_study(study, [place, place])
    spans = []
    for planned in study.runs:
        record = read_footprint(study.directory / planned.name)
        # From the idle power that is read before to the end of the test: nobody else's may be in there.
        begins, ends = record.window("idle"), record.window("test")
        last = datetime.fromisoformat(ends.started) + timedelta(seconds=ends.duration_s)
        spans.append((datetime.fromisoformat(begins.started), last))
        assert "measured: NVML energy counter" in record.window("training").method
    spans.sort()
    # Starts are written in whole seconds.
    assert all(before <= after + timedelta(seconds=1) for (_, before), (after, _) in itertools.pairwise(spans))
