"""How many crops a second are trained on: both recipes and MONAI's BasicUNet, side by side in one run.

    python -m benchmarks.training [--filters 4 16 32] [--size 128] [--batch-size 16] [--rounds 5] [--record]

Three contenders train on the same random crops with Adam, cross-entropy and soft Dice, data loading included:

- `efficient` and `reference`, the recipes of this project, on its U-Net;
- MONAI's BasicUNet with as many filters at each level, one more level and two convolutions a block, in the plain way:
  fp32, eager, a DataLoader with workers, `DiceCELoss`.

They take turns; a ratio is that of one turn. GFLOP/s counts two operations a multiply–accumulate and three passes'
worth a step (forward, and backward twice as much), for each network's own convolutions; beside it stands what a large
matrix product reaches on the same machine, in the number format of the recipe. Where the hardware has no units for
bf16 nothing is computed in it: a large product would take minutes.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.record import Finding, record
from carbon_midl.lidc.crops import CropArchive, CropWriter, Intensity
from carbon_midl.study.devices import number_format
from carbon_midl.training.batches import plan_epoch
from carbon_midl.training.data import parse_target
from carbon_midl.training.fit import build_model
from carbon_midl.training.options import RunOptions
from carbon_midl.training.recipes import RECIPES, Reference, device
from carbon_midl.training.scoring import LOSSES
from carbon_midl.units import plural

# Enough to outlast the start of worker processes, few enough for a wide network on two cores.
BATCHES = {4: 40, 8: 20, 16: 8, 24: 4, 32: 3, 48: 3, 64: 3}
GPU_BATCHES = 200
# Not timed: workers start, kernels are chosen, a CUDA graph is captured.
WARM_UP = {"cpu": 1, "cuda": 8}
PASSES_A_STEP = 3
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
Contender = Callable[[], Iterator[Tensor]]


def main() -> None:
    """Let them take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--filters", type=int, nargs="+", default=[4, 16, 32], choices=BATCHES, help="(default: 4 16 32)"
    )
    parser.add_argument("--size", type=int, default=128, help="px (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="put the findings into the table of README.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    efficient = RECIPES["efficient"](device())
    peaks = {name: matrix_gflops(FORMATS[name]) for name in dict.fromkeys(("fp32", efficient.precision))}
    print(f"recipe efficient: {number_format('efficient')}", flush=True)
    found = []
    for filters in options.filters:
        batches = BATCHES[filters] if device().type == "cpu" else GPU_BATCHES
        crops = (batches + WARM_UP[device().type]) * options.batch_size
        with tempfile.TemporaryDirectory() as folder:
            archive = random_crops(Path(folder) / "crops", options.size, crops)
            contenders = {
                "efficient": ours("efficient", archive, filters, options.batch_size),
                "reference": ours("reference", archive, filters, options.batch_size),
                "MONAI": monai(archive, filters, options.batch_size),
            }
            rates: dict[str, list[float]] = {name: [] for name in contenders}
            for turn in range(options.rounds):
                for name in np.roll(list(contenders), turn):
                    rates[name].append(crops_per_s(contenders[name], batches, options.batch_size))
        ours_gflop, monai_gflop = (
            gflop_a_crop(network, options.size)
            for network in (build_model(RunOptions(filters=filters)), basic(filters))
        )
        median = {name: statistics.median(values) for name, values in rates.items()}
        for name, gflop in (("efficient", ours_gflop), ("reference", ours_gflop), ("MONAI", monai_gflop)):
            peak = efficient.precision if name == "efficient" else "fp32"
            done = median[name] * gflop
            print(
                f"F = {filters:<3} {name:<10} {median[name]:7.1f} crops/s  {done:6.1f} GFLOP/s, "
                f"{done / peaks[peak]:.0%} of a matrix product's {peaks[peak]:.0f} ({peak})",
                flush=True,
            )
        for other, beside in (("MONAI", "MONAI's BasicUNet, plain"), ("reference", "recipe `reference`")):
            ratios = [one / two for one, two in zip(rates["efficient"], rates[other], strict=True)]
            text = f"{statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})"
            print(f"F = {filters:<3} efficient beside {other}: {text}", flush=True)
            other_gflop = ours_gflop if other == "reference" else monai_gflop
            found.append(
                Finding(
                    f"training, F = {filters}, {options.size} px, recipe `efficient` ({efficient.precision})",
                    beside,
                    f"{text}: {median['efficient']:.0f} and {median[other]:.0f} crops/s, "
                    f"{median['efficient'] * ours_gflop:.0f} and {median[other] * other_gflop:.0f} GFLOP/s",
                )
            )
    products = " and ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in peaks.items())
    print(f"a large matrix product: {products}")
    if options.record:
        machine = torch.cuda.get_device_name() if torch.cuda.is_available() else plural(options.threads, "thread")
        units = "with" if efficient.precision == "bf16" else "without"
        found.append(Finding("a large matrix product", "–", products))
        record("training.py", found, f"{machine}, {units} units for bf16", efficient.precision)


def ours(recipe_name: str, archive: CropArchive, filters: int, batch_size: int) -> Contender:
    """A recipe of this project."""
    recipe = RECIPES[recipe_name](device())
    model = recipe.place(build_model(RunOptions(filters=filters)))
    step = recipe.step(model, recipe.optimiser(model, 1e-3), LOSSES["bce+dice"], batch_size)
    batches = recipe.batches(archive, np.arange(len(archive)), parse_target("at least 2"))
    draws = plan_epoch(0, 1, len(archive), augment=True)
    return lambda: (step(images, targets) for images, targets in batches.shuffled(draws, batch_size))


def monai(archive: CropArchive, filters: int, batch_size: int) -> Contender:
    """MONAI's network and loss in a plain loop, fed as the reference recipe is."""
    model = basic(filters).to(device())
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    loss = DiceCELoss(sigmoid=True)
    batches = Reference(device()).batches(archive, np.arange(len(archive)), parse_target("at least 2"))
    draws = plan_epoch(0, 1, len(archive), augment=True)

    def train() -> Iterator[Tensor]:
        model.train()
        for images, targets in batches.shuffled(draws, batch_size):
            optimiser.zero_grad()
            value = loss(model(images), targets)
            value.backward()
            optimiser.step()
            yield value.detach()

    return train


def basic(filters: int) -> BasicUNet:
    """MONAI's U-Net of this width."""
    widths = [filters * 2**level for level in range(5)]
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=(*widths, filters))


