"""What stands beside the study, from recorded tables: both recipes, trials, reruns, a leaky split, what all took.

`studies.answer` writes these tables with its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE
from carbon_midl.errors import InputError
from carbon_midl.files import read_json
from carbon_midl.footprint.grid import carbon_intensity
from carbon_midl.footprint.instruments import readings
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import Interval, PatientBootstrap, mean_over_patients, patient_dice
from carbon_midl.selection.frontier import POINT
from carbon_midl.study.results import FORMAT, MANIFEST, Results, named_rows, read_csv, read_results
from carbon_midl.units import joined

VARIED = ["learning_rate", "augment"]
"""What the trials differ in."""
RECIPES = ("reference", "efficient")
SLICE = ["patient_id", "nodule", "slice"]


def again(tried: pd.DataFrame, study: Results) -> pd.DataFrame:
    """Trials with the very parameters and crops of a run of the study, beside that run (``_first``).

    The first part of a fingerprint stands for parameters and crops, the second for the code.
    """
    tried, runs = (one.assign(key=one["fingerprint"].str.rpartition("-")[0]) for one in (tried, study.runs))
    return tried.merge(runs, on=["key", "filters"], suffixes=("", "_first"))


def machine(hardware: dict[str, Any]) -> str:
    """A machine in a word or two for a narrow column: its GPUs, or that it had none."""
    names = {str(name).removeprefix("NVIDIA ").split()[0] for name in hardware.get("gpu") or []}
    return joined(sorted(names)) if names else "CPU"


def trials(*studies: Results) -> pd.DataFrame:
    """Runs that tried options on the study's crops, with their machine and how the energy is known."""
    tables = []
    for results in studies:
        given = {name: results.manifest["options"][name] for name in VARIED if name not in results.runs}
        known = results.runs["energy_method"].map(how_known)
        tables.append(results.runs.assign(**given, machine=machine(results.manifest["hardware"]), known=known))
    return pd.concat(tables, ignore_index=True)


