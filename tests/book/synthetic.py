"""A made-up, deterministic study in the format of recorded results, with tiny executed notebooks."""

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
from PIL import Image

from carbon_midl.training.network import unet_size
from tests.selection.made_up import write_results

WIDTHS, SEEDS, EPOCHS, PATIENTS = (4, 8, 16, 32), (0, 1), 6, 14
DICE = {4: 0.61, 8: 0.66, 16: 0.69, 32: 0.70}
ENERGY_KWH = {4: 2.1e-4, 8: 3.4e-4, 16: 8.0e-4, 32: 2.9e-3}
PUE, INTENSITY = 1.58, 445.0


def make_study(directory: Path) -> tuple[Path, Path]:
    """Write ``directory/results`` and one executed notebook a run; return (results, runs)."""
    rng = np.random.default_rng(7)
    patients = [f"LIDC-IDRI-{number:04d}" for number in range(1, PATIENTS + 1)]
    crops = pd.MultiIndex.from_product([patients, range(4)], names=["patient_id", "slice"]).to_frame(index=False)
    crops["target_px"] = rng.integers(20, 600, len(crops))
    crops["predicted_px"] = (crops["target_px"] * 0.9).astype(int)
    crops["readers_dice"] = (0.72 + 0.0003 * crops["target_px"] + rng.normal(0, 0.03, len(crops))).clip(0, 1)
    crops["ease"] = np.repeat(rng.normal(0, 0.06, PATIENTS), 4) + 0.0003 * (crops["target_px"] - 300)
    runs, epochs, slices = [], [], []
    for width, seed in ((width, seed) for width in WIDTHS for seed in SEEDS):
        named: dict[str, Any] = {"run": f"filters-{width}-seed-{seed}", "filters": width, "seed": seed}
        dice = (DICE[width] + crops["ease"] + rng.normal(0, 0.04, len(crops))).clip(0, 1)
        slices.append(
            crops.assign(**named, nodule=0, dice=dice, overlap_px=(dice * 0.95 * crops["target_px"]).astype(int))
        )
        kwh, size = ENERGY_KWH[width] * rng.uniform(0.95, 1.05), unet_size(width, size=64)
        carbon = kwh * PUE * INTENSITY
        epochs += [
            {**named, "epoch": epoch, "train_loss": 0.6 / epoch, "val_loss": 0.7 / epoch,
             "val_dice": DICE[width] * (1 - 0.5**epoch), "duration_s": 2.0, "energy_kwh": kwh / EPOCHS}
            for epoch in range(1, EPOCHS + 1)
        ]  # fmt: skip
        runs.append({
            **named, "recipe": "reference", "parameters": size.parameters, "macs": size.macs,
            "epochs": EPOCHS, "epochs_trained": EPOCHS, "best_epoch": EPOCHS - 1,
            "val_dice": DICE[width], "test_dice": dice.mean(), "test_slices": len(crops), "test_patients": PATIENTS,
            "test_dice_patients": dice.groupby(crops["patient_id"]).mean().mean(), "duration_s": kwh / 3e-6,
            "energy_kwh": kwh, "energy_to_best_kwh": kwh * 5 / 6, "energy_whole_run_kwh": kwh * 1.1,
            "energy_cpu_kwh": kwh * 0.9, "energy_memory_kwh": kwh * 0.1,
            "energy_method": "estimated: TDP × utilisation; estimated: memory size",
            "pue": PUE, "intensity_g_per_kwh": INTENSITY, "carbon_g": carbon, "carbon_to_best_g": carbon * 5 / 6,
            "carbon_whole_run_g": carbon * 1.1, "carbontracker_energy_before_pue_kwh": kwh * 0.9,
        })  # fmt: skip
        write_notebook(directory / named["run"] / "notebook.ipynb")
    hardware = {"cpu": "Example CPU", "cores": 2, "memory_gb": 8, "gpu": []}
    write_results(
        directory / "results", pd.DataFrame(runs), pd.concat(slices), pd.DataFrame(epochs),
        crops={"fingerprint": "abc", "kind": "phantom", "patients": 70, "slices": 280, "size": 64,
               "source": {"kind": "phantom"}},
        options={"epochs": EPOCHS, "batch_size": 16, "learning_rate": 3e-3, "readers": "at least 2",
                 "schedule": "cosine", "augment": True, "recipe": "efficient"},
        widths=list(WIDTHS), seeds=list(SEEDS), abandoned={"attempts": 1, "energy_kwh": 1e-4, "carbon_g": 0.07},
        dates={"first": "2025-01-02T10:00:00+00:00", "last": "2025-01-02T10:04:00+00:00"},
        hardware=hardware, environments=[{"hardware": hardware}], commit="0123456789abcdef",
        versions={"python": "3.11.4", "torch": "2.13.0", "carbon_midl": "0.1.0"},
        sensors=["estimated: TDP × utilisation"], slices={"without_target": 20}, pue_sources=["world average"],
        footprint_notes=["cpu: one whole processor at 60 W"], split={"train": 42, "validation": 14, "test": 14},
        split_patients={"test": patients},
    )  # fmt: skip
    return directory / "results", directory


def write_notebook(path: Path) -> None:
    """An executed notebook with what trips an offline book: a widget, a progress bar on stderr, a picture."""
    picture = io.BytesIO()
    Image.new("L", (64, 64), 128).save(picture, "png")
    png = base64.b64encode(picture.getvalue()).decode()
    v4: Any = nbformat.v4
    outputs = [
        v4.new_output("stream", name="stderr", text="epoch 1\repoch 2\r"),
        v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}),
        v4.new_output("display_data", {"image/png": png, "text/plain": "<Figure>"}),
    ]
    cells = [
        v4.new_markdown_cell("# Train one U-Net\n\nOn made-up crops.", id="title"),
        v4.new_markdown_cell("## Example segmentations", id="heading"),
        v4.new_code_cell("show()", execution_count=1, outputs=outputs, id="picture"),
    ]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    }
    path.parent.mkdir(parents=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata=metadata), path)
