"""Every number of the text that comes from results or from the table of systems, by name."""

import json
import math
from datetime import datetime
from typing import Any

import pandas as pd

from carbon_midl.book import claims as w
from carbon_midl.book import records
from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, GRIDS, Evidence, PublishedCurves, RecordedSearch
from carbon_midl.book.figures import POLICY_LABELS
from carbon_midl.lidc import READERS
from carbon_midl.lidc.statistics import Statistics
from carbon_midl.measures import COLLECTION_DRAWS, DRAWS
from carbon_midl.selection.criteria import PRICE_SHARE, all_criteria
from carbon_midl.study.results import Results, named_rows
from carbon_midl.training.data import FRACTIONS
from carbon_midl.units import times

SCHEDULES = {"cosine": "falling to zero along a cosine", "constant": "kept constant"}


def book_numbers(evidence: Evidence, shown: Results) -> dict[str, str]:
    """Name to printed text, for the book's substitutions.

    Args:
        evidence: what the book speaks of.
        shown: results of the study whose notebooks are shown.
    """
    numbers: dict[str, str] = {}
    for of_study in (
        growth_numbers, crops_numbers, training_numbers, energy_numbers, result_numbers, price_numbers,
        selection_numbers,
    ):  # fmt: skip
        numbers |= of_study(evidence)
    for of_collection in (lidc_counts, lidc_sizes, lidc_ratings, lidc_agreement, lidc_leak):
        numbers |= of_collection(evidence.statistics)
    return {
        **{name: w.unbroken(text) for name, text in numbers.items()},
        "phantom_transfer": records.phantom_transfer(evidence.root),
        "leak": records.leak_text(evidence.root),
        "home_width": records.home_width_text(evidence),
        "own_footprint": w.own_footprint(shown, evidence.root),
        "reruns": records.reruns_text(evidence),
        "runs_shown": w.runs_shown(evidence.results.manifest, shown.manifest),
        **published_numbers(evidence.published),
        **search_numbers(evidence.search),
    }


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
        "growth_factor": f"{w.significant(factor)}-fold",
        "growth_years": w.significant(years, 2),
        "growth_doubling": f"{w.significant(12 * years / math.log2(factor), 2)} months",
    }


def crops_numbers(evidence: Evidence) -> dict[str, str]:
    """The crops, their target and their split."""
    manifest = evidence.results.manifest
    crops, split = manifest["crops"], manifest["split"]
    return {
        "banner": w.banner(evidence.is_phantom),
        "caveat": w.caveat(evidence.is_phantom),
        "crops_patients": f"{crops['patients']:,}",
        "crops_slices": f"{crops['slices']:,}",
        "without_target": f"{manifest['slices']['without_target']:,}",
        "crop_size": f"{crops['size']} × {crops['size']}",
        "split_train": f"{split['train']:,}",
        "split_validation": f"{split['validation']:,}",
        "split_test": f"{split['test']:,}",
        "target": w.target(manifest["options"]["readers"]),
    }


def training_numbers(evidence: Evidence) -> dict[str, str]:
    """The candidates, their training and the machine."""
    manifest, runs = evidence.results.manifest, evidence.results.runs
    hardware, versions, options = manifest["hardware"], manifest["versions"], manifest["options"]
    processor = f"{hardware['cpu']} ({w.plural(int(hardware['cores']), 'core')})"
    graphics = hardware.get("gpu") or []
    widths = evidence.bootstrap.widths
    first, last = (datetime.fromisoformat(manifest["dates"][key]).date() for key in ("first", "last"))
    machines = {json.dumps(environment["hardware"], sort_keys=True) for environment in manifest["environments"]}
    return {
        "widths": w.joined(widths),
        "widths_count": w.count(len(widths)),
        "width_narrowest": str(widths[0]),
        "width_widest": str(widths[-1]),
        "seeds": w.seeds_text(evidence),
        "n": w.n_text(evidence),
        "runs_done": str(len(runs)),
        "runs_left_out": w.left_out(manifest["runs_left_out"]),
        "test_patients": f"{evidence.bootstrap.patients:,}",
        "test_slices": f"{int(runs['test_slices'].max()):,}",
        "epochs": w.joined(sorted(runs["epochs"].unique())),
        "epochs_trained": w.span(int(runs["epochs_trained"].min()), int(runs["epochs_trained"].max())),
        "batch_size": str(options["batch_size"]),
        "learning_rate": str(options["learning_rate"]),
        "schedule": SCHEDULES[options["schedule"]],
        "augmentation": "random flips and quarter turns" if options["augment"] else "no augmentation",
        "recipe": options["recipe"],
        "depth": w.count(evidence.depth),
        "machines": "One machine" if len(machines) == 1 else f"{w.count(len(machines)).capitalize()} kinds of machine",
        "hardware": f"{processor} and {w.joined(graphics)}" if graphics else f"{processor}, without a GPU",
        "software": f"Python {versions['python']} and PyTorch {versions['torch']}",
        "recorded": f"on {first}" if first == last else f"from {first} to {last}",
    }


