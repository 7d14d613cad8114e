import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from carbon_midl.cli import main
from carbon_midl.errors import InputError
from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window, carbon_intensity, describe
from carbon_midl.footprint.report import checklist, model_card, paragraph, to_markdown
from carbon_midl.study.results import read_compute
from tests.book.synthetic import make_study
from tests.footprint.test_record import example


def record(method: str = "estimated: TDP × utilisation") -> FootprintRecord:
    parts = (ComponentEnergy("cpu", 0.003, method), ComponentEnergy("memory", 0.001, "estimated: W per GB"))
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
    hardware = {"cpu": "A CPU", "cores": 8, "memory_gb": 17.2, "gpu": list(gpu)}
    result = {
        "format": "carbon-midl run", "version": 1, "options": {"filters": 16, "seed": 0},
        "model": {"parameters": 734_001}, "footprint": footprint.to_dict(),
        "environment": {"hardware": hardware, "versions": {"python": "3.11.7", "torch": "2.13.0"}},
    }  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "result.json").write_text(json.dumps(result))
    return directory


def test_describe_names_energy_origin_factors_and_caveats() -> None:
    assert describe(example()).splitlines() == [
        "training: 1 of 2 epochs, 100.0 s from 2026-01-01T00:00:00+00:00",
        "",
        "component  hardware  energy  how obtained",
        "cpu        A CPU     1 Wh    estimated: half TDP",
        "gpu 0      A GPU     20 Wh   measured: NVML energy counter",
        "gpu 1                30 Wh   measured: NVML energy counter",
        "total                51 Wh   before PUE",
        "",
        "12 (7–20) gCO2eq = 51 Wh × PUE 1.58 × 143.3 g/kWh",
        "PUE: world average of data centres, Uptime Institute Global Data Center Survey 2023 (as carbontracker)",
        "Intensity: Denmark, national average of 2024 over the life cycle, table that ships with carbontracker 2.4.7",
        "Grams: 0.59 to 1.71 times the estimate (95 %), from intensity 0.67–1.50, PUE 0.71–1.40, gpu: NVML energy "
        "counter 0.95–1.05, repeatability 0.97–1.03, cpu 0.99–1.01",
        "Carbontracker 2.4.7: 20 Wh before PUE, 5 gCO2eq, 2 epochs",
        "Carbontracker: a caveat",
        "Note: a note",
    ]
    assert ", 2 attempts together" in describe(example().with_earlier(example()))
    assert "30.0 s from 2026-01-01T00:01:00+00:00, not finished" in describe(example(), "epoch 2")


def test_a_run_in_a_paragraph(tmp_path: Path) -> None:
    text = paragraph(read_compute(make_run(tmp_path, record())))
    assert "We trained one network (16 initial filters, 734,001 parameters, 2 of 2 epochs)" in text
    assert "on A CPU (8 logical cores), 17.2 GB of memory, in 11 min" in text
    # 4 Wh of the training and 4 Wh of the test.
    assert "used an estimated 8 Wh (estimated: TDP × utilisation; estimated: W per GB) before PUE" in text
    assert "a PUE of 1.58 (world average of data centres" in text
    assert "143.3 g/kWh (Denmark, national average of 2024" in text
    assert "we estimate operational, location-based emissions of 1.8 (1.0–3.7) gCO2eq, with a 95 % interval" in text
    assert "The making of the hardware is not included." in text


def test_a_measurement_is_not_called_an_estimate(tmp_path: Path) -> None:
    measured = FootprintRecord((Window("training", "2026", 10.0, (ComponentEnergy("cpu", 2.0, "measured: RAPL"),)),), 1)
    assert "used 2 kWh (measured: RAPL) before PUE" in paragraph(read_compute(make_run(tmp_path / "a", measured)))
    partly = read_compute(make_run(tmp_path / "b", record("measured: RAPL")))
    for text in (paragraph(partly), checklist(partly), model_card(partly)):
        assert "8 Wh (partly estimated; measured: RAPL; estimated: W per GB)" in text


def test_the_checklist_has_its_fields(tmp_path: Path) -> None:
    gpu = "NVIDIA H100 80GB HBM3"
    text = checklist(read_compute(make_run(tmp_path, record(), (gpu, gpu))))
    assert text.splitlines() == [
        "- **Number of training and evaluation runs:** 1",
        "- **Average runtime for each result:** 11 min",
        "- **Total runtime:** 11 min",
        "- **Estimated energy cost:** an estimated 8 Wh (estimated: TDP × utilisation; estimated: W per GB), "
        "before PUE",
        "- **Estimated emissions:** 1.8 (1.0–3.7) gCO2eq: a PUE of 1.58 (world average of data centres, Uptime "
        "Institute Global Data Center Survey 2023 (as carbontracker)); 143.3 g/kWh (Denmark, national average "
        "of 2024 over the life cycle, table that ships with carbontracker 2.4.7)",
        f"- **Computing infrastructure, hardware:** 2 × {gpu}, A CPU (8 logical cores), 17.2 GB of memory",
        "- **Computing infrastructure, software:** python 3.11.7, torch 2.13.0",
        "- **Dates:** 2026-01-31 to 2026-02-01",
    ]


@pytest.mark.parametrize("location", [None, 'Ærø: "Denmark" # not a comment'])
def test_the_model_card_is_yaml_with_emissions_in_grams(location: str | None, tmp_path: Path) -> None:
    stored = record()
    card = yaml.safe_load(model_card(read_compute(make_run(tmp_path, stored)), location))
    block = card.pop("co2_eq_emissions")
    assert card == {}
    assert block.pop("emissions") == pytest.approx(stored.carbon_g(stored.energy_kwh), rel=1e-3)
    assert "estimated: TDP × utilisation" in block.pop("source")
    assert block.pop("geographical_location").startswith(location or "not recorded; computed for 143.3 g/kWh")
    assert block == {"training_type": "pre-training", "hardware_used": "A CPU (8 logical cores), 17.2 GB of memory"}


def test_attempts_that_were_interrupted_and_runs_that_were_not_finished_are_told(tmp_path: Path) -> None:
    text = paragraph(read_compute(make_run(tmp_path / "a", record().with_earlier(record()))))
    assert "16 Wh" in text
    assert "8 Wh of it in one attempt without a result" in text
    (tmp_path / "footprint.json").write_text(json.dumps(record().to_dict()))
    compute = read_compute(tmp_path)
    assert (compute.runs, compute.abandoned, compute.abandoned_kwh) == (0, 1, compute.energy_kwh)
    assert "not finished) on A CPU, 16.0 GB" in paragraph(compute)
    assert "no run was finished" in checklist(compute)


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
    (results / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not the manifest of a study's results"):
        read_compute(results)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", record())
    assert main(["report", str(run)]) == 0
    whole = capsys.readouterr().out
    for heading in ("## For a paper", "## For the reproducibility checklist", "## For a model card", "```yaml"):
        assert heading in whole
    assert main(["report", str(run), "--location", "Copenhagen"]) == 0
    assert "geographical_location: Copenhagen" in capsys.readouterr().out
    assert main(["report", str(tmp_path)]) == 2
    assert "neither a run" in capsys.readouterr().err
