"""``carbon-midl footprint``: the footprint of any program, of a stored run, and the sensors of this machine."""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action, room
from carbon_midl.errors import InputError

if TYPE_CHECKING:
    from carbon_midl.footprint import Embodied, FootprintRecord

ROOM = "footprint"
_ACTIONS = ("measure", "sensors", "recost")
_WINDOW = "program"
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_KILLED = 128
_MEASURE_EPILOG = """\
What the program prints goes where it would go; the footprint is written to standard error. The exit code is the
program's. A program that is interrupted has used what it has used.

examples:
  carbon-midl footprint -- python train.py --epochs 3
  carbon-midl footprint --grid FR --pue 1.2 --json footprint.json -- make test
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
        help=f"carbon intensity: world, a country code such as DK, or g/kWh (default: {kept})",
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
    from carbon_midl.footprint import DEFAULT_PUE, Tracker, carbon_intensity, describe
    from carbon_midl.footprint.sensors import discover_sensors

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
    print(describe(tracker.record, _WINDOW), file=sys.stderr)
    _write_json(options.json, tracker.record)
    if code:
        raise SystemExit(code)


def _sensors(options: argparse.Namespace) -> None:
    from carbon_midl.footprint.sensors import discover_sensors

    found = discover_sensors()
    try:
        for sensor in found.sensors:
            print(f"{sensor.component:<8} {sensor.hardware}\n         {sensor.method}\n         {sensor.coverage}")
        for reason in found.missing:
            print(f"missing  {reason}")
        if options.read:
            _read(found.sensors)
    finally:
        for sensor in found.sensors:
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
    from carbon_midl.footprint import describe, read_footprint

    _check_json(options.json)
    record = read_footprint(options.run).recost(options.grid, options.pue)
    record = dataclasses.replace(record, embodied=_embodied(options, record.hardware) or record.embodied)
    print(describe(record, options.window))
    _write_json(options.json, record)


def _embodied(options: argparse.Namespace, hardware: dict[str, str]) -> "Embodied | None":
    from carbon_midl.footprint.grid import embodied_of

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
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError(f"--json {path}: found no place for a file, expected one in a directory that exists")


def _write_json(path: Path | None, record: "FootprintRecord") -> None:
    from carbon_midl.files import write_json

    if path is not None:
        write_json(path, record.to_dict())


def run_program(command: Sequence[str]) -> int:
    """Run a program to its end and return its exit code, 128 + n where signal n ended it, as a shell does.

    Signals that ask this process to end, or that a program may use, go to the program instead.

    Args:
        command: the program and its arguments; no shell reads them.

    Raises:
        InputError: there is no such program, or it cannot be executed.
    """
    process: subprocess.Popen[bytes] | None = None
    waiting: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        if process is None:
            waiting.append(number)
        elif not (number in (signal.SIGINT, signal.SIGQUIT) and _is_in_foreground()):
            process.send_signal(number)

    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        process = subprocess.Popen(command)
        for number in waiting:
            process.send_signal(number)
        code = process.wait()
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be run ({error.strerror}); check its name, or give its path") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else _KILLED - code


def _is_in_foreground() -> bool:
    """Whether the terminal's keys (Ctrl-C) reach the program, too: a second signal would cut its ending short."""
    try:
        return os.tcgetpgrp(sys.__stdin__.fileno()) == os.getpgrp()  # type: ignore[union-attr]
    except (OSError, AttributeError, ValueError):
        return False