def energy_numbers(evidence: Evidence) -> dict[str, str]:
    """How energy and carbon were obtained, and how energy grows with arithmetic."""
    manifest, runs = evidence.results.manifest, evidence.results.runs
    narrow, wide = evidence.widths.iloc[0], evidence.widths.iloc[-1]
    arithmetic, energy = float(wide["macs"] / narrow["macs"]), float(wide["energy_kwh"] / narrow["energy_kwh"])
    return {
        "energy_honesty": w.energy_honesty(runs),
        "pue": w.joined([f"{value:g}" for value in sorted(runs["pue"].unique())]),
        "pue_source": w.joined(manifest["pue_sources"]),
        "energy_notes": w.energy_notes(manifest["footprint_notes"]),
        "intensity": w.joined([f"{value:g}" for value in sorted(runs["intensity_g_per_kwh"].unique())]) + " g/kWh",
        "intensity_source": w.joined(sorted(runs["intensity_source"].astype(str).unique())),
        "energy_spread": w.energy_spread(runs),
        "tracker_agreement": w.tracker_agreement(runs),
        "macs_ratio": times(arithmetic),
        "energy_ratio": times(energy),
        "macs_reading": w.macs_reading(arithmetic, energy),
    }


def result_numbers(evidence: Evidence) -> dict[str, str]:
    """Dice and carbon of the cheapest and the dearest width, and what follows from all of them."""
    bootstrap, carbon_g = evidence.bootstrap, evidence.carbon_g
    cheapest, dearest = evidence.extremes
    return {
        "cheapest": f"F = {cheapest}",
        "dearest": f"F = {dearest}",
        "cheapest_dice": w.dice_interval(bootstrap.dice(cheapest)),
        "dearest_dice": w.dice_interval(bootstrap.dice(dearest)),
        "cheapest_carbon": f"{w.carbon(carbon_g[cheapest])} CO₂eq",
        "dearest_carbon": f"{w.carbon(carbon_g[dearest])} CO₂eq",
        "carbon_ratio": times(carbon_g[dearest] / carbon_g[cheapest]),
        "gain_points": w.points_interval(bootstrap.difference(cheapest, dearest)),
        "headline": w.headline(evidence),
        "enough": w.enough(evidence),
        "enough_lesson": w.enough_lesson(evidence),
        "steps": w.steps(evidence),
        "draws": f"{DRAWS:,}",
        "poster_verdict": w.poster_verdict(evidence),
    }


def price_numbers(evidence: Evidence) -> dict[str, str]:
    """What the whole selection took."""
    runs = evidence.results.runs
    one_run_g = runs.groupby("filters")["carbon_whole_run_g"].mean().to_dict()
    share = evidence.price.set_index("filters")["share"]
    cheapest, dearest = evidence.extremes
    abandoned = evidence.results.manifest["abandoned"]
    total_g = float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"]
    return {
        "abandoned": w.abandoned(abandoned),
        "total_energy": w.energy(float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]),
        "total_carbon": f"{w.carbon(total_g)} CO₂eq",
        "total_in_cheapest": times(total_g / one_run_g[cheapest]),
        "total_in_dearest": times(total_g / one_run_g[dearest]),
        "dearest_share": w.percent(share[dearest]),
        "best_epoch_share": w.percent(float(runs["carbon_to_best_g"].sum() / runs["carbon_g"].sum())),
    }


