import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from carbon_midl.errors import InputError
from carbon_midl.footprint import ComponentEnergy, FootprintRecord, Window, carbon_intensity, read_footprint
from carbon_midl.footprint.record import CarbontrackerFigures

COUNTER = "measured: NVML energy counter"


def example() -> FootprintRecord:
    parts = (
        ComponentEnergy("cpu", 0.001, "estimated: half TDP"),
        ComponentEnergy("gpu 0", 0.020, COUNTER),
        ComponentEnergy("gpu 1", 0.030, COUNTER),
    )
    return FootprintRecord(
        windows=(
            Window("training", "2026-01-01T00:00:00+00:00", 100.0, parts),
            Window("epoch 1", "2026-01-01T00:00:00+00:00", 60.0, parts[:1], parent="training"),
            Window("epoch 2", "2026-01-01T00:01:00+00:00", 30.0, parts[:1], parent="training", finished=False),
            Window("test", "2026-01-01T00:02:00+00:00", 10.0, parts[:1]),
        ),
        epochs_planned=2,
        intensity=carbon_intensity("DK"),
        carbontracker=CarbontrackerFigures(0.02, 5.0, 90.0, "2.4.7", 2, "a caveat"),
        hardware={"cpu": "A CPU", "gpu 0": "A GPU"},
        notes=("a note",),
    )


def window(name: str, kwh: float, duration_s: float = 10.0, **more: Any) -> Window:
    return Window(name, "2026", duration_s, (ComponentEnergy("cpu", kwh, "measured: RAPL"),), **more)


def test_what_goes_through_json_comes_back_the_same() -> None:
    warm = dataclasses.replace(example().recost(50.0, 1.2), start_temperature_c={"gpu 0": 34.5}, carbontracker=None)
    resumed = FootprintRecord((window("epoch 1", 0.5, continues=True),), 3, notes=("a note",)).with_earlier(warm)
    for record in (example(), warm, resumed, FootprintRecord((), 1)):
        assert FootprintRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_energy_is_of_a_window_s_components_and_of_a_run_s_top_windows() -> None:
    record = example()
    training = record.window("training")
    assert training.energy_kwh == pytest.approx(0.051)
    by_component = [training.component_kwh(name) for name in ("gpu", "gpu 1", "memory")]
    assert by_component == [pytest.approx(0.050), pytest.approx(0.030), None]
    assert training.method == f"estimated: half TDP; {COUNTER}"
    assert record.carbon_g("training") == pytest.approx(0.051 * 1.58 * 143.30042)
    assert (record.energy_kwh, record.duration_s) == (pytest.approx(0.052), 110)
    assert (record.epochs, record.epoch(2).duration_s) == (1, 30)


def test_recosting_changes_factors_and_nothing_else() -> None:
    record = example()
    in_france = record.recost("FR", pue=1.0)
    factors = {"intensity": carbon_intensity("FR"), "pue": 1.0, "pue_source": "given by the user"}
    assert in_france == dataclasses.replace(record, **factors)  # type: ignore[arg-type]
    assert in_france.recost("DK", 1.58) == record == record.recost()


def test_windows_of_one_name_are_added_up() -> None:
    twice = (window("validation", 0.5, 2.0, parent="epoch 1"), window("validation", 0.5, 3.0, parent="epoch 2"))
    both = FootprintRecord(twice, 2).window("validation")
    assert (both.energy_kwh, both.duration_s, both.parent, len(both.components)) == (1.0, 5.0, None, 1)


def test_an_earlier_attempt_counts() -> None:
    record = example().with_earlier(example())
    assert record.energy_kwh == pytest.approx(2 * example().energy_kwh)
    assert record.window("training").duration_s == 200
    assert (record.attempts, record.epochs) == (2, 1)
    assert record.carbontracker == CarbontrackerFigures(0.04, 10.0, 180.0, "2.4.7", 4, "a caveat")
    assert [window.attempt for window in example().with_earlier(record).windows] == [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize(("continues", "second_kwh"), [(False, 0.125), (True, 0.875)])
def test_an_epoch_is_that_of_its_last_attempt_and_of_those_it_goes_on_from(continues: bool, second_kwh: float) -> None:
    first = FootprintRecord((window("epoch 1", 1.0), window("epoch 2", 0.25, finished=False)), 3)
    second = FootprintRecord((window("epoch 2", 0.5, finished=False, continues=continues),), 3)
    third = FootprintRecord((window("epoch 2", 0.125, continues=continues), window("epoch 3", 1.0)), 3)
    joined = third.with_earlier(second.with_earlier(first))
    epochs_kwh = {number: epoch.energy_kwh for number, epoch in joined.finished_epochs.items()}
    assert epochs_kwh == {1: 1.0, 2: second_kwh, 3: 1.0}
    assert (joined.window("epoch 2").energy_kwh, joined.energy_kwh) == (0.875, 2.875)


def test_net_energy_needs_idle_power() -> None:
    assert example().net_kwh() is None
    idle = Window("idle", "2025", 2.0, (ComponentEnergy("gpu 0", 2 * 50 / 3.6e6, COUNTER),))
    record = dataclasses.replace(example(), windows=(idle, *example().windows))
    assert record.idle_w == {"gpu 0": pytest.approx(50)}
    assert record.net_kwh() == pytest.approx(0.020 - 50 * 100 / 3.6e6)  # of gpu 0 alone
    assert record.net_kwh("test") is None


def test_an_unknown_window_is_named_with_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"'validation'.*training, epoch 1, epoch 2, test"):
        example().window("validation")
    with pytest.raises(InputError, match="epoch 7"):
        example().epoch(7)


def test_records_of_earlier_versions_are_read() -> None:
    record = read_footprint(Path(__file__).parent / "data" / "record-1.json")
    assert record.window("training").energy_kwh == pytest.approx(0.00035)
    assert record.epoch(1).method == "estimated: half TDP; estimated: W per GB"
    assert (record.start_temperature_c, record.idle_w) == ({}, {})
    assert record.carbontracker is not None
    assert record.recost("FR", 1.0).carbon_g() == pytest.approx(0.00035 * 44.179085)
    data = example().to_dict() | {"predictions": [{"after_epoch": 2, "energy_error": 0.1}], "embodied": None}
    data["windows"][0]["components"][1]["sampled_kwh"] = 0.019
    assert FootprintRecord.from_dict(data) == example()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "found version 2, expected 1"),
        (("pue",), 0.3, "pue: input should be greater than or equal to 1, found 0.3; the file is damaged"),
        (("epochs_planned",), True, "epochs_planned"),
        (("windows", 0, "components", 0, "energy_kwh"), float("nan"), r"windows\.0\.components\.0\.energy_kwh"),
        (("intensity", "year"), "2024", r"intensity\.year"),
        (("carbontracker", "carbon_g"), -2, r"carbontracker\.carbon_g"),
        (("windows", 1), "epoch 1", r"windows\.1"),
    ],
)
def test_fields_that_cannot_be_are_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    data = example().to_dict()
    inner: Any = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=message):
        FootprintRecord.from_dict(data)


def test_a_missing_field_is_named() -> None:
    data = example().to_dict()
    del data["windows"]
    for damaged, message in ((data, "footprint record: .*windows"), ([1, 2], "footprint record")):
        with pytest.raises(InputError, match=message):
            FootprintRecord.from_dict(damaged)
