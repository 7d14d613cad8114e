"""What a point of Dice looks like: test crops from the worst to the best, with the readers' outlines and two networks'.

    python -m studies.crops_figure data/lidc-64 NARROW WIDE [--out book/_static/crops.png]

NARROW and WIDE are directories of finished runs with their weights. Chosen are test slices at equal steps of their rank
by the mean Dice of both networks, the worst and the best among them; nobody picks. The crops are of LIDC-IDRI (CC BY
3.0): say so where the picture is shown.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from carbon_midl.files import replaced
from carbon_midl.lidc.crops import CropArchive
from carbon_midl.metrics import dice
from carbon_midl.study.run import read_result
from carbon_midl.training.data import scored_target
from carbon_midl.training.evaluate import open_for
from carbon_midl.training.scoring import probabilities

OUT = Path("book/_static/crops.png")
COLUMNS, GROUPS = 4, 3
READERS, NARROW, WIDE = "#ffd23f", "#00b4ff", "#ff3d9a"


def predicted(run: Path, archive: Path, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The masks of a run's network on these rows."""
    network, _, crops = open_for(run, archive)
    return np.concatenate([values > 0.5 for values, _ in probabilities(network, crops, rows)])


def draw(axes: Any, image: NDArray[Any], outlines: list[tuple[NDArray[np.bool_], str]], title: str) -> None:
    """A crop with outlines of masks."""
    axes.imshow(image, cmap="gray", interpolation="nearest")
    for mask, colour in outlines:
        if mask.any():
            axes.contour(mask, [0.5], colors=[colour], linewidths=1)
    axes.set_title(title, fontsize=9, pad=2)
    axes.set_axis_off()


def main() -> None:
    """Choose the slices, draw them and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="the crops that both were trained on")
    parser.add_argument("narrow", type=Path, help="run of the narrower network")
    parser.add_argument("wide", type=Path, help="run of the wider network")
    parser.add_argument("--out", type=Path, default=OUT, help="(default: %(default)s)")
    options = parser.parse_args()
    result, archive = read_result(options.wide), CropArchive.open(options.archive)
    rows = archive.rows_of(result["split"]["test"])
    readers = archive.reader_masks(rows)
    wanted = scored_target(result["options"]["readers"]).from_masks(readers) > 0.5
    kept = wanted.any(axis=(1, 2))
    rows, readers, wanted = rows[kept], readers[kept], wanted[kept]
    masks = [predicted(run, options.archive, rows) for run in (options.narrow, options.wide)]
    scores = np.array([dice(mask, wanted) for mask in masks])
    by_rank = np.argsort(scores.mean(axis=0), kind="stable")
    shown = by_rank[np.linspace(0, len(by_rank) - 1, COLUMNS * GROUPS).round().astype(int)]

    mpl.rcdefaults()  # not the user's style, which may need LaTeX
    figure = Figure(figsize=(4.5, 7.5), layout="constrained")
    panels = figure.subplots(2 * GROUPS, COLUMNS)
    for number, place in enumerate(shown):
        above, below = (panels[2 * (number // COLUMNS) + row, number % COLUMNS] for row in (0, 1))
        image = archive.images[rows[place]]
        outlined = sum(1 for mask in readers[place] if mask.any())
        title = f"{outlined} reader{'' if outlined == 1 else 's'}"
        draw(above, image, [(mask, READERS) for mask in readers[place]], title)
        narrow, wide = scores[:, place]
        draw(below, image, [(masks[0][place], NARROW), (masks[1][place], WIDE)], f"Dice {narrow:.2f}, {wide:.2f}")
    with replaced(options.out) as temporary:
        figure.savefig(temporary, format="png", dpi=200, pil_kwargs={"optimize": True})
    print(
        f"{options.out}: slices at ranks of mean Dice, worst first: {np.round(scores.mean(axis=0)[shown], 2).tolist()}"
    )


if __name__ == "__main__":
    main()
