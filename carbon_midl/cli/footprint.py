"""``carbon-midl footprint`` and ``report``: the footprint of any program, of a stored run, and in words for papers."""

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option, Typer, progressbar
from typer.core import TyperGroup

from carbon_midl.cli.command import examples, print_table
from carbon_midl.errors import InputError
from carbon_midl.files import write_json
from carbon_midl.footprint import DEFAULT_PUE, Tracker, carbon_intensity, describe, read_footprint
from carbon_midl.footprint.grid import LOCAL_LIFETIME_YEARS, WATER_L_PER_KWH, embodied_g
from carbon_midl.footprint.instruments import INSTRUMENTS, readings
from carbon_midl.footprint.meter import J_PER_KWH, FoundSensors
from carbon_midl.footprint.report import to_markdown
from carbon_midl.footprint.sensors import discover_sensors
from carbon_midl.footprint.tracker import PARTS, steadiness
from carbon_midl.footprint.uncertainty import METERS, PUBLISHED
from carbon_midl.study.devices import number_format
from carbon_midl.units import carbon, energy

_FROM_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
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
RecordFile = Annotated[Path | None, Option(help="also write the record there")]


@footprint.command(
    epilog=examples(
        "carbon-midl footprint -- python train.py --epochs 3",
        "carbon-midl footprint --grid FR --json footprint.json -- make test",
    ),
)
def measure(
    program: Annotated[list[str], Argument(metavar="COMMAND", help="the program and its arguments, after `--`")],
    grid: Annotated[str, Option(help=WHERE)] = "world",
    pue: Annotated[float, Option(help=f"{PUE}; {DEFAULT_PUE} is the average of data centres")] = DEFAULT_PUE,
    json: RecordFile = None,
    idle: Annotated[float, Option(help="seconds to measure idle power before, with a sensor; 0 leaves it out")] = 2.0,
) -> None:
    """Measure a program.

    `footprint -- COMMAND` is short for it. What the program prints goes where it would go; the footprint is written to
    standard error. The exit code is the program's. A program that is interrupted has used what it has used.
    """
    _check_json(json)
    tracker = Tracker(".", 1, pue, carbon_intensity(grid), carbontracker=False, idle_s=idle)
    with tracker, tracker.window("program"):
        code = run_program(program)
    print(describe(tracker.record, "program"), file=sys.stderr)
    if json:
        write_json(json, tracker.record.to_dict())
    raise Exit(code)


@footprint.command(epilog=examples("carbon-midl footprint sensors --check --seconds 5"))
def sensors(
    check: Annotated[bool, Option("--check", help="also measure how well they repeat")] = False,
    seconds: Annotated[float | None, Option(help="check: of a window", show_default="2")] = None,
    repeats: Annotated[int | None, Option(help="check: windows of each kind", show_default="10")] = None,
) -> None:
    """Tell which sensors this machine has.

    Of those that it lacks, it tells why, and how to allow them; and in which number format is trained.

    With `--check`, idle windows and windows of equal work are measured again and again: for a difference of how many
    per cent between two programs is this machine's meter good enough?
    """
    if not check and (seconds is not None or repeats is not None):
        raise InputError("--seconds, --repeats: of --check, which is missing.")
    found = discover_sensors()
    for sensor in found.sensors:
        error = METERS.get((sensor.component.split()[0], sensor.method), PUBLISHED)
        known = f"right within a factor of {1 + error.relative:g} (95 %): {error.source}"
        print(f"{sensor.component:<8} {sensor.hardware}", sensor.method, sensor.coverage, known, sep=f"\n{'':<9}")
        sensor.close()
    for reason in found.missing:
        print(f"missing  {reason}")
    print(f"format   {number_format('efficient')} (recipe efficient)")
    if check:
        _check_steadiness(discover_sensors(), 2.0 if seconds is None else seconds, 10 if repeats is None else repeats)


def _check_steadiness(sensors: FoundSensors, seconds: float, repeats: int) -> None:
    """Measure how well the sensors repeat, and print it."""
    from carbon_midl.study.results import named_rows

    with progressbar(length=2 * PARTS * repeats, label="idle, then a steady load", file=sys.stderr) as bar:
        found = steadiness(sensors, _steady_load(), seconds, repeats, progress=bar.update)
    rows: list[Sequence[str]] = [("component", "idle", "spread", "load", "spread", "spread of 1 %")]
    for row in named_rows(found):
        idle, load = (f"{100 * spread:.2g} %" if spread < 1 else "–" for spread in (row.idle_spread, row.spread))
        shortest = f"from {row.shortest_s:.2g} s on" if row.shortest_s > 0 else "no window so long"
        rows.append((row.component, f"{row.idle_w:.3g} W", idle, f"{row.load_w:.3g} W", load, shortest))
    print()
    print_table(rows)
    print(
        f"\nGood enough for differences of {100 * row.difference:.2g} % or more between two programs, with {repeats} "
        f"windows of {seconds:g} s of each (95 %).\nThat is how well the meter repeats; how right it is stands above."
    )


def _steady_load() -> Callable[[], object]:
    """A few milliseconds of steady work, a product of matrices; on a GPU, too, where torch can use one."""
    import numpy as np
    import torch

    matrix = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    if not torch.cuda.is_available():
        return lambda: matrix @ matrix
    on_gpu = torch.rand(4096, 4096, device="cuda")
    return lambda: (matrix @ matrix, (on_gpu @ on_gpu).sum().item())  # the sum waits for it


