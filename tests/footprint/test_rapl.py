from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_midl.footprint.meter import SensorError
from carbon_midl.footprint.sensors import find_rapl

RANGE_UJ = 262_143_328_850


def make_zone(root: Path, zone: str, name: str, energy_uj: int = 1_000_000) -> Path:
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    return folder / "energy_uj"


def advance(file: Path, by_uj: int) -> None:
    file.write_text(f"{(int(file.read_text()) + by_uj) % RANGE_UJ}\n")


def test_packages_are_summed_and_memory_is_apart(tmp_path: Path) -> None:
    packages = [make_zone(tmp_path, f"intel-rapl:{n}", f"package-{n}") for n in range(2)]
    memories = [make_zone(tmp_path, f"intel-rapl:{n}:1", "dram") for n in range(2)]
    core = make_zone(tmp_path, "intel-rapl:0:0", "core")
    psys = make_zone(tmp_path, "intel-rapl:2", "psys")
    twice = make_zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    found = find_rapl("A CPU", tmp_path)
    assert found.missing == ()
    cpu, memory = found.sensors
    assert (cpu.component, memory.component) == ("cpu", "memory")
    assert (cpu.method, cpu.hardware) == ("measured: RAPL", "A CPU")
    assert cpu.read() == 0
    for file in packages:
        advance(file, 5_000_000)
    for file in memories:
        advance(file, 1_000_000)
    for file in (core, psys, twice):
        advance(file, 77_000_000)
    assert cpu.read() == pytest.approx(10)
    assert memory.read() == pytest.approx(2)


@settings(max_examples=50)
@given(start=st.integers(1, RANGE_UJ - 1), steps=st.lists(st.integers(0, RANGE_UJ - 1), max_size=8))
def test_the_counter_may_wrap_around(start: int, steps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("powercap")
    file = make_zone(root, "intel-rapl:0", "package-0", start)
    (sensor,) = find_rapl("A CPU", root).sensors
    for step in steps:
        advance(file, step)
        sensor.read()
    assert sensor.read() == pytest.approx(sum(steps) * 1e-6)


def test_permission_denied_says_which_command_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_zone(tmp_path, "intel-rapl:0", "package-0")
    read_text = Path.read_text

    def refuse(path: Path) -> str:  # root may read everything
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = find_rapl("A CPU", tmp_path)
    assert found.sensors == ()
    assert str(file) in found.missing[0]
    assert "sudo chmod a+r" in found.missing[0]


def test_what_is_no_counter_is_a_reason_at_first_and_a_drop_out_later(tmp_path: Path) -> None:
    assert "no processor package" in find_rapl("A CPU", tmp_path / "absent").missing[0]
    file = make_zone(tmp_path, "intel-rapl:0", "package-0", energy_uj=0)
    assert "zero" in find_rapl("A CPU", tmp_path).missing[0]
    file.write_text("1000000")
    (sensor,) = find_rapl("A CPU", tmp_path).sensors
    assert (sensor.sample_interval_s or 0) * 1000 < RANGE_UJ * 1e-6  # before it can wrap at 1 kW
    file.write_text("garbage")
    with pytest.raises(SensorError, match="energy_uj"):
        sensor.read()
    assert find_rapl("A CPU", tmp_path).sensors == ()