def crops_per_s(contender: Contender, batches: int, batch_size: int) -> float:
    """Speed after the warm-up."""
    steps = contender()
    for _ in range(WARM_UP[device().type]):
        loss = next(steps)
    float(loss)
    started = perf_counter()
    for _ in range(batches):
        loss = next(steps)
    float(loss)  # waits for a GPU
    return batches * batch_size / (perf_counter() - started)


def gflop_a_crop(network: torch.nn.Module, size: int) -> float:
    """Operations of one training step for one crop, in units of 10**9."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 1, size, size))
    return float(PASSES_A_STEP * counter.get_total_flops() / 1e9)


def matrix_gflops(dtype: torch.dtype, size: int = 3072) -> float:
    """The fastest of five products of two large square matrices."""
    a = torch.randn(size, size, device=device()).to(dtype)
    durations_s = []
    for _ in range(5):
        started = perf_counter()
        float((a @ a)[0, 0])
        durations_s.append(perf_counter() - started)
    return 2 * size**3 / min(durations_s) / 1e9


def random_crops(out: Path, size: int, count: int) -> CropArchive:
    """Noise with a disc in it; how fast it is trained on does not depend on what is seen."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - size / 2
    masks = np.broadcast_to(np.hypot(x, y) < size / 8, (4, size, size))
    with CropWriter(out, size, Intensity("noise", 0, 255), {"kind": "noise", "licence": "none"}) as crops:
        for number in range(count):
            image = generator.integers(0, 256, (size, size), dtype=np.uint8)
            crops.add(image, masks, patient_id="noise", nodule=0, slice=number)
    return CropArchive.open(out)


if __name__ == "__main__":
    main()
