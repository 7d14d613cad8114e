import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_midl.errors import InputError
from carbon_midl.footprint import (
    CarbonIntensity,
    CarbontrackerFigures,
    ComponentEnergy,
    Embodied,
    FootprintRecord,
    Interval,
    Prediction,
    Window,
    carbon_intensity,
    recost_run,
)

energies = st.floats(min_value=0, max_value=1e4)
texts = st.text(max_size=20)
components = st.builds(
    ComponentEnergy,
    st.sampled_from(["cpu", "memory", "gpu 0", "gpu 1"]),
    energies,
    st.sampled_from(["a", "b"]),
    st.none() | energies,
)
intervals = st.builds(Interval, energies, energies, energies)
predictions = st.builds(
    Prediction,
    st.integers(1, 99),
    st.integers(1, 99),
    intervals,
    intervals,
    energies,
    energies,
    energies,
    energies,
    st.integers(2, 99),
    st.floats(0.5, 0.99),
    st.none() | st.integers(1, 99),
    st.none() | st.floats(-1, 10),
    st.none() | st.floats(-1, 10),
)
windows = st.builds(
    Window,
    name=st.sampled_from(["training", "test", "epoch 1", "epoch 2"]),
    started=texts,
    duration_s=energies,
    components=st.lists(components, max_size=4).map(tuple),
    parent=st.none() | texts,
    finished=st.booleans(),
    attempt=st.integers(1, 5),
)
records = st.builds(
    FootprintRecord,
    windows=st.lists(windows, max_size=6).map(tuple),
    epochs_planned=st.integers(1, 1000),
    pue=st.floats(1, 3),
    pue_source=texts,
    intensity=st.builds(CarbonIntensity, energies, texts, texts, st.none() | st.integers(1990, 2100)),
    carbontracker=st.none()
    | st.builds(
        CarbontrackerFigures,
        st.none() | energies,
        energies,
        energies,
        st.none() | texts,
        st.integers(0, 99),
        texts,
        st.none() | st.floats(-1e4, 1e4),
    ),
    hardware=st.dictionaries(texts, texts, max_size=3),
    notes=st.lists(texts, max_size=3).map(tuple),
    embodied=st.none() | st.builds(Embodied, texts, st.floats(0.1, 1e4), st.integers(1, 8), share=st.floats(0.01, 1)),
    predictions=st.lists(predictions, max_size=2).map(tuple),
)


def example() -> FootprintRecord:
    parts = (
        ComponentEnergy("cpu", 0.001, "estimated: half TDP"),
        ComponentEnergy("gpu 0", 0.020, "measured: NVML energy counter"),
        ComponentEnergy("gpu 1", 0.030, "measured: NVML energy counter"),
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
        carbontracker=CarbontrackerFigures(0.02, 5.0, 90.0, "2.4.7", 2, "a caveat", 0.01),
        hardware={"cpu": "A CPU", "gpu 0": "A GPU"},
        notes=("a note",),
    )


@given(records)
def test_what_goes_through_json_comes_back_the_same(record: FootprintRecord) -> None:
    assert FootprintRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@given(energies, st.floats(0, 2000), st.floats(1, 3), st.floats(0, 10))
def test_carbon_is_linear_in_energy_intensity_and_pue(kwh: float, g_per_kwh: float, pue: float, factor: float) -> None:
    base = example().recost(g_per_kwh, pue)
    carbon_g = base.carbon_g(kwh)
    assert carbon_g == pytest.approx(kwh * pue * g_per_kwh)
    assert base.carbon_g(factor * kwh) == pytest.approx(factor * carbon_g, rel=1e-9, abs=1e-12)
    assert base.recost(factor * g_per_kwh).carbon_g(kwh) == pytest.approx(factor * carbon_g, rel=1e-9, abs=1e-12)
    assert base.recost(pue=2 * pue).carbon_g(kwh) == pytest.approx(2 * carbon_g)


def test_energy_of_a_window_is_the_sum_of_its_components() -> None:
    training = example().window("training")
    assert training.energy_kwh == pytest.approx(0.051)
    assert training.component_kwh("gpu") == pytest.approx(0.050)
    assert training.component_kwh("gpu 1") == pytest.approx(0.030)
    assert training.component_kwh("memory") is None
    assert training.method == "estimated: half TDP; measured: NVML energy counter"
    assert example().method("test") == "estimated: half TDP"


def test_carbon_of_a_window() -> None:
    assert example().carbon_g("training") == pytest.approx(0.051 * 1.58 * 143.30042)


def test_whole_run_counts_top_windows_once() -> None:
    assert example().energy_kwh == pytest.approx(0.052)
    assert example().duration_s == pytest.approx(110)


def test_epochs_are_counted_when_finished() -> None:
    assert example().epochs == 1
    assert example().epoch(2).duration_s == 30


