"""Every number of the text, by name, as it is printed.

How an estimate with its interval is printed comes first; tables print theirs the same way.
"""

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl import units
from carbon_midl.book import claims
from carbon_midl.book.evidence import COLLECTION_PAGE, GRIDS, TRANSFER, YARDSTICKS, Evidence, WidthStudy
from carbon_midl.book.figures import DATASETS, POLICY_LABELS
from carbon_midl.files import read_json
from carbon_midl.footprint import read_footprint
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import DRAWS, mean_over_patients
from carbon_midl.selection.criteria import PRICE_SHARE, all_criteria
from carbon_midl.study.results import MANIFEST, named_rows
from carbon_midl.units import count, dice, joined, percent, plural, signed, significant, span, times

BUILD = Path("results/book-build/footprint.json")
PARTS = ("train", "validation", "test")
NBSP = "\N{NO-BREAK SPACE}"
energy, carbon, duration = (partial(form, page=True) for form in (units.energy, units.carbon, units.duration))


def unbroken(text: str) -> str:
    """Keep a number and its unit, and ``F = 8``, on one line."""
    text = re.sub(r"F = (?=\d)", f"F{NBSP}={NBSP}", text)
    return re.sub(r"(?<=\d) (?=(?:%|mg|g|kg|Wh|kWh|min|s|h|px)(?![\w/]))", NBSP, text)


def interval(form: Callable[[float], str], row: Any, name: str = "estimate") -> str:
    """The named estimate of a row with the limits beside it, ``median_low`` or, without such, ``low``.

    With the form ``dice`` it is ``0.701 (0.650 to 0.748)``, with ``percent`` it is ``34.4 % (32.2 to 36.5 %)``.
    """
    prefix = f"{name}_" if hasattr(row, f"{name}_low") else ""
    estimate, low, high = (form(getattr(row, part)) for part in (name, f"{prefix}low", f"{prefix}high"))
    return f"{estimate} ({low.removesuffix(' %')} to {high})"


dice_interval, percent_interval = partial(interval, dice), partial(interval, percent)


def cell(text: str) -> str:
    """An interval for a column of a table, whose header says if it is in per cent: ``34.4 (32.2–36.5)``."""
    return text.replace(" %", "").replace(" to ", "–")


def signed_percent_interval(row: Any) -> str:
    """``+0.6 % (−1.2 to +2.4 %)``."""
    return interval(lambda fraction: f"{signed(100 * fraction)} %", row)


def points_interval(row: Any) -> str:
    """``+1.2 points (+0.4 to +2.0)`` of a difference in Dice, a point being 0.01."""
    return interval(lambda difference: signed(100 * difference), row).replace(" (", " points (")


def grams(value: float) -> str:
    """``1.13 g CO₂eq``."""
    return f"{carbon(value)} CO₂eq"


def seeds_text(study: WidthStudy) -> str:
    """``5 seeds a width``."""
    seeds = study.results.runs.groupby("filters")["seed"].nunique()
    low, high = int(seeds.min()), int(seeds.max())
    return f"{span(low, high)} seed{'' if high == 1 else 's'} a width"


def n_text(study: WidthStudy) -> str:
    """``138 test patients, 5 seeds a width``."""
    return f"{plural(study.bootstrap.patients, 'test patient')}, {seeds_text(study)}"


def hardware_text(hardware: dict[str, Any]) -> str:
    """The processor with its cores, and the GPUs."""
    processor = f"{hardware['cpu']} ({plural(int(hardware['cores']), 'core')})"
    graphics = hardware.get("gpu") or []
    return f"{processor} and {joined(graphics)}" if graphics else f"{processor}, without a GPU"


def book_numbers(evidence: Evidence, shown: WidthStudy) -> dict[str, str]:
    """Name to printed text, for the book's substitutions.

    Args:
        evidence: what the chapters speak of.
        shown: the study of the appendix.
    """
    parts = (
        growth_numbers(evidence), experiment_numbers(evidence), energy_numbers(evidence), result_numbers(evidence),
        yardstick_numbers(evidence), selection_numbers(evidence),
        read_json(evidence.root / COLLECTION_PAGE / "numbers.json"), search_numbers(evidence), shown_numbers(shown),
    )  # fmt: skip
    return {name: unbroken(text) for part in parts for name, text in part.items()}


def growth_numbers(evidence: Evidence) -> dict[str, str]:
    """The growth of training compute, from AlexNet to AlphaGo Zero as OpenAI counted it."""
    systems = evidence.systems.set_index("system")
    flop, dates = systems["training_compute_flop"].astype(float), pd.to_datetime(systems["published"])
    factor = float(flop["AlphaGo Zero"] / flop["AlexNet"])
    years = (dates["AlphaGo Zero"] - dates["AlexNet"]).days / 365.25
    return {
        "growth_systems": str(len(systems)),
        "growth_from": str(dates.dt.year.min()),
        "growth_to": str(dates.dt.year.max()),
        "growth_factor": f"{significant(factor)}-fold",
        "growth_years": significant(years, 2),
        "growth_doubling": f"{significant(12 * years / math.log2(factor), 2)} months",
    }