def selection_numbers(evidence: Evidence) -> dict[str, str]:
    """The criteria and policies on the study's candidates."""
    table, on_grids = evidence.choices[0], evidence.choices_on_grids
    criteria: dict[str, Any] = {criterion.name: criterion for criterion in all_criteria(evidence.candidates)}
    intensity = on_grids.drop_duplicates("grid").set_index("grid")["g_per_kwh"]
    return {
        "criteria_budget": f"{w.carbon(criteria['budget'].limit)} CO₂eq",
        "criteria_price": f"{w.carbon(criteria['marginal'].limit)} CO₂eq",
        "criteria_price_share": f"{100 * PRICE_SHARE:g} %",
        "criteria_margin": w.dice(criteria["noninferior"].margin),
        "criteria_agree": w.agreement(table),
        "criteria_sure": w.certainty(table),
        "criteria_grid_ratio": times(intensity[GRIDS[-1]] / intensity[GRIDS[0]]),
        "criteria_grids": w.moved_by_grid(evidence),
        "replay_reading": w.replay_reading(evidence.replays),
        "replay_seeds": w.plural(int(evidence.replays["draws"].iloc[0]), "seed"),
    }


def lidc_counts(statistics: Statistics) -> dict[str, str]:
    """Scans, nodules and readings of the collection."""
    counts = dict(zip(statistics["counts"]["name"], statistics["counts"]["count"], strict=True))
    names = {
        "lidc_scans": "scans", "lidc_patients": "patients", "lidc_annotations": "annotations",
        "lidc_patients_twice": "patients with two scans", "lidc_scans_outlined": "scans with nodules",
        "lidc_patients_outlined": "patients with nodules", "lidc_nodules": "nodules",
        "lidc_nodules_several": "nodules of several readers", "lidc_readings": "readings",
        "lidc_left_out": "readings left out",
        "lidc_left_out_scans": "scans with readings left out", "lidc_slices": "slices",
        "lidc_slices_consensus": "slices with consensus", "lidc_outlines": "outlines",
        "lidc_uneven": "scans of uneven spacing", "lidc_overlapping": "scans of overlapping slices",
    }  # fmt: skip
    by_readers = {row.readers: row for row in named_rows(statistics["readers"])}
    return {
        **{name: f"{counts[counted]:,}" for name, counted in names.items()},
        "lidc_draws": f"{COLLECTION_DRAWS:,}",
        "lidc_example_slices": w.count(statistics["example"]["slice"].nunique()),
        "lidc_all_four": w.percent_interval(by_readers[READERS], "share"),
        "lidc_only_one": w.percent_interval(by_readers[1], "share"),
    }


def lidc_sizes(statistics: Statistics) -> dict[str, str]:
    """How large nodules are, and how thick slices."""
    quantiles = {row.quantity: row for row in named_rows(statistics["quantiles"])}
    diameter, slices, area = (quantiles[name] for name in ("diameter, mm", "slices", "outline, px"))
    smallest, *_, largest = named_rows(statistics["bands"])
    thickness = statistics["thickness"]
    return {
        "lidc_diameter": f"{w.size(diameter.p50)} mm",
        "lidc_diameter_range": f"{w.size(diameter.p5)} to {w.size(diameter.p95)} mm",
        "lidc_slices_median": w.size(slices.p50),
        "lidc_slices_range": f"{w.size(slices.p5)} to {w.size(slices.p95)}",
        "lidc_area": f"{w.size(area.p50)} px",
        "lidc_area_range": f"{w.size(area.p5)} to {w.size(area.p95)} px",
        "lidc_smallest_share": w.percent_interval(smallest, "share"),
        "lidc_smallest_unanimous": w.percent_interval(smallest, "unanimous"),
        "lidc_largest_unanimous": w.percent_interval(largest, "unanimous"),
        "lidc_thickness_range": f"{thickness['thickness_mm'].min():g} to {thickness['thickness_mm'].max():g} mm",
        "lidc_spacing_range": f"{thickness['spacing_min_mm'].min():.2f} to {thickness['spacing_max_mm'].max():.2f} mm",
    }


def lidc_ratings(statistics: Statistics) -> dict[str, str]:
    """How far two readers agree in what they rate."""
    differences = {(row.rating, row.measure): row for row in named_rows(statistics["rating differences"])}
    exact = differences["malignancy", "exact"]
    (opposed,) = named_rows(statistics["opposed malignancy"])
    return {
        "lidc_rating_pairs": f"{exact.n:,} pairs in {exact.patients:,} patients",
        "lidc_malignancy_exact": w.percent_interval(exact),
        "lidc_malignancy_chance": w.percent(differences["malignancy", "chance"].estimate),
        "lidc_malignancy_within_one": w.percent_interval(differences["malignancy", "within one"]),
        "lidc_malignancy_opposed": w.percent_interval(opposed),
        "lidc_structure_exact": w.percent(differences["internal_structure", "exact"].estimate),
        "lidc_structure_chance": w.percent(differences["internal_structure", "chance"].estimate),
    }