def test_recosting_changes_factors_and_nothing_else() -> None:
    record = example()
    in_france = record.recost("FR", pue=1.0, pue_source="a laptop")
    assert in_france.windows == record.windows
    assert in_france.carbontracker == record.carbontracker
    assert in_france.intensity == carbon_intensity("FR")
    assert (in_france.pue, in_france.pue_source) == (1.0, "a laptop")
    assert record.recost() == record
    with pytest.raises(InputError, match="pue"):
        record.recost(pue=0.5)
    with pytest.raises(InputError, match="intensity"):
        record.recost("nowhere")


def test_windows_of_one_name_are_added_up() -> None:
    part = ComponentEnergy("cpu", 0.5, "estimated: half TDP")
    record = FootprintRecord(
        (Window("validation", "b", 2.0, (part,), "epoch 1"), Window("validation", "a", 3.0, (part,), "epoch 2")), 2
    )
    both = record.window("validation")
    assert (both.energy_kwh, both.duration_s, both.started, both.parent) == (1.0, 5.0, "a", None)
    assert len(both.components) == 1


def test_an_earlier_attempt_counts() -> None:
    first, second = example(), example()
    record = second.with_earlier(first)
    assert record.energy_kwh == pytest.approx(2 * first.energy_kwh)
    assert record.window("training").duration_s == 200
    assert [window.attempt for window in record.windows] == [1] * 4 + [2] * 4
    assert record.attempts == 2
    assert record.epochs == 1
    assert record.carbontracker is not None
    assert record.carbontracker.energy_before_pue_kwh == pytest.approx(0.04)
    assert record.carbontracker.measured_epochs == 4
    assert record.carbontracker.difference_kwh == pytest.approx(0.02)
    assert [window.attempt for window in example().with_earlier(record).windows] == [1] * 4 + [2] * 4 + [3] * 4
    assert "2 attempts together" in record.describe()


def test_an_epoch_is_that_of_its_last_attempt() -> None:
    part = (ComponentEnergy("cpu", 0.5, "measured: RAPL"),)
    other = (ComponentEnergy("cpu", 0.7, "measured: RAPL"),)
    first = FootprintRecord((Window("epoch 1", "a", 2.0, part), Window("epoch 2", "b", 1.0, part, finished=False)), 3)
    second = FootprintRecord((Window("epoch 2", "c", 3.0, other), Window("epoch 3", "d", 3.0, part)), 3)
    record = second.with_earlier(first)
    assert [record.epoch(number).energy_kwh for number in (1, 2, 3)] == [0.5, 0.7, 0.5]
    assert record.window("epoch 2").energy_kwh == pytest.approx(1.2)
    assert record.energy_kwh == record.all_epochs().energy_kwh == pytest.approx(2.2)
    assert record.epochs == 3


def test_a_check_that_misses_a_part_is_no_check() -> None:
    with_check = Window("epoch 1", "a", 1.0, (ComponentEnergy("gpu 0", 1.0, "m", 1.1),))
    without = Window("epoch 1", "b", 1.0, (ComponentEnergy("gpu 0", 1.0, "m"),))
    assert FootprintRecord((with_check, with_check), 1).window("epoch 1").components[0].sampled_kwh == 2.2
    assert FootprintRecord((with_check, without), 1).window("epoch 1").components[0].sampled_kwh is None


def test_embodied_carbon_is_kept_apart() -> None:
    record = example().with_embodied(Embodied("A GPU", 164.0, devices=2, lifetime_years=3))
    assert record.carbon_g() == example().carbon_g()
    assert record.embodied_g() == pytest.approx(2 * 164e3 * 110 / (3 * 365.25 * 86400))
    assert record.embodied_g("test") == pytest.approx(2 * 164e3 * 10 / (3 * 365.25 * 86400))
    assert example().embodied_g() is None
    assert "Embodied, apart from the above" in record.describe()


def test_net_energy_needs_idle_power() -> None:
    assert example().net_kwh() is None
    idle = Window("idle", "2025", 2.0, (ComponentEnergy("gpu 0", 2 * 50 / 3.6e6, "measured: NVML energy counter"),))
    record = dataclasses.replace(example(), windows=(idle, *example().windows))
    assert record.idle_w == {"gpu 0": pytest.approx(50)}
    assert record.net_kwh() == pytest.approx(0.020 - 50 * 100 / 3.6e6)  # of gpu 0 alone
    assert record.net_kwh("test") is None