def experiment_numbers(evidence: Evidence) -> dict[str, str]:
    """The crops and their split, the candidates, their training, the machine, and the trials before."""
    manifest, runs, widths = evidence.results.manifest, evidence.results.runs, evidence.bootstrap.widths
    crops, slices, options, versions = (manifest[part] for part in ("crops", "slices", "options", "versions"))
    first, last = (datetime.fromisoformat(manifest["dates"][key]).date() for key in ("first", "last"))
    gains, steps = claims.augmentation_gains(evidence), claims.step_sizes(evidence)
    # Trials with the very parameters and crops of the study, which the first part of the fingerprint stands for.
    trials, first_runs = (
        table.assign(key=table["fingerprint"].str.rpartition("-")[0]) for table in (evidence.trials, runs)
    )
    both = trials.merge(first_runs, on=["key", "filters"], suffixes=("", "_first"))
    again: dict[int, Any] = {row.filters: row for row in named_rows(both)}
    return {
        "crops_patients": f"{crops['patients']:,}",
        "crops_slices": f"{crops['slices']:,}",
        "without_target": f"{slices['without_target']:,}",
        "crop_size": f"{crops['size']} × {crops['size']}",
        **{f"split_{part}": f"{manifest['split'][part]:,}" for part in PARTS},
        **{f"{part}_slices": f"{slices[part]:,}" for part in PARTS},
        "widths": joined(widths),
        "widths_count": count(len(widths)),
        "width_narrowest": str(widths[0]),
        "width_widest": str(widths[-1]),
        "seeds": seeds_text(evidence),
        "n": n_text(evidence),
        "runs_done": str(len(runs)),
        "test_patients": f"{evidence.bootstrap.patients:,}",
        "epochs": count(int(runs["epochs"].max())).capitalize(),
        "batch_size": str(options["batch_size"]),
        "learning_rate": str(options["learning_rate"]),
        "depth": count(evidence.depth),
        "hardware": hardware_text(manifest["hardware"]),
        "software": f"Python {versions['python']} and PyTorch {versions['torch']}",
        "recorded": f"on {first}" if first == last else f"from {first} to {last}",
        "step_sizes": count(len(steps)),
        "step_size_points": significant(100 * float(steps[1e-3] - steps[3e-3]), 2),
        "augmentation_points": joined([f"{signed(100 * gain)} points" for gain in gains]),
        "augmentation_widths": joined(list(gains.index.get_level_values("filters"))),
        "rerun_dice": dice(again[16].test_dice_patients),
        "rerun_first": dice(again[16].test_dice_patients_first),
        "rerun_cpu_dice": dice(again[4].test_dice_patients),
        "rerun_cpu_first": dice(again[4].test_dice_patients_first),
    }


def energy_numbers(evidence: Evidence) -> dict[str, str]:
    """How energy and carbon were obtained, and how energy grows with arithmetic."""
    manifest, runs = evidence.results.manifest, evidence.results.runs
    tracked = runs.dropna(subset=["carbontracker_energy_before_pue_kwh"])
    theirs, ours = tracked["carbontracker_energy_before_pue_kwh"], tracked["energy_kwh"]
    notes = [note for note in manifest["footprint_notes"] if note.startswith(("cpu:", "memory:"))]
    return {
        "gpu_share": percent(claims.gpu_share(evidence)),
        "energy_notes": "; ".join(notes),
        "pue": joined([f"{value:g}" for value in sorted(runs["pue"].unique())]),
        "pue_source": joined(manifest["pue_sources"]),
        "intensity": joined([f"{value:g}" for value in sorted(runs["intensity_g_per_kwh"].unique())]) + " g/kWh",
        "intensity_source": joined(sorted(runs["intensity_source"].unique())),
        "energy_spread": times(claims.energy_spread(evidence)),
        "tracker_runs": str(len(tracked)),
        "tracker_ratio": significant(float(theirs.sum() / ours.sum())),
        "tracker_range": f"{significant(float((theirs / ours).min()))} to {significant(float((theirs / ours).max()))}",
        "macs_ratio": times(claims.growth(evidence, "macs")),
        "energy_ratio": times(claims.growth(evidence, "energy_kwh")),
    }


