"""``carbon-midl footprint`` and ``report``: the footprint of any program, of a stored run, and in words for papers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

from typer import Argument, Exit, Option, Typer
from typer.core import TyperGroup

from carbon_midl.cli.command import Command, examples
from carbon_midl.errors import InputError
from carbon_midl.files import write_json, write_text
from carbon_midl.footprint import DEFAULT_PUE, Embodied, Tracker, carbon_intensity, describe, read_footprint
from carbon_midl.footprint.grid import embodied_of
from carbon_midl.footprint.meter import Meter
from carbon_midl.footprint.report import checklist, model_card, paragraph, to_markdown
from carbon_midl.footprint.sensors import discover_sensors

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_KILLED = 128


class MeasureByDefault(TyperGroup):
    """Takes ``footprint -- COMMAND`` for ``footprint measure -- COMMAND``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with ``measure`` where no action is named before ``--``."""
        if "--" in args and args[0] not in self.commands:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


app = Typer()
footprint = Typer(
    cls=MeasureByDefault,
    no_args_is_help=True,
    help="The footprint of any program or stored run.",
    epilog=examples("carbon-midl footprint -- python train.py --epochs 3"),
)
app.add_typer(footprint, name="footprint")

WHERE = "carbon intensity: world, a country code such as DK, or g/kWh"
PUE = "power usage effectiveness"
HardwareKg = Annotated[
    str | None,
    Option(metavar="[KG]", help="also share out the making of the hardware: kgCO2e of it, or nothing to look it up"),
]
Lifetime = Annotated[float, Option(help="of the hardware, for `--embodied`; 3 is usual in the cloud")]
RecordFile = Annotated[Path | None, Option(help="also write the record there")]


@footprint.command(
    cls=Command,
    epilog=examples(
        "carbon-midl footprint -- python train.py --epochs 3",
        "carbon-midl footprint --grid FR --json footprint.json -- make test",
    ),
)
def measure(
    program: Annotated[list[str], Argument(metavar="COMMAND", help="the program and its arguments, after `--`")],
    grid: Annotated[str, Option(help=WHERE)] = "world",
    pue: Annotated[float, Option(help=f"{PUE}; {DEFAULT_PUE} is the average of data centres")] = DEFAULT_PUE,
    embodied: HardwareKg = None,
    lifetime_years: Lifetime = 5.0,
    json: RecordFile = None,
    idle: Annotated[float, Option(help="seconds to measure idle power before, with a sensor; 0 leaves it out")] = 2.0,
) -> None:
    """Measure a program.

    `footprint -- COMMAND` is short for it. What the program prints goes where it would go; the footprint is written to
    standard error. The exit code is the program's. A program that is interrupted has used what it has used.
    """
    _check_json(json)
    found = discover_sensors()
    tracker = Tracker(
        ".",
        epochs=1,
        pue=pue,
        intensity=carbon_intensity(grid),
        carbontracker=False,
        idle_s=idle,
        embodied=_embodied(embodied, {one.component: one.hardware for one in found.sensors}, lifetime_years),
        sensors=found,
    )
    with tracker, tracker.window("program"):
        code = run_program(program)
    print(describe(tracker.record, "program"), file=sys.stderr)
    if json:
        write_json(json, tracker.record.to_dict())
    raise Exit(code)


@footprint.command()
def sensors(
    read: Annotated[bool, Option("--read", help="also read each of them once a second for three seconds")] = False,
) -> None:
    """Tell which sensors this machine has.

    Of those that it lacks, it tells why, and how to allow them.
    """
    found = discover_sensors()
    try:
        for sensor in found.sensors:
            print(f"{sensor.component:<8} {sensor.hardware}\n         {sensor.method}\n         {sensor.coverage}")
        for reason in found.missing:
            print(f"missing  {reason}")
        if read:
            _print_power(found.sensors)
    finally:
        for sensor in found.sensors:
            sensor.close()


def _print_power(sensors: Sequence[Any]) -> None:
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


@footprint.command(cls=Command, epilog=examples("carbon-midl footprint recost runs/demo/filters-4-seed-0 --grid FR"))
def recost(
    run: Annotated[Path, Argument(metavar="RUN", help="directory of a run, or its result.json or footprint.json")],
    grid: Annotated[str | None, Option(help=WHERE, show_default="the run's own")] = None,
    pue: Annotated[float | None, Option(help=PUE, show_default="the run's own")] = None,
    embodied: HardwareKg = None,
    lifetime_years: Lifetime = 5.0,
    json: RecordFile = None,
    window: Annotated[str, Option(help="the part of the run to show")] = "training",
) -> None:
    """Show a run's footprint on another grid.

    Nothing is written, unless `--json` names a file.
    """
    _check_json(json)
    record = read_footprint(run).recost(grid, pue)
    record = replace(record, embodied=_embodied(embodied, record.hardware, lifetime_years) or record.embodied)
    print(describe(record, window))
    if json:
        write_json(json, record.to_dict())


def _embodied(asked: str | None, hardware: dict[str, str], lifetime_years: float) -> Embodied | None:
    if asked is None:
        return None
    try:
        total_kg = None if asked == "table" else float(asked)
    except ValueError:
        raise InputError(
            f"--embodied: found {asked!r}, expected kgCO2e of making one device, or nothing to look it up"
        ) from None
    return embodied_of(hardware, total_kg, lifetime_years)


def _check_json(path: Path | None) -> None:
    """Refuse a place that cannot be written to before anything runs, not after."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError(f"--json {path}: found no place for a file, expected one in a directory that exists")


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


@app.command(
    epilog=examples(
        "carbon-midl report runs/demo/filters-4-seed-0",
        "carbon-midl report runs/demo/results --only model-card --location Paris",
    )
)
def report(
    run: Annotated[Path, Argument(metavar="RUN", help="directory of a run, or of a study's results")],
    only: Annotated[Literal["paragraph", "checklist", "model-card"] | None, Option(help="print this alone")] = None,
    out: Annotated[Path | None, Option(help="write to a file, print nothing")] = None,
    location: Annotated[str | None, Option(help="where the machine stood, for the model card")] = None,
    training_type: Annotated[Literal["pre-training", "fine-tuning"], Option(help="for the card")] = "pre-training",
) -> None:
    """Report a footprint for a paper, a model card.

    It is that of a run or a study: a paragraph, a checklist and a block for Hugging Face's model cards.
    """
    from carbon_midl.study.results import read_compute

    compute = read_compute(run)
    if only == "model-card":
        text = model_card(compute, location, training_type) + "\n"
    elif only:
        text = {"paragraph": paragraph, "checklist": checklist}[only](compute) + "\n"
    else:
        text = to_markdown(compute, location, training_type)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(f"Report: {out}")