def test_a_record_of_before_these_fields_is_read(tmp_path: Path) -> None:
    stored = json.loads((Path(__file__).parent / "data" / "record-1.json").read_text())
    record = FootprintRecord.from_dict(stored)
    assert record.window("training").energy_kwh == pytest.approx(0.00035)
    assert record.epoch(1).method == "estimated: half TDP; estimated: W per GB"
    assert record.epoch(1).attempt == 1
    assert (record.embodied, record.predictions, record.idle_w) == (None, (), {})
    assert record.carbontracker is not None
    assert record.carbontracker.difference_kwh is None
    (tmp_path / "footprint.json").write_text(json.dumps(stored))
    assert recost_run(tmp_path, "FR", 1.0).carbon_g() == pytest.approx(0.00035 * 44.179085)


def test_an_unknown_window_is_named_with_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"'validation'.*training, epoch 1, epoch 2, test"):
        example().window("validation")
    with pytest.raises(InputError, match="epoch 7"):
        example().epoch(7)


def test_describe_names_energy_origin_factors_and_caveats() -> None:
    text = example().describe()
    for expected in ("gpu 0", "20 Wh", "measured: NVML energy counter", "total", "51 Wh", "PUE 1.58", "143.3 g/kWh"):
        assert expected in text
    for expected in ("Denmark", "Carbontracker 2.4.7: 20 Wh", "10 Wh more than ours", "a note", "1 of 2 epochs"):
        assert expected in text
    assert "11.5 gCO2eq" in text


@pytest.mark.parametrize("method", ["estimated: TDP × utilisation", "estimated: W per core"])
def test_it_is_told_why_carbontracker_s_estimate_differs(method: str) -> None:
    part = ComponentEnergy("cpu", 0.01, method)
    figures = CarbontrackerFigures(0.02, 5.0, 90.0, "2.4.7", 2)
    estimated = FootprintRecord((Window("training", "a", 1.0, (part,)),), 1, carbontracker=figures)
    assert "Carbontracker takes half TDP" in estimated.describe()
    assert "half TDP for a processor" not in example().describe()


def test_frame_has_a_row_for_each_component() -> None:
    frame = example().to_frame()
    assert list(frame.columns) == ["component", "hardware", "energy_kwh", "how obtained"]
    assert list(frame["component"]) == ["cpu", "gpu 0", "gpu 1"]
    assert frame["energy_kwh"].sum() == pytest.approx(0.051)


def test_another_version_is_refused() -> None:
    with pytest.raises(InputError, match="found version 2, expected 1"):
        FootprintRecord.from_dict(example().to_dict() | {"version": 2})


def test_fields_added_later_are_ignored() -> None:
    assert FootprintRecord.from_dict(example().to_dict() | {"forecasts": []}) == example()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("pue",), 0.3, "pue"),
        (("pue",), "high", "pue"),
        (("epochs_planned",), True, "epochs_planned"),
        (("windows",), {}, "windows"),
        (("windows", 0, "duration_s"), -1.0, "duration_s"),
        (("windows", 0, "components", 0, "energy_kwh"), float("nan"), "energy_kwh"),
        (("intensity", "year"), "2024", "year"),
        (("carbontracker", "carbon_g"), -2, "carbon_g"),
        (("windows", 1), "epoch 1", "window"),
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


@pytest.mark.parametrize("field", ["version", "windows", "pue", "intensity", "carbontracker", "notes"])
def test_a_missing_field_is_named(field: str) -> None:
    data = example().to_dict()
    del data[field]
    with pytest.raises(InputError, match=field):
        FootprintRecord.from_dict(data)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(InputError, match="footprint record"):
        FootprintRecord.from_dict([1, 2])


def test_an_epoch_that_was_saved_in_its_middle_is_added_up_over_its_attempts() -> None:
    def window(name: str, kwh: float, **more: object) -> Window:
        part = ComponentEnergy("cpu", kwh, "estimated: half TDP")
        return Window(name, "2026-01-01T00:00:00+00:00", 10.0, (part,), **more)  # type: ignore[arg-type]

    first = FootprintRecord((window("epoch 1", 1.0), window("epoch 2", 0.25, finished=False)), 3)
    second = FootprintRecord((window("epoch 2", 0.5, finished=False, continues=True),), 3)
    third = FootprintRecord((window("epoch 2", 0.125, continues=True), window("epoch 3", 1.0)), 3)
    joined = third.with_earlier(second.with_earlier(first))
    assert joined.epoch(2).energy_kwh == 0.875
    assert joined.epoch(2).duration_s == 30.0
    assert {number: epoch.energy_kwh for number, epoch in joined.finished_epochs.items()} == {1: 1.0, 2: 0.875, 3: 1.0}
    # A second attempt that begins the epoch again does not count what the first one lost as part of it.
    again = FootprintRecord((window("epoch 2", 0.5),), 3).with_earlier(first)
    assert again.epoch(2).energy_kwh == 0.5
    assert again.energy_kwh == 1.75
    assert FootprintRecord.from_dict(joined.to_dict()) == joined