def result_numbers(evidence: Evidence) -> dict[str, str]:
    """Dice and carbon of the cheapest, the best and the dearest width, and what all of it took."""
    bootstrap, carbon_g, best = evidence.bootstrap, evidence.carbon_g, evidence.best
    runs, (cheapest, dearest) = evidence.results.runs, evidence.extremes
    price, least, most = claims.price(evidence, best)
    seed_sd = runs.groupby("filters")["test_dice_patients"].std()
    (step,) = named_rows(evidence.steps.query("first == 8 and second == 16"))
    everything, abandoned = evidence.whole_price, evidence.results.manifest["abandoned"]
    one_run_g = runs.groupby("filters")["carbon_whole_run_g"].mean()
    total_g = float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"]
    build = read_footprint(evidence.root / BUILD)
    return {
        "cheapest": f"F = {cheapest}",
        "dearest": f"F = {dearest}",
        "cheapest_carbon": grams(carbon_g[cheapest]),
        "dearest_carbon": grams(carbon_g[dearest]),
        "carbon_ratio": times(carbon_g[dearest] / carbon_g[cheapest]),
        "gain_points": points_interval(bootstrap.difference(cheapest, dearest)),
        "gain_to_best": points_interval(bootstrap.difference(cheapest, best)).replace("+", ""),
        "carbon_to_best": f"{significant(claims.extra_carbon(evidence, best), 2)} %",
        "price_to_best": f"{significant(price, 2)} %",
        "price_to_best_interval": f"{significant(least, 2)} to {significant(most, 2)} %",
        "extra_to_dearest": f"{significant(claims.extra_carbon(evidence, dearest))} %",
        "relative_to_dearest": signed_percent_interval(bootstrap.relative_difference(cheapest, dearest)),
        "could_be_best": joined(evidence.candidates.could_be_best),
        "seed_sd": f"{100 * seed_sd.min():.1f} to {100 * seed_sd.max():.1f}",
        "width_points": significant(100 * float(evidence.widths["dice"].max() - evidence.widths["dice"].min()), 2),
        "step_price": interval(carbon, step, "g_per_point"),
        "draws": f"{DRAWS:,}",
        "abandoned_carbon": grams(abandoned["carbon_g"]),
        "abandoned_attempts": f"{count(int(abandoned['attempts']))} attempts",
        "total_energy": energy(float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]),
        "total_carbon": grams(total_g),
        "total_in_cheapest": significant(total_g / one_run_g[cheapest]),
        "total_in_dearest": significant(total_g / one_run_g[dearest]),
        "dearest_share": percent(evidence.price.set_index("filters")["share"][dearest]),
        "everything_runs": plural(int(everything["runs"].sum()), "run"),
        "everything_attempts": plural(int(everything["attempts"].sum()), "attempt"),
        "everything_energy": energy(float(everything["energy_kwh"].sum())),
        "everything_carbon": grams(float(everything["carbon_g"].sum())),
        "build_energy": energy(build.energy_kwh),
        "build_carbon": grams(build.carbon_g(build.energy_kwh)),
        "build_known": how_known(*(window.method for window in build.windows)),
    }


def yardstick_numbers(evidence: Evidence) -> dict[str, str]:
    """Beside the networks: readers, a threshold, both splits, both recipes, and training on the phantom."""
    slices, four = evidence.yardsticks, claims.beside_readers(evidence)
    reader, network = (mean_over_patients(four[f"{who}_dice"], four["patient_id"]) for who in ("reader", "network"))
    by_slice, by_patient = evidence.leak
    narrowest, *_, widest = evidence.recipes["lidc"]
    on_phantoms = evidence.recipes["phantom"][0]
    transferred = read_json(evidence.root / TRANSFER / MANIFEST)
    real, phantom = evidence.transfer["real", "real"], evidence.transfer["phantom", "real"]
    return {
        "reader_slices": f"{reader.n:,}",
        "reader_patients": f"{reader.patients:,}",
        "reader_dice": dice_interval(reader),
        "network_dice": dice_interval(network),
        "network_against_reader": points_interval(claims.network_against_reader(evidence)),
        "threshold": f"{read_json(evidence.root / YARDSTICKS / MANIFEST)['threshold']['level']:g}",
        "threshold_dice": dice_interval(mean_over_patients(slices["threshold_dice"], slices["patient_id"])),
        "leak_by_slice": dice_interval(by_slice),
        "leak_by_patient": dice_interval(by_patient),
        "leak_by_slice_n": f"{by_slice.n:,}",
        "leak_by_patient_n": f"{by_patient.n:,}",
        "recipes_n": plural(narrowest.patients, "test patient"),
        "recipes_phantom_n": f"{plural(on_phantoms.patients, 'test patient')}, {on_phantoms.seeds} seeds a width",
        "recipes_narrowest": str(narrowest.filters),
        "recipes_widest": str(widest.filters),
        "recipes_narrowest_reference": energy(narrowest.reference_kwh),
        "recipes_widest_efficient": energy(widest.efficient_kwh),
        "transfer_filters": str(transferred["filters"]),
        "transfer_training": str(transferred["training_patients"]),
        "transfer_patients": str(real.patients),
        "transfer_slices": f"{real.slices:,}",
        "transfer_seeds": plural(real.seeds, "seed"),
        "transfer_real": dice_interval(real, "dice"),
        "transfer_phantom": dice_interval(phantom, "dice"),
        "transfer_share": percent_interval(phantom, "share"),
    }