def recipes(*studies: Results) -> pd.DataFrame:
    """Compare the recipes on the seeds that both have, a row a width.

    The ``difference`` of Dice, efficient minus reference, is paired over patients; its interval is over patients and
    seeds. The ``share`` of energy is efficient divided by reference of the same seed: mean, smallest and largest.
    ``known`` says whether the energies were measured.

    Args:
        studies: one with both recipes, or two with one each.

    Raises:
        InputError: no width was trained under both recipes.
    """
    # Two studies may call their runs alike.
    runs = pd.concat([study.runs.assign(source=number) for number, study in enumerate(studies)])
    slices = pd.concat([study.slices_of("test").assign(source=number) for number, study in enumerate(studies)])
    both = runs.groupby(["filters", "seed"])["recipe"].transform("nunique") == len(RECIPES)
    if not both.any():
        raise InputError(
            f"{', '.join(study.where for study in studies)}: no width was trained under both recipes with one seed; "
            f"there is {', '.join(sorted(runs['recipe'].unique()))} only."
        )
    rows = []
    for filters, of_width in runs[both].groupby("filters"):
        # The bootstrap compares widths; here what is compared is the recipe, at one width.
        recipe = of_width[["source", "run"]].assign(filters=of_width["recipe"].map(RECIPES.index))
        scored = slices.drop(columns="filters").merge(recipe, on=["source", "run"])
        bootstrap = PatientBootstrap.draw(patient_dice(scored))
        difference, low, high = bootstrap.difference(0, 1)
        kwh = of_width.pivot(index="seed", columns="recipe", values="energy_kwh")
        share = kwh["efficient"] / kwh["reference"]
        rows.append({
            "filters": filters, "seeds": len(kwh), "patients": bootstrap.patients,
            "reference_dice": bootstrap.dice(0).estimate, "efficient_dice": bootstrap.dice(1).estimate,
            "difference": difference, "difference_low": low, "difference_high": high,
            "reference_kwh": kwh["reference"].mean(), "efficient_kwh": kwh["efficient"].mean(),
            "share": share.mean(), "share_low": share.min(), "share_high": share.max(),
            "known": how_known(*of_width["energy_method"]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def yardsticks(study: Results, record: Path) -> pd.DataFrame:
    """Dice of readers, networks and a threshold on the test slices of a study: a row each.

    ``four`` is over the slices that all four readers outlined, ``every`` over all; a network's Dice on a slice is the
    mean over its trainings. The last two rows are the network that is best on the former, and that less a reader.
    ``level`` is where the threshold lies.

    Raises:
        InputError: the record was made on other crops, another split or target.
    """
    manifest, own = read_json(record / MANIFEST), study.manifest
    recorded = [manifest["crops"]["fingerprint"], manifest["split_seed"], manifest["readers"]]
    if recorded != [own["crops"]["fingerprint"], own["options"].get("split_seed"), own["options"]["readers"]]:
        raise InputError(
            f"{record}: of other crops, another split or target than {study.where}. Record them again: "
            f"python studies/yardsticks.py data/lidc {record}"
        )
    networks = study.slices_of("test").groupby(["filters", *SLICE])["dice"].mean().unstack("filters")
    every = read_csv(record / "slices.csv.gz").merge(networks.reset_index(), on=SLICE, validate="one_to_one")
    four = every["reader_dice"].notna()
    scores = {"A reader, with the others": every["reader_dice"], "Pairs of readers": every["readers_dice"]}
    scores |= {f"U-Net, F = {width}": every[width] for width in networks} | {"Threshold": every["threshold_dice"]}
    scores["Best U-Net"] = every[every.loc[four, list(networks)].mean().idxmax()]
    scores["Best U-Net less a reader"] = scores["Best U-Net"] - every["reader_dice"]
    rows = []
    for who, values in scores.items():
        row: dict[str, Any] = {"who": who, "level": manifest["threshold"]["level"]}
        for name, kept in (("four", four), ("every", values.notna())):
            mean = mean_over_patients(values[kept], every.loc[kept, "patient_id"])
            row |= {name: mean.estimate, f"{name}_low": mean.low, f"{name}_high": mean.high}
            row |= {f"{name}_n": mean.n, f"{name}_patients": mean.patients}
        rows.append(row)
    return pd.DataFrame(rows)


def instruments(study: Results) -> pd.DataFrame:
    """The first training of the dearest width as five instruments would tell it, a row each (`instruments.readings`).

    ``growth`` is by what factor mean grams grow from the cheapest width to the dearest, by that instrument.
    """
    grams = study.runs.groupby("filters")["carbon_g"].mean()
    ends = study.runs[study.runs["filters"].isin([grams.idxmin(), grams.idxmax()])]
    told = [pd.DataFrame(readings(study.footprint(row.run))).assign(filters=row.filters) for row in named_rows(ends)]
    means = pd.concat(told).pivot_table("carbon_g", "instrument", "filters")
    first = next(table for table in told if (table["filters"] == grams.idxmax()).all())
    growth = means[grams.idxmax()] / means[grams.idxmin()]
    return first.drop(columns="how").assign(growth=first["instrument"].map(growth))


def movers(
    study: Results, recipe: Any, rerun: Any, lengths: pd.DataFrame, width: Interval, length: Interval
) -> pd.DataFrame:
    """By what ``factor`` each decision moves the carbon of a training, and Dice by how many points.

    Args:
        study: the recorded one, with seeds of each width.
        recipe: a row of `recipes`.
        rerun: a row of `again`, of a run on another machine.
        lengths: energies in Wh of the shorter and the longer training, as a column ``energy_wh``.
        width: difference in Dice from the cheapest width of the study to the dearest.
        length: difference in Dice from the shorter training to the longer.
    """
    energy = study.runs.groupby("filters")["energy_kwh"]
    of_width, of_length = energy.mean(), lengths["energy_wh"]
    more = [-getattr(recipe, f"difference{end}") for end in ("", "_high", "_low")]
    clean, dirty = (carbon_intensity(place).g_per_kwh for place in ("NO", "PL"))
    sd = study.runs.groupby("filters")["test_dice_patients"].std().max()
    nothing = (np.nan,) * 3
    rows = [
        ("grid: Norway to Poland", dirty / clean, "as it is", *nothing),
        ("machine: GPU to two cores", rerun.energy_kwh / rerun.energy_kwh_first, "not compared", *nothing),
        ("width: F = 4 to 64", of_width.max() / of_width.min(), None, *width),
        ("length: 10 to 40 epochs", of_length.max() / of_length.min(), None, *length),
        ("recipe: efficient to usual", recipe.reference_kwh / recipe.efficient_kwh, None, *more),
        ("the same again", (energy.max() / energy.min()).max(), f"± {sd / POINT:.1f} points", *nothing),
    ]
    table = pd.DataFrame(rows, columns=["what", "factor", "dice", "points", "points_low", "points_high"])
    table[["points", "points_low", "points_high"]] /= POINT
    return table.sort_values("factor", ascending=False)


def leak(by_slice: Results, by_patient: Results) -> pd.DataFrame:
    """Test Dice, over slices, of one and the same training on a split by slice and on one by patient."""
    options = by_slice.manifest["options"]
    same = by_slice.runs[["filters", "seed"]].assign(**{name: options[name] for name in VARIED})
    leaky, honest = by_slice.slices_of("test"), by_patient.slices_of("test")
    honest = honest[honest["run"] == by_patient.runs.merge(same)["run"].item()]
    # The archive for the leak names its patients by slice; the patient is the first part.
    patients = leaky["patient_id"].str.rsplit("-", n=2).str[0]
    means = {
        BY_SLICE: mean_over_patients(leaky["dice"], patients),
        BY_PATIENT: mean_over_patients(honest["dice"], honest["patient_id"]),
    }
    return pd.DataFrame([{"split": split, **mean._asdict()} for split, mean in means.items()])


def everything(root: Path, study: Results) -> pd.DataFrame:
    """What each study took on the crops of ``study``, attempts without a result too, a row a study.

    Grams are by that study's PUE and carbon intensity for all of them, whatever their runs were recorded with.
    """
    g_per_kwh = float((study.runs["pue"] * study.runs["intensity_g_per_kwh"]).iloc[0])

    def crops(manifest: dict[str, Any]) -> list[Any]:
        # Not the fingerprint: an archive for the leak holds the same crops under other names.
        about = manifest.get("crops", {})
        return [about.get("kind"), about.get("slices"), about.get("source", {}).get("citation")]

    rows = []
    for path in sorted((root / "results").glob(f"*/{MANIFEST}")):
        other = read_json(path)
        if other.get("format") != FORMAT or crops(other) != crops(study.manifest):
            continue
        runs, abandoned = read_results(path.parent).runs, other["abandoned"]
        energy_kwh = float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]
        rows.append({
            "title": other["title"], "runs": len(runs), "attempts": abandoned["attempts"],
            "machine": joined(sorted({machine(one["hardware"]) for one in other["environments"]})),
            "known": how_known(*runs["energy_method"].unique()),
            "energy_kwh": energy_kwh, "carbon_g": energy_kwh * g_per_kwh,
            "precision": runs["precision"].iloc[0] if "precision" in runs else "",
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table["title"].duplicated(keep=False), "title"] += " (" + table["precision"] + ")"
    return table.drop(columns="precision")
