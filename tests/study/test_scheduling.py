"""Where runs are made, what they are predicted to take, and what the status says; without training anything."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint.record import ComponentEnergy, Window
from carbon_midl.locks import next_holder
from carbon_midl.options import RunOptions
from carbon_midl.study import devices
from carbon_midl.study.collect import other_axes
from carbon_midl.study.devices import Slot, reserved, slots
from carbon_midl.study.display import how_known
from carbon_midl.study.forecast import Cost, Forecast
from carbon_midl.study.run_locks import held_runs, lock_of
from carbon_midl.study.spec import PlannedRun, read_study
from carbon_midl.study.status import study_status
from tests.footprint.fakes import FakeClock
from tests.footprint.simulated_nvml import SimulatedGpu, SimulatedNvml
from tests.study.test_spec import GOOD, write


@pytest.fixture
def metered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device has a meter that counts all programs on it."""
    monkeypatch.setattr(devices, "_meter_is_shared", lambda name: True)


@pytest.fixture
def estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Energy is estimated from the time of each program's own processes."""
    monkeypatch.setattr(devices, "_meter_is_shared", lambda name: False)


@pytest.mark.usefixtures("metered")
def test_two_runs_on_one_meter_are_refused_or_marked() -> None:
    with pytest.raises(InputError, match="2 runs at once on the default device, whose meter counts all of them"):
        slots(jobs=2)
    with pytest.raises(InputError, match="--share-meter"):
        slots(["cpu"], jobs=3)
    assert [place.metered_alone for place in slots(jobs=2, share_meter=True)] == [False, False]
    assert [place.metered_alone for place in slots(share_meter=True)] == [False]  # another command's run is beside it
    assert slots() == [Slot("", {}, True)]


@pytest.mark.usefixtures("estimated")
def test_runs_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [place.environment["OMP_NUM_THREADS"] for place in slots(jobs=4)] == ["2"] * 4
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # asked for; left alone
    assert all("OMP_NUM_THREADS" not in place.environment for place in slots(jobs=4))


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


def test_a_runner_does_not_wait_for_torch() -> None:
    code = "import sys; from carbon_midl.study import devices, runner; devices._DRIVERS = (); devices.slots()"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=True)


@pytest.mark.usefixtures("metered")
def test_another_runner_is_kept_from_a_metered_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    place = [Slot("cuda:0")]
    with reserved(place):
        with (
            pytest.raises(InputError, match=r"training on cuda:0, whose meter would count both \(--share-meter"),
            reserved(place),
        ):
            pass
        with reserved([Slot("cuda:1")]), reserved(place, share_meter=True):
            pass
    with reserved(place):
        pass


def planned(filters: int, seed: int = 0, epochs: int = 10) -> PlannedRun:
    return PlannedRun(f"f{filters}-s{seed}", RunOptions(filters=filters, seed=seed, epochs=epochs))


@pytest.mark.usefixtures("metered")
def test_jobs_of_a_cluster_have_a_gpu_each_though_all_call_it_by_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nvml = SimulatedNvml(FakeClock(), SimulatedGpu("GPU-aaaa"), SimulatedGpu("GPU-bbbb"))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with reserved(slots()):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        with reserved(slots()), pytest.raises(InputError, match="training on cuda:5"), reserved([Slot("cuda:5", {})]):
            pytest.fail("the second GPU is in use")


def test_a_forecast_goes_by_the_same_run_with_another_seed_then_by_arithmetic() -> None:
    runs = [planned(4, 0), planned(4, 1), planned(8, 0)]
    forecast = Forecast(runs, size=64)
    assert forecast.left() is None
    forecast.saw("f4-s0", Cost(1.0, 10.0))
    left = forecast.left()
    assert left is not None
    # The other seed takes the same; twice the filters about four times the multiply–accumulates.
    assert 1 + 3 < left.energy_kwh < 1 + 4.2
    assert left.duration_s == pytest.approx(10 * left.energy_kwh)
    forecast.saw("f8-s0", Cost(1.0, 10.0), share=0.5)  # under way: as much again is to come
    left = forecast.left()
    assert left == pytest.approx(Cost(2.0, 20.0))
    for name in ("f4-s1", "f8-s0"):
        forecast.saw(name, Cost(1.0, 10.0))
    assert forecast.left() == Cost(0.0, 0.0)


def test_what_is_not_there_is_waiting_and_what_is_held_is_running(tmp_path: Path) -> None:
    study = read_study(write(tmp_path, GOOD))
    assert held_runs(study) == set()
    status = study_status(study)
    assert status.counts == {"waiting": 4}
    assert "data/crops" in status.note
    assert status.left is None
    assert not study.directory.exists()  # looking changes nothing
    with next_holder(lock_of(study, study.runs[1])):
        assert held_runs(study) == {study.runs[1].name}
        assert [run.state for run in study_status(study).runs] == ["waiting", "running", "waiting", "waiting"]
    (study.directory / study.runs[0].name).mkdir()
    (study.directory / study.runs[0].name / "failed-notebook.ipynb").touch()
    (study.directory / study.runs[0].name / "papermill.log").write_text("…\nInputError: no luck\n")
    first = study_status(study).runs[0]
    assert (first.state, first.why) == ("failed", "InputError: no luck")


def test_what_a_study_varies_is_a_column(tmp_path: Path) -> None:
    text = GOOD.replace("[options]", 'learning_rate = [1e-3, 1e-2]\nmodel = ["unet", "a.b:c"]\n[options]')
    study = read_study(write(tmp_path, text))
    assert other_axes(study) == ["learning_rate", "model"]
    assert study.runs[1].name == "filters-4-seed-0-learning-rate-0.001-model-b-c"
    assert other_axes(read_study(write(tmp_path, GOOD))) == []
    with pytest.raises(InputError, match="two runs would be called 'filters-4-seed-0-model-b-c'"):
        read_study(write(tmp_path, GOOD.replace("[options]", 'model = ["a.b:c", "d.b:c"]\n[options]')))


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["estimated: half TDP", "estimated: W per GB"], " (estimated)"),
        (["estimated: half TDP", "measured: NVML energy counter"], " (partly estimated)"),
        (["measured: RAPL", "sampled: NVML power"], ""),
    ],
)
def test_a_finished_run_says_how_its_energy_is_known(methods: list[str], said: str) -> None:
    parts = tuple(ComponentEnergy(f"part {number}", 1e-3, method) for number, method in enumerate(methods))
    window = Window(name="training", started="2026-01-01T00:00:00+00:00", duration_s=1.0, components=parts)
    assert how_known(window) == said