def selection_numbers(evidence: Evidence) -> dict[str, str]:
    """The criteria and policies on the study's candidates."""
    criteria: dict[str, Any] = {criterion.name: criterion for criterion in all_criteria(evidence.candidates)}
    intensity = evidence.choices_on_grids.drop_duplicates("grid").set_index("grid")["g_per_kwh"]
    return {
        "criteria_budget": grams(criteria["budget"].limit),
        "criteria_price": grams(criteria["marginal"].limit),
        "criteria_price_share": f"{100 * PRICE_SHARE:g} %",
        "criteria_margin": dice(criteria["noninferior"].margin),
        "criteria_least_sure": percent(min(claims.repeated(evidence).values())),
        "criteria_grids": joined(GRIDS).replace("world", "the world"),
        "criteria_grid_ratio": times(intensity[GRIDS[-1]] / intensity[GRIDS[0]]),
        "replay_seeds": plural(int(evidence.replays["draws"].iloc[0]), "seed"),
    }


def search_numbers(evidence: Evidence) -> dict[str, str]:
    """Searches on the published curves, and the recorded one beside the full sweep."""
    record, manifest = evidence.published, evidence.published.manifest
    search, outcome, sweep = evidence.search, evidence.search.outcome, evidence.search.sweep
    models, epochs = (sorted(map(int, manifest[name].values())) for name in ("models", "epochs"))
    numbers = {
        "published_models": span(models[0], models[-1]),
        "published_epochs": span(epochs[0], epochs[-1]),
        "published_tolerance": f"{100 * manifest['tolerance']:g}",
        "published_least": f"{100 * manifest['least']:g} %",
        "published_policies": f"{record.policies['policy'].nunique()}",
        "published_draws": f"{manifest['test_draws']:,}",
    }
    for name in DATASETS:
        choices = record.choices[record.choices["dataset"] == name]
        cheapest = choices.sort_values("cost").iloc[0]
        (convergence,) = named_rows(record.convergence[record.convergence["dataset"] == name])
        tested = claims.tested_elsewhere(record, name)
        numbers |= {
            f"published_{name}_cheapest_share": percent(cheapest["share_of_best"]),
            f"published_{name}_cheapest_lost": significant(
                100 * (choices["performance"].max() - cheapest["performance"]), 2
            ),
            f"published_{name}_spearman": interval(partial(signed, decimals=2), convergence, "spearman"),
            f"published_{name}_within": percent(tested["within"]),
            f"published_{name}_share": percent_interval(tested, "share"),
        }
    return numbers | {
        "search_candidates": count(len(outcome["candidates"])),
        "search_steps": count(outcome["steps"]),
        "search_policy": POLICY_LABELS[outcome["policy"]],
        "search_chosen": str(search.chosen.filters),
        "search_best": str(search.best.filters),
        "search_lost": significant(100 * (search.best.val_dice - search.chosen.val_dice), 2),
        "search_energy": energy(outcome["energy_kwh"]),
        "search_carbon": grams(outcome["carbon_g"]),
        "sweep_energy": energy(float(sweep["energy_whole_run_kwh"].sum())),
        "sweep_carbon": grams(float(sweep["carbon_whole_run_g"].sum())),
        "search_known": how_known(*sweep["energy_method"].unique()),
        "search_patients": str(int(sweep["test_patients"].max())),
    }


def shown_numbers(shown: WidthStudy) -> dict[str, str]:
    """The study of the appendix."""
    manifest, runs = shown.results.manifest, shown.results.runs
    crops = manifest["crops"]
    return {
        "shown_title": manifest["title"],
        "shown_images": "phantoms" if crops["kind"] == "phantom" else "CT",
        "shown_slices": f"{crops['slices']:,}",
        "shown_patients": f"{crops['patients']:,}",
        "shown_n": n_text(shown),
        "shown_hardware": hardware_text(manifest["hardware"]),
        "shown_runs": str(len(runs)),
        "shown_energy": energy(float(runs["energy_whole_run_kwh"].sum())),
        "shown_carbon": grams(float(runs["carbon_whole_run_g"].sum())),
        "shown_known": how_known(*runs["energy_method"].unique()),
        "shown_best": str(shown.best),
        "shown_could_be_best": joined(shown.candidates.could_be_best),
    }
