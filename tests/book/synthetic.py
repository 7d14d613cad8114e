"""A made-up, deterministic study in the format of recorded results, with tiny executed notebooks."""

import base64
import json
import struct
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd

from carbon_midl.training.network import unet_size

WIDTHS, SEEDS, EPOCHS, PATIENTS = (4, 8, 16, 32), (0, 1), 6, 14
DICE = {4: 0.61, 8: 0.66, 16: 0.69, 32: 0.70}
ENERGY_KWH = {4: 2.1e-4, 8: 3.4e-4, 16: 8.0e-4, 32: 2.9e-3}
PUE, INTENSITY = 1.58, 445.0


def make_study(directory: Path, dice: dict[int, float] | None = None, kind: str = "phantom") -> tuple[Path, Path]:
    """Write ``directory/results`` and one executed notebook a run; return (results, runs)."""
    dice = dice or DICE
    rng = np.random.default_rng(7)
    results = directory / "results"
    results.mkdir(parents=True)
    patient = [f"LIDC-IDRI-{number:04d}" for number in range(1, PATIENTS + 1)]
    ease = dict(zip(patient, rng.normal(0, 0.06, PATIENTS), strict=True))
    area = {(name, cut): int(rng.integers(20, 600)) for name in patient for cut in range(4)}
    readers = {key: float(np.clip(0.72 + 0.0003 * px + rng.normal(0, 0.03), 0, 1)) for key, px in area.items()}
    runs, epochs, slices = [], [], []
    for width in WIDTHS:
        for seed in SEEDS:
            run = f"filters-{width}-seed-{seed}"
            energy = ENERGY_KWH[width] * rng.uniform(0.95, 1.05)
            rows = []
            for (name, cut), px in area.items():
                score = float(np.clip(dice[width] + ease[name] + 0.0003 * (px - 300) + rng.normal(0, 0.04), 0, 1))
                overlap = int(score * px * 0.95)
                rows.append((run, width, seed, name, 0, cut, 4, px, int(px * 0.9), overlap, score, readers[name, cut]))
            slices += rows
            frame = pd.DataFrame(rows)
            for epoch in range(1, EPOCHS + 1):
                epochs.append(
                    (
                        run,
                        width,
                        seed,
                        epoch,
                        0.6 / epoch,
                        0.7 / epoch,
                        dice[width] * (1 - 0.5**epoch),
                        3e-3,
                        2.0,
                        energy / EPOCHS,
                    )
                )
            carbon = PUE * INTENSITY
            size = unet_size(width, size=64)
            runs.append({
                "study": "demo", "run": run, "filters": width, "seed": seed, "recipe": "reference",
                "parameters": size.parameters, "macs": size.macs, "epochs": EPOCHS, "epochs_trained": EPOCHS,
                "best_epoch": EPOCHS - 1, "val_dice": dice[width], "test_dice": frame[10].mean(),
                "test_dice_patients": frame.groupby(3)[10].mean().mean(), "test_slices": len(rows),
                "test_patients": PATIENTS,
                "duration_s": energy / 3e-6, "energy_kwh": energy, "energy_to_best_kwh": energy * 5 / 6,
                "energy_whole_run_kwh": energy * 1.1, "energy_cpu_kwh": energy * 0.9, "energy_gpu_kwh": np.nan,
                "energy_memory_kwh": energy * 0.1,
                "energy_method": "estimated: TDP × utilisation; estimated: memory size",
                "pue": PUE, "intensity_g_per_kwh": INTENSITY,
                "intensity_source": "world average 2023, carbontracker 2.4.7",
                "carbon_g": energy * carbon, "carbon_to_best_g": energy * carbon * 5 / 6,
                "carbon_whole_run_g": energy * carbon * 1.1,
                "carbontracker_energy_before_pue_kwh": energy * 0.9, "carbontracker_carbon_g": energy * 0.9 * carbon,
                "carbontracker_duration_s": energy / 3e-6, "fingerprint": f"{width:04d}{seed:04d}",
            })  # fmt: skip
            make_notebook(directory / run / "notebook.ipynb", run)
    pd.DataFrame(runs).to_csv(results / "runs.csv", index=False)
    pd.DataFrame(
        epochs,
        columns=[
            "run",
            "filters",
            "seed",
            "epoch",
            "train_loss",
            "val_loss",
            "val_dice",
            "learning_rate",
            "duration_s",
            "energy_kwh",
        ],
    ).to_csv(results / "epochs.csv", index=False)
    columns = (
        "run filters seed patient_id nodule slice readers_with_mask target_px predicted_px overlap_px dice readers_dice"
    )
    pd.DataFrame(slices, columns=columns.split()).to_csv(results / "slices.csv.gz", index=False)
    manifest = {
        "format": "carbon-midl results", "version": 1, "study": "demo", "title": "Demo study",
        "crops": {"fingerprint": "abc", "kind": kind, "patients": 70, "slices": 280, "size": 64,
                  "source": {"kind": kind}},
        "options": {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 3e-3, "readers": "at least 2",
                    "schedule": "cosine", "augment": True, "recipe": "efficient"},
        "widths": list(WIDTHS), "seeds": list(SEEDS), "runs_done": len(runs), "runs_left_out": [],
        "abandoned": {"attempts": 1, "energy_kwh": 1e-4, "carbon_g": 0.07},
        "dates": {"first": "2025-01-02T10:00:00+00:00", "last": "2025-01-02T10:04:00+00:00"},
        "hardware": {"cpu": "Example CPU", "cores": 2, "memory_gb": 8, "gpu": []},
        "environments": [{"hardware": {"cpu": "Example CPU", "cores": 2, "memory_gb": 8, "gpu": []}}],
        "versions": {"python": "3.11.4", "torch": "2.13.0", "carbon_midl": "0.1.0"}, "commit": "0123456789abcdef",
        "sensors": ["estimated: TDP × utilisation"], "slices": {"without_target": 20},
        "pue_sources": ["world average"], "footprint_notes": ["cpu: one whole processor at 60 W"],
        "split": {"train": 42, "validation": 14, "test": 14}, "split_patients": {"test": patient},
    }  # fmt: skip
    (results / "manifest.json").write_text(json.dumps(manifest))
    return results, directory


def make_notebook(path: Path, run: str) -> None:
    """An executed notebook with what trips an offline book: a widget, a progress bar on stderr, a picture."""
    output = nbformat.v4.new_output
    cells = [
        nbformat.v4.new_markdown_cell(f"# Train one U-Net\n\nRun {run}."),
        nbformat.v4.new_code_cell(
            "train()",
            execution_count=1,
            outputs=[
                output("stream", name="stderr", text="epoch 1\repoch 2\r"),
                output(
                    "display_data",
                    data={"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "bar"},
                ),
            ],
        ),
        nbformat.v4.new_markdown_cell("## Example segmentations"),
        nbformat.v4.new_code_cell(
            "show()",
            execution_count=2,
            outputs=[
                output("display_data", data={"image/png": base64.b64encode(_png()).decode(), "text/plain": "<Figure>"})
            ],
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    })  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def _png() -> bytes:
    """A grey picture of 64 × 64 px."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + b"\x80" * 64 for _ in range(64))))
        + chunk(b"IEND", b"")
    )
