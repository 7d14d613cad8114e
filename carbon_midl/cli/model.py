"""``carbon-midl predict``, ``evaluate`` and ``model``: use a trained network on any archive, and meter its use."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option, Typer

from carbon_midl.cli.command import examples, print_table
from carbon_midl.files import replaced, write_json, write_text
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.training.options import SLICES_PER_SCAN, USE_BATCHES, USE_LIMIT, USE_REPEATS
from carbon_midl.units import number

app = Typer()
model_group = Typer(no_args_is_help=True, help="A trained network's use, metered.")
app.add_typer(model_group, name="model")

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


@model_group.command(
    epilog=examples(
        "carbon-midl model use results/lidc-weights/filters-16",
        "carbon-midl model use runs/demo/filters-16-seed-0 data/lidc --batch 8",
    )
)
def use(
    model: Model,
    crops: Annotated[Path | None, Argument(metavar="CROPS", help="crop archive", show_default="noise")] = None,
    batch: Annotated[list[int] | None, Option(min=1, help="crops at a time, again for more  [1, 64]")] = None,
    limit: Annotated[float, Option(min=1e-4, help="steady: half of the 95 % interval, as share")] = USE_LIMIT,
    repeats: Annotated[int, Option(min=5, help="at most, of a second or more")] = USE_REPEATS,
    slices_per_scan: Annotated[int, Option(min=1, help="the median of LIDC-IDRI is the default")] = SLICES_PER_SCAN,
    json: Annotated[Path | None, Option(help="write the figures as JSON")] = None,
) -> None:
    """Measure what segmenting takes.

    Energy and time of a crop and of a scan, a crop from each slice. After a warm-up, a batch that is in memory is
    segmented again and again, as the efficient recipe computes. Reading and scoring are not in it. Energy is before
    PUE, in brackets are 95 % intervals.
    """
    import numpy as np
    import torch

    from carbon_midl.training.evaluate import load_model, measure_use, open_for

    network, card, archive = open_for(model, crops) if crops else (*load_model(model), None)
    size = archive.size if archive else card.size
    rows: list[Sequence[str]] = [("crops at a time", "J a crop", "ms a crop", "J a scan", "s a scan", "repeats")]
    figures = []
    for count in batch or USE_BATCHES:
        images = torch.rand(count, card.channels, size, size)
        if archive:
            images = torch.from_numpy(archive.inputs(np.arange(count) % len(archive)))[:, None]
        found = measure_use(network, images, limit, repeats)
        figures.append(asdict(found) | {"spread": found.spread, "slices_per_scan": slices_per_scan})
        of_both = ((found.energy_kwh, J_PER_KWH, 1), (found.duration_s, 1, 1e3))
        crop = ["{} [{}, {}]".format(*(number(one * per * shown) for one in own)) for own, per, shown in of_both]
        scan = [number(own.estimate * per * slices_per_scan) for own, per, _ in of_both]
        steady = "" if found.spread <= limit else f", not steady: ± {found.spread:.1%}"
        rows.append((str(count), *crop, *scan, f"{found.repeats}{steady}"))
    if json:
        write_json(json, figures)
    print_table(rows)
    print(f"F = {card.filters}, crops of {size} px, {slices_per_scan} slices a scan; {found.precision}, {found.method}")
