"""``carbon-midl predict`` and ``carbon-midl evaluate``: use a trained network on any archive."""

import argparse
from pathlib import Path
from typing import Any

from carbon_midl.cli.parsing import action, bar

_MODEL_HELP = "directory of a run, or its weights.safetensors"
_PREDICT_EPILOG = """\
OUT gets masks.npy (bool, n × H × W), index.csv (a row a crop) and segmentations.png.

example:
  carbon-midl predict runs/demo/filters-16-seed-0 data/lidc predicted
"""
_EVALUATE_EPILOG = """\
Dice, sensitivity and precision against the readers' consensus that the network was trained towards, each with a 95 %
interval by bootstrap over patients. Patients that the network was trained or chosen on are left out, unless asked for.

example:
  carbon-midl evaluate runs/demo/filters-16-seed-0 data/lidc --json evaluation.json --slices slices.csv
"""


def add_actions(rooms: Any) -> None:
    """Add the actions ``predict`` and ``evaluate``."""
    predict = action(rooms, "predict", _predict, "segment the crops of an archive", _PREDICT_EPILOG)
    predict.add_argument("model", type=Path, metavar="MODEL", help=_MODEL_HELP)
    predict.add_argument("crops", type=Path, metavar="CROPS", help="crop archive")
    predict.add_argument("out", type=Path, metavar="OUT", help="directory to make")
    predict.add_argument("--probabilities", action="store_true", help="write probabilities.npy, too (float16)")

    evaluate = action(rooms, "evaluate", _evaluate, "score a trained network on an archive", _EVALUATE_EPILOG)
    evaluate.add_argument("model", type=Path, metavar="MODEL", help=_MODEL_HELP)
    evaluate.add_argument("crops", type=Path, metavar="CROPS", help="crop archive")
    evaluate.add_argument(
        "--patients",
        choices=("unseen", "all"),
        default="unseen",
        help="only those it was not trained or chosen on, or all (default: %(default)s)",
    )
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    evaluate.add_argument("--slices", type=Path, metavar="FILE", help="write the score of each slice as CSV")


def _predict(options: argparse.Namespace) -> None:
    import matplotlib as mpl
    import numpy as np
    import pandas as pd

    mpl.use("Agg")
    from carbon_midl.files import replaced
    from carbon_midl.lidc.crops import CropArchive
    from carbon_midl.lidc.pictures import segmentations
    from carbon_midl.metrics import dice
    from carbon_midl.training.evaluate import MASKS, write_predictions

    out = write_predictions(options.model, options.crops, options.out, options.probabilities, bar("batch"))
    archive = CropArchive.open(options.crops)
    masks = np.load(out / MASKS, mmap_mode="r")
    rows = np.linspace(0, len(archive) - 1, min(12, len(archive))).round().astype(int)
    consensus = archive.reader_masks(rows).sum(axis=1) >= 2
    figure = segmentations(archive, rows, masks[rows], pd.Series(dice(masks[rows], consensus)))
    with replaced(out / "segmentations.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    print(f"{len(archive):,} masks in {out / MASKS}; 12 of them, evenly spaced, in {out / 'segmentations.png'}")


def _evaluate(options: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from carbon_midl.files import write_json, write_text
    from carbon_midl.training.evaluate import evaluate, open_for, unseen_rows
    from carbon_midl.training.scoring import score

    model, card, archive = open_for(options.model, options.crops)
    rows, said = unseen_rows(options.model, archive)
    if options.patients == "all":
        rows, said = (
            np.arange(len(archive)),
            f"all {len(archive.patients):,} patients, those it was trained on included",
        )
    scores = pd.DataFrame(score(model, archive, rows, card.readers))
    with_target = scores[scores["target_px"] > 0]
    found = evaluate(with_target)
    print(f"{options.model} on {archive.path}{' (phantom)' if archive.is_phantom else ''}: {said}")
    print(found.describe())
    if len(with_target) < len(scores):
        print(f"{len(scores) - len(with_target):,} slices without a consensus of the readers are left out")
    if options.slices:
        write_text(options.slices, with_target.to_csv(index=False))
    if options.json:
        about = {"patients": said, "crops": archive.fingerprint, "target": card.readers}
        write_json(options.json, {**about, **found.to_dict()})
