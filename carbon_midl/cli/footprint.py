"""``carbon-midl footprint``: the footprint of any program, of a stored run, and the sensors of this machine."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, room

if TYPE_CHECKING:
    from carbon_midl.footprint import FootprintRecord

ROOM = "footprint"
_ACTIONS = ("measure", "sensors", "recost")
_WINDOW = "program"
_MEASURE_EPILOG = """\
What the program prints goes where it would go; the footprint is written to standard error. The exit code is the
program's. A program that is interrupted has used what it has used.

examples:
  carbon-midl footprint -- python train.py --epochs 3
  carbon-midl footprint --grid FR --pue 1.2 --json footprint.json -- make test
  ELECTRICITY_MAPS_API_KEY=… carbon-midl footprint --grid live:DK-DK1 -- ./simulate
"""
_RECOST_EPILOG = """\
Nothing is written, unless --json names a file.

example:
  carbon-midl footprint recost runs/demo/filters-4-seed-0 --grid FR --pue 1.2
"""


def add_actions(rooms: Any) -> None:
    """Add the room ``footprint``."""
    footprint = room(rooms, ROOM, "the footprint of any program (footprint -- COMMAND) or of a stored run")
    measure = action(
        footprint, "measure", _measure, "measure a program; 'footprint -- COMMAND' is short for it", _MEASURE_EPILOG
    )
    measure.add_argument("program", nargs="+", metavar="COMMAND", help="the program and its arguments, after --")
    _add_factors(measure, "world")
    measure.add_argument(
        "--idle",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds to measure idle power before, where there is a sensor; 0 leaves it out (default: %(default)s)",
    )

    sensors = action(footprint, "sensors", _sensors, "tell which sensors this machine has, which not, and why")
    sensors.add_argument(
        "--read", action="store_true", help="also read each of them once a second for three seconds (default: do not)"
    )

    recost = action(footprint, "recost", _recost, "show a stored run's footprint on another grid", _RECOST_EPILOG)
    recost.add_argument(
        "run", type=Path, metavar="RUN", help="directory of a run, or its result.json or footprint.json"
    )
    _add_factors(recost, None)
    recost.add_argument(
        "--window", default="training", metavar="NAME", help="the part of the run to show (default: %(default)s)"
    )


def with_measure(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``measure`` put in where ``footprint`` is followed by options or ``--``."""
    given = list(arguments)
    if given[:1] == [ROOM] and "--" in given and given[1] not in _ACTIONS:
        given.insert(1, "measure")
    return given


def _add_factors(parser: argparse.ArgumentParser, grid: str | None) -> None:
    kept = "the run's own" if grid is None else grid
    parser.add_argument(
        "--grid",
        default=grid,
        metavar="WHERE",
        help="carbon intensity: world, a country code such as DK, g/kWh, or live:DK with a key of Electricity Maps "
        f"(default: {kept})",
    )
    default_pue = "the run's own" if grid is None else "1.58, the average of data centres"
    parser.add_argument("--pue", type=float, metavar="P", help=f"power usage effectiveness (default: {default_pue})")
    parser.add_argument(
        "--embodied",
        nargs="?",
        const="table",
        metavar="KG",
        help="also share out the making of the hardware: kgCO2e of one device, or nothing to look it up "
        "(default: leave it out)",
    )
    parser.add_argument(
        "--lifetime-years",
        type=float,
        default=5.0,
        metavar="Y",
        help="lifespan of the hardware for --embodied; 3 is usual in the cloud (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the record there (default: do not)")


def _measure(options: argparse.Namespace) -> None:
    import sys

    from carbon_midl.footprint import DEFAULT_PUE, Tracker, carbon_intensity
    from carbon_midl.footprint.discovery import discover_sensors
    from carbon_midl.footprint.program import run_program

    _check_json(options.json)
    found = discover_sensors()
    hardware = {sensor.component: sensor.hardware for sensor in found.sensors}
    tracker = Tracker(
        ".",
        epochs=1,
        pue=DEFAULT_PUE if options.pue is None else options.pue,
        intensity=carbon_intensity(options.grid),
        carbontracker=False,
        idle_s=options.idle,
        embodied=_embodied(options, hardware),
        sensors=found,
    )
    with tracker, tracker.window(_WINDOW):
        code = run_program(options.program)
    print(tracker.record.describe(_WINDOW), file=sys.stderr)
    _write_json(options.json, tracker.record)
    if code:
        raise SystemExit(code)


def _sensors(options: argparse.Namespace) -> None:
    from carbon_midl.footprint.discovery import discover_sensors

    found = discover_sensors()
    try:
        for sensor in found.sensors:
            print(f"{sensor.component:<8} {sensor.hardware}\n         {sensor.method}\n         {sensor.coverage}")
        for sensor in found.checks:
            print(f"{sensor.component:<8} also, as a check: {sensor.method}")
        for reason in found.missing:
            print(f"missing  {reason}")
        if options.read:
            _read(found.sensors)
    finally:
        for sensor in (*found.sensors, *found.checks):
            sensor.close()


def _read(sensors: Sequence[Any]) -> None:
    import time

    from carbon_midl.footprint.meter import Meter

    start_s = time.perf_counter()
    meters = [Meter(sensor, start_s) for sensor in sensors]
    for _ in range(3):
        time.sleep(1)
        for meter in meters:
            meter.update(time.perf_counter())
    elapsed_s = time.perf_counter() - start_s
    for meter in meters:
        problems = "".join(f"; {note}" for note in meter.notes)
        print(f"{meter.sensor.component:<8} {meter.energy_j / elapsed_s:.4g} W over {elapsed_s:.1f} s{problems}")


def _recost(options: argparse.Namespace) -> None:
    from carbon_midl.footprint import recost_run

    _check_json(options.json)
    record = recost_run(options.run, options.grid, options.pue)
    embodied = _embodied(options, record.hardware)
    if embodied is not None:
        record = record.with_embodied(embodied)
    print(record.describe(options.window))
    _write_json(options.json, record)


def _embodied(options: argparse.Namespace, hardware: dict[str, str]) -> Any:
    from carbon_midl.errors import InputError
    from carbon_midl.footprint.embodied import embodied_of

    if options.embodied is None:
        return None
    try:
        total_kg = None if options.embodied == "table" else float(options.embodied)
    except ValueError:
        raise InputError(
            f"--embodied: found {options.embodied!r}, expected kgCO2e of making one device, or nothing to look it up"
        ) from None
    return embodied_of(hardware, total_kg, options.lifetime_years)


def _check_json(path: Path | None) -> None:
    """Refuse a place that cannot be written to before anything runs, not after."""
    from carbon_midl.errors import InputError

    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError(f"--json {path}: found no place for a file, expected one in a directory that exists")


def _write_json(path: Path | None, record: "FootprintRecord") -> None:
    from carbon_midl.files import write_json

    if path is not None:
        write_json(path, record.to_dict())