def lidc_agreement(statistics: Statistics) -> dict[str, str]:
    """How far two readers' outlines agree, and how often a reader draws none."""
    on_slices, smallest, *_, largest = named_rows(statistics["slice dice"])
    in_3d, *_ = named_rows(statistics["nodule dice"])
    silence = {row.question: row for row in named_rows(statistics["silence"])}
    nodule, anywhere, own, dice = (silence[name] for name in ("nodule", "slice", "slice of own nodule", "dice"))
    return {
        "lidc_slice_dice": w.dice_interval(on_slices, "mean"),
        "lidc_slice_dice_median": w.dice_interval(on_slices, "median"),
        "lidc_slice_pairs": f"{on_slices.pairs:,} pairs, {on_slices.patients:,} patients",
        "lidc_nodule_dice": w.dice_interval(in_3d, "mean"),
        "lidc_nodule_dice_median": w.dice_interval(in_3d, "median"),
        "lidc_nodule_pairs": f"{in_3d.pairs:,} pairs, {in_3d.patients:,} patients",
        "lidc_dice_smallest": w.dice_interval(smallest, "mean"),
        "lidc_dice_largest": w.dice_interval(largest, "mean"),
        "lidc_silent_nodule": w.percent_interval(nodule),
        "lidc_silent_nodule_n": f"{nodule.n:,}",
        "lidc_silent_slice": w.percent_interval(anywhere),
        "lidc_silent_slice_n": f"{anywhere.n:,}",
        "lidc_silent_own": w.percent_interval(own),
        "lidc_silent_own_n": f"{own.n:,}",
        "lidc_dice_with_silent": w.dice_interval(dice),
        "lidc_dice_with_silent_n": f"{dice.n:,}",
    }


def lidc_leak(statistics: Statistics) -> dict[str, str]:
    """What a copycat reaches on a split by slice and on one by patient."""
    copycat = {(row.split, row.measure): row for row in named_rows(statistics["copycat"])}
    by_slice, by_patient = (copycat[split, "dice"] for split in (BY_SLICE, BY_PATIENT))
    return {
        "lidc_leak_train": f"{FRACTIONS[0]:.0%}".replace("%", " %"),
        "lidc_leak_test": f"{FRACTIONS[2]:.0%}".replace("%", " %"),
        "lidc_leak_splits": w.count(by_slice.splits),
        "lidc_leak_neighbour": w.percent_interval(copycat[BY_SLICE, "neighbour"]),
        "lidc_leak_nodule": w.percent_interval(copycat[BY_SLICE, "nodule"]),
        "lidc_leak_by_slice": w.dice_interval(by_slice),
        "lidc_leak_by_slice_n": f"{by_slice.n:,} test slices of {by_slice.patients:,} patients",
        "lidc_leak_by_patient": w.dice_interval(by_patient),
        "lidc_leak_by_patient_n": f"{by_patient.n:,} test slices of {by_patient.patients:,} patients",
        "lidc_leak_points": w.significant(100 * (by_slice.estimate - by_patient.estimate), 2),
    }


def published_numbers(record: PublishedCurves) -> dict[str, str]:
    """What was recorded of the published curves."""
    manifest = record.manifest
    models, epochs = (sorted(map(int, manifest[name].values())) for name in ("models", "epochs"))
    return {
        "published_models": w.span(models[0], models[-1]),
        "published_epochs": w.span(epochs[0], epochs[-1]),
        "published_tolerance": f"{100 * manifest['tolerance']:g}",
        "published_least": f"{100 * manifest['least']:g} %",
        "published_policies": f"{record.policies['policy'].nunique()}",
        "published_draws": f"{manifest['test_draws']:,}",
        "published_tuned": " ".join(w.tuned_sentence(record, there) for there in w.DATASETS),
        "published_choices": w.choices_sentence(record.choices),
        "published_convergence": w.convergence_sentences(record.convergence),
    }


def search_numbers(record: RecordedSearch) -> dict[str, str]:
    """What the recorded search did."""
    outcome = record.outcome
    return {
        "search_candidates": w.count(len(outcome["candidates"])),
        "search_steps": w.count(outcome["steps"]),
        "search_policy": POLICY_LABELS[outcome["policy"]],
        "search_choice": w.choice_sentence(record),
        "search_price": w.price_sentence(record),
    }
