"""Every number of the text that comes from results or from the table of systems, by name."""

import json
import math
from datetime import datetime
from typing import Any

import pandas as pd

from carbon_midl.book import claims
from carbon_midl.book import wording as w
from carbon_midl.book.evidence import Evidence
from carbon_midl.book.selection import selection_numbers
from carbon_midl.measures import DRAWS

SCHEDULES = {"cosine": "falling to zero along a cosine", "constant": "kept constant"}


def book_numbers(evidence: Evidence) -> dict[str, str]:
    """Name to printed text, for the book's substitutions."""
    numbers = {
        **growth_numbers(evidence.systems),
        **crops_numbers(evidence.results.manifest),
        **training_numbers(evidence),
        **energy_numbers(evidence),
        **result_numbers(evidence),
        **price_numbers(evidence),
        **selection_numbers(evidence),
    }
    return {name: w.unbroken(text) for name, text in numbers.items()}


def growth_numbers(systems: pd.DataFrame) -> dict[str, str]:
    """The growth of training compute, from AlexNet to AlphaGo Zero as OpenAI counted it."""
    flop = systems.set_index("system")["training_compute_flop"].astype(float)
    dates = pd.to_datetime(systems.set_index("system")["published"])
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


def crops_numbers(manifest: dict[str, Any]) -> dict[str, str]:
    """The crops, their target and their split."""
    crops, split = manifest["crops"], manifest["split"]
    return {
        "banner": claims.banner(crops["kind"]),
        "caveat": claims.caveat(crops["kind"]),
        "crops_patients": f"{crops['patients']:,}",
        "crops_slices": f"{crops['slices']:,}",
        "without_target": f"{manifest['slices']['without_target']:,}",
        "crop_size": f"{crops['size']} × {crops['size']}",
        "split_train": f"{split['train']:,}",
        "split_validation": f"{split['validation']:,}",
        "split_test": f"{split['test']:,}",
        "target": claims.target(manifest["options"]["readers"]),
    }


def training_numbers(evidence: Evidence) -> dict[str, str]:
    """The candidates, their training and the machine."""
    manifest, runs = evidence.results.manifest, evidence.results.runs
    hardware, versions, options = manifest["hardware"], manifest["versions"], manifest["options"]
    processor = f"{hardware['cpu']} ({w.plural(int(hardware['cores']), 'core')})"
    graphics = hardware.get("gpu") or []
    widths = evidence.bootstrap.widths
    machines = {json.dumps(environment["hardware"], sort_keys=True) for environment in manifest["environments"]}
    return {
        "widths": w.joined(widths),
        "widths_count": w.count(len(widths)),
        "width_narrowest": str(widths[0]),
        "width_widest": str(widths[-1]),
        "seeds": claims.seeds_text(evidence),
        "n": claims.n_text(evidence),
        "runs_done": str(len(runs)),
        "runs_left_out": claims.left_out(manifest["runs_left_out"]),
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
        "recorded": recorded(manifest["dates"]),
    }


def recorded(dates: dict[str, str]) -> str:
    """When the runs were made."""
    first, last = (datetime.fromisoformat(dates[key]).date() for key in ("first", "last"))
    return f"on {first}" if first == last else f"from {first} to {last}"


def energy_numbers(evidence: Evidence) -> dict[str, str]:
    """How energy and carbon were obtained, and how energy grows with arithmetic."""
    manifest, runs = evidence.results.manifest, evidence.results.runs
    narrow, wide = evidence.widths.iloc[0], evidence.widths.iloc[-1]
    arithmetic, energy = float(wide["macs"] / narrow["macs"]), float(wide["energy_kwh"] / narrow["energy_kwh"])
    return {
        "energy_honesty": claims.energy_honesty(runs),
        "pue": w.joined([f"{value:g}" for value in sorted(runs["pue"].unique())]),
        "pue_source": w.joined(manifest["pue_sources"]),
        "energy_notes": claims.energy_notes(manifest["footprint_notes"]),
        "intensity": w.joined([f"{value:g}" for value in sorted(runs["intensity_g_per_kwh"].unique())]) + " g/kWh",
        "intensity_source": w.joined(sorted(runs["intensity_source"].astype(str).unique())),
        "energy_spread": claims.energy_spread(runs),
        "tracker_agreement": claims.tracker_agreement(runs),
        "macs_ratio": w.times(arithmetic),
        "energy_ratio": w.times(energy),
        "macs_reading": claims.macs_reading(arithmetic, energy),
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
        "carbon_ratio": w.times(carbon_g[dearest] / carbon_g[cheapest]),
        "gain_points": w.points_interval(bootstrap.difference(cheapest, dearest)),
        "headline": claims.headline(evidence),
        "enough": claims.enough(evidence),
        "enough_lesson": claims.enough_lesson(evidence),
        "steps": claims.steps(evidence),
        "draws": f"{DRAWS:,}",
        "poster_verdict": claims.poster_verdict(evidence),
    }


def price_numbers(evidence: Evidence) -> dict[str, str]:
    """What the whole selection took."""
    runs = evidence.results.runs
    one_run_g = runs.groupby("filters")["carbon_whole_run_g"].mean().to_dict()
    share = dict(zip(evidence.price["filters"], evidence.price["share"], strict=True))
    cheapest, dearest = evidence.extremes
    abandoned = evidence.results.manifest["abandoned"]
    total_g = float(runs["carbon_whole_run_g"].sum()) + abandoned["carbon_g"]
    return {
        "abandoned": claims.abandoned(abandoned),
        "total_energy": w.energy(float(runs["energy_whole_run_kwh"].sum()) + abandoned["energy_kwh"]),
        "total_carbon": f"{w.carbon(total_g)} CO₂eq",
        "total_in_cheapest": w.times(total_g / one_run_g[cheapest]),
        "total_in_dearest": w.times(total_g / one_run_g[dearest]),
        "dearest_share": w.percent(share[dearest]),
        "best_epoch_share": w.percent(float(runs["carbon_to_best_g"].sum() / runs["carbon_g"].sum())),
    }
