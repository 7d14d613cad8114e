"""``carbon-midl predict`` and ``evaluate``: use a trained network on any archive."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option, Typer

from carbon_midl.cli.command import examples
from carbon_midl.files import replaced, write_json, write_text

app = Typer()

Model = Annotated[Path, Argument(metavar="MODEL", help="directory of a run, or its weights.safetensors")]
Crops = Annotated[Path, Argument(metavar="CROPS", help="crop archive")]


@app.command(epilog=examples("carbon-midl predict runs/demo/filters-16-seed-0 data/lidc predicted"))
def predict(
    model: Model,
    crops: Crops,
    out: Annotated[Path, Argument(metavar="OUT", help="directory to make")],
    probabilities: Annotated[bool, Option("--probabilities", help="also write probabilities.npy (float16)")] = False,
) -> None:
    """Segment the crops of an archive.

    OUT gets masks.npy (bool, n × H × W), index.csv (a row a crop) and segmentations.png.
    """
    import matplotlib as mpl
    import numpy as np
    import pandas as pd

    mpl.use("Agg")
    mpl.rcdefaults()  # not the user's style, which may need LaTeX
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.lidc.pictures import segmentations
    from carbon_midl.metrics import dice
    from carbon_midl.training.evaluate import MASKS, write_predictions

    out = write_predictions(model, crops, out, probabilities)
    archive = CropArchive.open(crops)
    masks = np.load(out / MASKS, mmap_mode="r")
    rows = np.linspace(0, len(archive) - 1, min(12, len(archive))).round().astype(int)
    consensus = archive.reader_masks(rows).sum(axis=1) >= 2
    figure = segmentations(archive, rows, masks[rows], pd.Series(dice(masks[rows], consensus)))
    with replaced(out / "segmentations.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    print(f"{len(archive):,} masks in {out / MASKS}; 12 of them, evenly spaced, in {out / 'segmentations.png'}")


@app.command(
    epilog=examples(
        "carbon-midl evaluate runs/demo/filters-16-seed-0 data/lidc",
        "carbon-midl evaluate runs/demo/filters-16-seed-0 data/lidc --json out.json",
    )
)
def evaluate(
    model: Model,
    crops: Crops,
    patients: Annotated[Literal["unseen", "all"], Option(help="those it was not trained on, or all")] = "unseen",
    json: Annotated[Path | None, Option(help="write the figures as JSON")] = None,
    slices: Annotated[Path | None, Option(help="write the score of each slice as CSV")] = None,
) -> None:
    """Score a trained network on an archive.

    Dice, sensitivity and precision against the readers' consensus that the network was trained towards, each with a
    95 % interval by bootstrap over patients. Patients that the network was trained or chosen on are left out, unless
    asked for.
    """
    import numpy as np
    import pandas as pd

    from carbon_midl.training.evaluate import evaluate, open_for, unseen_rows
    from carbon_midl.training.scoring import score

    network, card, archive = open_for(model, crops)
    rows, which = unseen_rows(model, archive)
    if patients == "all":
        rows = np.arange(len(archive))
        which = f"all {len(archive.patients):,} patients, those it was trained on included"
    scores = pd.DataFrame(score(network, archive, rows, card.readers))
    with_target = scores[scores["target_px"] > 0]
    found = evaluate(with_target)
    nothing_found = int((with_target["predicted_px"] == 0).sum())
    try:
        if slices:
            write_text(slices, with_target.to_csv(index=False))
        if json:
            about = {"patients": which, "crops": archive.fingerprint, "target": card.readers}
            figures = found.astype(object).where(found.notna(), None).to_dict("index")
            write_json(json, {**about, "nothing_found": nothing_found, **figures})
    finally:
        print(f"{model} on {archive.path}{' (phantom)' if archive.is_phantom else ''}: {which}")
        print(found.to_string(float_format="{:.3f}".format, na_rep="–"))
        if nothing_found:
            print(f"nothing found on {nothing_found:,} of {len(with_target):,} slices, whose Dice is 0")
        if len(with_target) < len(scores):
            print(f"{len(scores) - len(with_target):,} slices without a consensus of the readers are left out")
