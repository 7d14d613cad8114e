import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.footprint import (
    ComponentEnergy,
    Embodied,
    FootprintRecord,
    Window,
    carbon_intensity,
    describe,
    to_frame,
)
from carbon_midl.footprint.record import CarbontrackerFigures
from carbon_midl.footprint.report import checklist, model_card, paragraph, to_markdown
from carbon_midl.study.results import read_compute
from tests.book.synthetic import make_study
from tests.footprint.test_record import example


def record(method: str = "estimated: TDP × utilisation", energy_kwh: float = 0.003) -> FootprintRecord:
    parts = (ComponentEnergy("cpu", energy_kwh, method), ComponentEnergy("memory", 0.001, "estimated: W per GB"))
    return FootprintRecord(
        (
            Window("training", "2026-01-31T23:59:00+00:00", 600.0, parts),
            *(Window(f"epoch {n}", "2026-01-31T23:59:00+00:00", 200.0, parts[:1], "training") for n in (1, 2)),
            Window("test", "2026-02-01T00:09:00+00:00", 60.0, parts),
        ),
        epochs_planned=2,
        intensity=carbon_intensity("DK"),
        hardware={"cpu": "A CPU", "memory": "16.0 GB"},
    )


def make_run(directory: Path, footprint: FootprintRecord, gpu: tuple[str, ...] = ()) -> Path:
    result: dict[str, Any] = {
        "format": "carbon-midl run",
        "version": 1,
        "options": {"filters": 16, "seed": 0},
        "model": {"parameters": 734_001},
        "footprint": footprint.to_dict(),
        "environment": {
            "hardware": {"cpu": "A CPU", "cores": 8, "memory_gb": 17.2, "gpu": list(gpu)},
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "result.json").write_text(json.dumps(result))
    return directory


def test_describe_names_energy_origin_factors_and_caveats() -> None:
    assert describe(example()).splitlines() == [
        "training: 1 of 2 epochs, 100.0 s from 2026-01-01T00:00:00+00:00",
        "",
        "component  energy  how obtained",
        "cpu          1 Wh  estimated: half TDP",
        "gpu 0       20 Wh  measured: NVML energy counter",
        "gpu 1       30 Wh  measured: NVML energy counter",
        "total       51 Wh  before PUE",
        "",
        "11.5 gCO2eq = 51 Wh × PUE 1.58 × 143.3 g/kWh",
        "PUE: world average of data centres, Uptime Institute Global Data Center Survey 2023 (as carbontracker)",
        "Intensity: Denmark, national average of 2024 over the life cycle, table that ships with carbontracker 2.4.7",
        "Carbontracker 2.4.7: 20 Wh before PUE, 5 gCO2eq, 2 epochs; 10 Wh more than ours over the same epochs",
        "Carbontracker: a caveat",
        "Note: a note",
    ]
    again = describe(dataclasses.replace(example(), embodied=Embodied("A GPU", 164.0, 2)).with_earlier(example()))
    assert ", 2 attempts together" in again
    assert "Embodied, apart from the above: 416 mgCO2eq of making 2 × A GPU (164 kgCO2e each over 5 years" in again
    assert "epoch 2: 1 of 2 epochs, 30.0 s from 2026-01-01T00:01:00+00:00, not finished" in describe(
        example(), "epoch 2"
    )


@pytest.mark.parametrize("method", ["estimated: TDP × utilisation", "estimated: W per core"])
def test_it_is_told_why_carbontracker_s_estimate_differs(method: str) -> None:
    figures = CarbontrackerFigures(0.02, 5.0, 90.0, "2.4.7", 2)
    assert "Carbontracker takes half TDP" in describe(dataclasses.replace(record(method), carbontracker=figures))


def test_a_frame_has_a_row_for_each_component() -> None:
    frame = to_frame(example())
    assert list(frame.columns) == ["component", "hardware", "energy_kwh", "how obtained"]
    assert list(frame["component"]) == ["cpu", "gpu 0", "gpu 1"]
    assert list(frame["hardware"]) == ["A CPU", "A GPU", ""]


def test_a_run_in_a_paragraph(tmp_path: Path) -> None:
    text = paragraph(read_compute(make_run(tmp_path, record())))
    assert "We trained one network (16 initial filters, 734,001 parameters, 2 of 2 epochs)" in text
    assert "on A CPU (8 logical cores), 17.2 GB, in 11 min" in text
    # 4 Wh of the training and 4 Wh of the test.
    assert "used an estimated 8 Wh (estimated: TDP × utilisation; estimated: W per GB) before PUE" in text
    assert "a PUE of 1.58 (world average of data centres" in text
    assert "143.3 g/kWh (Denmark, national average of 2024" in text
    assert "we estimate operational, location-based emissions of 1.81 gCO2eq" in text
    assert "The making of the hardware is not included." in text


def test_a_measurement_is_not_called_an_estimate(tmp_path: Path) -> None:
    measured = FootprintRecord((Window("training", "2026", 10.0, (ComponentEnergy("cpu", 2.0, "measured: RAPL"),)),), 1)
    assert "used 2 kWh (measured: RAPL) before PUE" in paragraph(read_compute(make_run(tmp_path / "a", measured)))
    partly = read_compute(make_run(tmp_path / "b", record("measured: RAPL")))
    assert "8 Wh (partly estimated; measured: RAPL; estimated: W per GB)" in paragraph(partly)
    assert "partly estimated" in checklist(partly)
    assert "partly estimated" in model_card(partly)


def test_the_checklist_has_its_fields(tmp_path: Path) -> None:
    gpu = "NVIDIA H100 80GB HBM3"
    text = checklist(read_compute(make_run(tmp_path, record(), (gpu, gpu))))
    assert text.splitlines() == [
        "- **Number of training and evaluation runs:** 1",
        "- **Average runtime for each result:** 11 min",
        "- **Total runtime:** 11 min",
        "- **Estimated energy cost:** an estimated 8 Wh (estimated: TDP × utilisation; estimated: W per GB), "
        "before PUE",
        "- **Estimated emissions:** 1.81 gCO2eq: a PUE of 1.58 (world average of data centres, Uptime Institute "
        "Global Data Center Survey 2023 (as carbontracker)); 143.3 g/kWh (Denmark, national average "
        "of 2024 over the life cycle, table that ships with carbontracker 2.4.7)",
        f"- **Computing infrastructure, hardware:** 2 × {gpu}, A CPU (8 logical cores), 17.2 GB",
        "- **Computing infrastructure, software:** python 3.11.7, torch 2.13.0",
        "- **Dates:** 2026-01-31 to 2026-02-01",
    ]


@pytest.mark.parametrize("location", [None, 'Ærø: "Denmark" # not a comment'])
def test_the_model_card_is_yaml_with_emissions_in_grams(location: str | None, tmp_path: Path) -> None:
    stored = record()
    card = yaml.safe_load(model_card(read_compute(make_run(tmp_path, stored)), location, "fine-tuning"))
    assert list(card) == ["co2_eq_emissions"]
    block = card["co2_eq_emissions"]
    assert block["emissions"] == pytest.approx(stored.carbon_g(stored.energy_kwh), rel=1e-3)
    assert isinstance(block.pop("emissions"), float)
    assert "estimated: TDP × utilisation" in block.pop("source")
    assert block.pop("geographical_location").startswith(location or "not recorded; computed for 143.3 g/kWh")
    assert block == {"training_type": "fine-tuning", "hardware_used": "A CPU (8 logical cores), 17.2 GB"}


@pytest.mark.parametrize("energy_kwh", [1e-9, 1e-4, 12345.678])
def test_emissions_of_any_size_are_a_plain_number(energy_kwh: float, tmp_path: Path) -> None:
    stored = record(energy_kwh=energy_kwh)
    number = model_card(read_compute(make_run(tmp_path, stored))).splitlines()[1].removeprefix("  emissions: ")
    assert "e" not in number
    assert float(number) == pytest.approx(stored.carbon_g(stored.energy_kwh), rel=1e-3)


def test_attempts_that_were_interrupted_are_told(tmp_path: Path) -> None:
    text = paragraph(read_compute(make_run(tmp_path, record().with_earlier(record()))))
    assert "16 Wh" in text
    assert "8 Wh of it in one attempt that failed, or was interrupted or replaced" in text


def test_a_run_that_was_not_finished_has_used_something_too(tmp_path: Path) -> None:
    (tmp_path / "footprint.json").write_text(json.dumps(record().to_dict()))
    compute = read_compute(tmp_path)
    assert "not finished" in paragraph(compute)
    assert (compute.runs, compute.abandoned, compute.abandoned_kwh) == (0, 1, compute.energy_kwh)
    assert "A CPU, 16.0 GB" in paragraph(compute)
    assert "no run was finished" in checklist(compute)


def test_embodied_carbon_is_told_apart(tmp_path: Path) -> None:
    stored = dataclasses.replace(record(), embodied=Embodied("A CPU", 100.0))
    compute = read_compute(make_run(tmp_path, stored))
    assert compute.embodied_g == pytest.approx(100e3 * 660 / (5 * 365.25 * 86400))
    assert "Making the hardware adds a share of 418 mgCO2eq (SCI 1.1), kept apart" in paragraph(compute)
    assert compute.carbon_g == stored.carbon_g(stored.energy_kwh)


def test_a_study_is_the_sum_of_its_runs_with_those_that_failed(tmp_path: Path) -> None:
    results, directory = make_study(tmp_path)
    runs = pd.read_csv(results / "runs.csv")
    compute = read_compute(results)
    assert compute == read_compute(directory)
    assert compute.runs == len(runs) == 8
    assert compute.abandoned == 1
    assert compute.energy_kwh == pytest.approx(runs["energy_whole_run_kwh"].sum() + 1e-4)
    assert compute.carbon_g == pytest.approx(runs["carbon_whole_run_g"].sum() + 0.07)
    assert compute.methods == ("estimated: TDP × utilisation", "estimated: memory size")
    text = to_markdown(compute)
    assert "8 networks of 8 planned (4, 8, 16, 32 initial filters) on Example CPU (2 logical cores), 8 GB" in text
    assert "100 mWh of it in one attempt" in text
    assert "**Number of training and evaluation runs:** 8, and 1 that gave no result" in text
    assert yaml.safe_load(model_card(compute))["co2_eq_emissions"]["emissions"] == pytest.approx(compute.carbon_g, 1e-3)


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run"):
        read_compute(tmp_path / "nowhere")
    results, _ = make_study(tmp_path)
    (results / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not the manifest of a study's results"):
        read_compute(results)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", record())
    assert main(["report", str(run)]) == 0
    whole = capsys.readouterr().out
    for heading in ("## For a paper", "## For the reproducibility checklist", "## For a model card", "```yaml"):
        assert heading in whole
    parts = {}
    for part in ("paragraph", "checklist", "model-card"):
        assert main(["report", str(run), "--only", part, "--location", "Copenhagen"]) == 0
        parts[part] = capsys.readouterr().out
    assert yaml.safe_load(parts["model-card"])["co2_eq_emissions"]["geographical_location"] == "Copenhagen"
    assert parts["paragraph"].startswith("We trained")
    assert parts["checklist"].startswith("- **Number")
    out = tmp_path / "report.md"
    assert main(["report", str(run), "--out", str(out)]) == 0
    assert out.read_text() == whole
    assert main(["report", str(tmp_path)]) == 2
    assert "neither a run" in capsys.readouterr().err
