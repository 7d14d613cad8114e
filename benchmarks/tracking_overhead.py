"""What tracking costs: the same training work with and without a tracker, side by side in one run.

    python -m benchmarks.tracking_overhead [--rounds 8] [--epochs 3] [--epoch-s 5] [--gpus 8] [--record]

Each round does a fixed number of small convolution steps three times, in turning order: without a tracker, with this
machine's sensors and, made up, so many GPUs (each with an energy counter), and with carbontracker beside that. Printed
are medians over rounds of the ratio of CPU times, which other programs disturb less than the clock. As the difference
of two large numbers is noisy, tracking is also measured alone: the CPU time of the process while it does nothing but
wait inside the windows, as a share of the time that passes.

The made-up GPUs answer at once; the time that a real driver takes for an answer is not in it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from benchmarks.record import Finding, record
from carbon_midl.footprint import Sensor, Tracker
from carbon_midl.footprint.meter import FoundSensors
from carbon_midl.footprint.nvml import COUNTER_INTERVAL_S
from carbon_midl.footprint.sensors import discover_sensors

Kind = Literal["none", "tracker", "tracker and carbontracker"]
KINDS: tuple[Kind, ...] = ("none", "tracker", "tracker and carbontracker")


class MadeUpGpu(Sensor):
    """A GPU of 300 W, by its counter."""

    hardware = "made up"
    coverage = "nothing real"
    method = "made up"
    quantity = "energy_j"
    sample_interval_s = COUNTER_INTERVAL_S

    def __init__(self, number: int) -> None:
        self.component = f"gpu {number}"

    def read(self) -> float:
        """Joules."""
        return 300.0 * time.perf_counter()


def sensors(gpus: int) -> FoundSensors:
    """This machine's sensors and so many made-up GPUs."""
    found = discover_sensors()
    return FoundSensors((*found.sensors, *(MadeUpGpu(number) for number in range(gpus))), found.missing)


def make_tracker(kind: Kind, epochs: int, gpus: int, folder: str) -> Tracker:
    """A tracker without the seconds of idle power, which are no overhead of the training."""
    return Tracker(folder, epochs, carbontracker="carbontracker" in kind, idle_s=0, sensors=sensors(gpus))


def tracked_s(kind: Kind, epochs: int, gpus: int, work: Callable[[], None]) -> tuple[float, float]:
    """CPU time and elapsed time of `work` in each of `epochs` windows, s; starting and ending a tracker left out."""
    with tempfile.TemporaryDirectory() as folder:
        tracker = None if kind == "none" else make_tracker(kind, epochs, gpus, folder)
        with nullcontext() if tracker is None else tracker:
            started_s, started_cpu_s = time.perf_counter(), time.process_time()
            with nullcontext() if tracker is None else tracker.window("training"):
                for number in range(1, epochs + 1):
                    around: AbstractContextManager[None] = nullcontext() if tracker is None else tracker.epoch(number)
                    with around:
                        work()
            return time.process_time() - started_cpu_s, time.perf_counter() - started_s


def training_step() -> Callable[[], None]:
    """One step of a small convolutional network on one thread, the same work each time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 3, padding=1)
    )
    optimiser = torch.optim.Adam(model.parameters())
    images = torch.randn(4, 1, 64, 64)

    def step() -> None:
        optimiser.zero_grad()
        model(images).square().mean().backward()
        optimiser.step()

    return step


def steps_in(step: Callable[[], None], cpu_s: float) -> int:
    """How many steps take about so much CPU time."""
    for _ in range(20):
        step()
    started_s, count = time.process_time(), 0
    while time.process_time() - started_s < 1:
        step()
        count += 1
    return max(1, round(count * cpu_s))


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--epoch-s", type=float, default=5.0)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    options = parser.parse_args()
    step = training_step()
    steps = steps_in(step, options.epoch_s)

    def train() -> None:
        for _ in range(steps):
            step()

    cpu_s: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for round_number in range(options.rounds):
        turn = round_number % len(KINDS)
        for kind in (*KINDS[turn:], *KINDS[:turn]):
            cpu_s[kind].append(tracked_s(kind, options.epochs, options.gpus, train)[0])
    print(f"CPU time of {options.epochs} epochs of about {options.epoch_s:g} s, {options.rounds} rounds:")
    found = []
    for kind in KINDS[1:]:
        ratios = [tracked / bare for tracked, bare in zip(cpu_s[kind], cpu_s["none"], strict=True)]
        low, high = min(ratios), max(ratios)
        times = f"{statistics.median(ratios):.4f} times ({low:.4f} to {high:.4f})"
        print(f"  {kind:<26} {times} without")
        found.append(Finding(f"CPU time of training with {kind}, {options.gpus} made-up GPUs", "without", times))
    print(f"Alone, while the process waits for {options.epochs} epochs of {options.epoch_s:g} s:")
    share = {}
    for kind in KINDS:
        used_s, elapsed_s = tracked_s(kind, options.epochs, options.gpus, lambda: time.sleep(options.epoch_s))
        share[kind] = used_s / elapsed_s
    alone = f"{share['tracker'] - share['none']:.3%} of one core"
    print(f"  {'tracker':<26} {alone}")
    print(f"  {'carbontracker, beside it':<26} {share['tracker and carbontracker'] - share['tracker']:.3%} of one core")
    if options.record:
        found.append(Finding("the tracker alone, while nothing else runs", "–", alone))
        record("tracking_overhead.py", found, "one core")


if __name__ == "__main__":
    main()