@footprint.command(epilog=examples("carbon-midl footprint recost runs/demo/filters-4-seed-0 --grid FR"))
def recost(
    run: Annotated[Path, Argument(metavar="RUN", help="directory of a run, or its result.json or footprint.json")],
    grid: Annotated[str | None, Option(help=WHERE, show_default="the run's own")] = None,
    pue: Annotated[float | None, Option(help=PUE, show_default="the run's own")] = None,
    embodied_kg: Annotated[float | None, Option(help="also share out these kgCO2e of making the hardware")] = None,
    lifetime_years: Annotated[float, Option(help="of the hardware; 3 is usual in the cloud")] = LOCAL_LIFETIME_YEARS,
    uses: Annotated[int, Option(min=0, help="also show what so many uses of the network take")] = 0,
    use_j: Annotated[float | None, Option(min=0, help="energy of a use in J, for `--uses`")] = None,
    json: RecordFile = None,
    window: Annotated[str, Option(help="the part of the run to show")] = "training",
) -> None:
    """Show a run's footprint on another grid.

    Nothing is written, unless `--json` names a file.
    """
    _check_json(json)
    if uses and use_j is None:
        raise InputError("--uses: needs --use-j, the energy of a use in J, as carbon-midl model use tells it.")
    record = read_footprint(run).recost(grid, pue)
    if json:
        write_json(json, record.to_dict())
    print(describe(record, window))
    if embodied_kg is not None:
        grams = carbon(embodied_g(embodied_kg, record.window(window).duration_s, lifetime_years))
        print(f"Embodied, apart from the above: {grams} of {embodied_kg:g} kgCO2e over {lifetime_years:g} years")
    if use_j is not None:
        kwh = uses * use_j / J_PER_KWH
        print(f"Use, apart from the above: {energy(kwh)} before PUE, {carbon(record.carbon_g(kwh))}, {uses:,} times")


@footprint.command(epilog=examples("carbon-midl footprint compare results/lidc/filters-64-seed-0 --water DK"))
def compare(
    run: Annotated[Path, Argument(metavar="RUN", help="as of recost, or a run's name below a study's results")],
    only: Annotated[list[str] | None, Option(help=f"one of {', '.join(INSTRUMENTS)}; may be repeated")] = None,
    water: Annotated[str | None, Option(help="add the litres of generating it: world, or a country code")] = None,
    window: Annotated[str, Option(help="the part of the run to show")] = "training",
) -> None:
    """Show what five instruments would report.

    Each has its own defaults. In its columns, – is not counted, and ? needs what the run's record does not hold.
    """
    from carbon_midl.study.results import read_run_footprint

    if water and water not in WATER_L_PER_KWH:
        raise InputError(f"water: found {water!r}, expected a place with a figure: {', '.join(WATER_L_PER_KWH)}")
    found, litres_per_kwh = readings(read_run_footprint(run), window, only or ()), WATER_L_PER_KWH.get(water or "", 0.0)
    rows = [["", "cpu", "gpu", "memory", "before PUE", "PUE", "after PUE", "g/kWh", "CO2eq", "ratio", "water"]]
    for one in found:
        parts = [_told(kwh, energy) for kwh in (one.cpu_kwh, one.gpu_kwh, one.memory_kwh)]
        least, used_kwh = "≥ " if "?" in parts else "", one.energy_kwh * one.pue
        rows.append([
            one.instrument, *parts, _told(one.energy_kwh, energy, least), f"{one.pue:g}",
            _told(used_kwh, energy, least), f"{one.g_per_kwh:.4g}", _told(one.carbon_g, carbon, least),
            _told(one.carbon_g / (found[0].carbon_g or math.nan), "{:.2f}".format, least),
            _told(1000 * litres_per_kwh * used_kwh, "{:.3g} mL".format, least),
        ])  # fmt: skip
    print_table([row if water else row[:-1] for row in rows])
    print("", *(f"{one.instrument}: {one.how}" for one in found), sep="\n")
    if water:
        print(f"water: after PUE, {litres_per_kwh:g} L/kWh; World Resources Institute 2020")


def _told(value: float, form: Callable[[float], str], least: str = "") -> str:
    return "?" if math.isnan(value) else least + form(value) if value else "–"


def _check_json(path: Path | None) -> None:
    """Refuse a place that cannot be written to before anything runs, not after."""
    if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise InputError(f"--json {path}: found no place for a file, expected one in a directory that exists")


def run_program(command: Sequence[str]) -> int:
    """Run a program to its end and return its exit code, 128 + n where signal n ended it, as a shell does.

    Meanwhile this process does not end by itself: keys such as Ctrl-C reach the program from the terminal, and other
    signals that ask for an end, or that a program may use, are passed on to it.
    """
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be run ({error.strerror}); check its name, or give its path") from None
    before = {number: signal.signal(number, lambda *_: None) for number in _FROM_THE_TERMINAL}
    for number in _FORWARDED:
        before[number] = signal.signal(number, lambda number, _: process.send_signal(number))
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else _KILLED - code


@app.command(
    epilog=examples(
        "carbon-midl report runs/demo/filters-4-seed-0",
        "carbon-midl report runs/demo/results --location Paris",
    )
)
def report(
    run: Annotated[Path, Argument(metavar="RUN", help="directory of a run, or of a study's results")],
    location: Annotated[str | None, Option(help="where the machine stood, for the model card")] = None,
) -> None:
    """Report a footprint for a paper, a model card.

    It is that of a run or a study: a paragraph, a checklist and a block for Hugging Face's model cards.
    """
    from carbon_midl.study.results import read_compute

    print(to_markdown(read_compute(run), location))
