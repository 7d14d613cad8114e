"""Every number of the text, by name, as it is printed.

How an estimate with its interval is printed comes first; tables print theirs the same way.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from carbon_midl import units
from carbon_midl.book import claims
from carbon_midl.book.evidence import BY_PATIENT, BY_SLICE, GRIDS, PAGES, Evidence, WidthStudy
from carbon_midl.files import read_json
from carbon_midl.footprint.meter import J_PER_KWH
from carbon_midl.footprint.sensors import how_known
from carbon_midl.footprint.uncertainty import CarbonSpread
from carbon_midl.measures import DRAWS
from carbon_midl.selection.criteria import PRICE_SHARE
from carbon_midl.study.results import named_rows
from carbon_midl.training.options import SLICES_PER_SCAN
from carbon_midl.units import count, dice, joined, percent, plural, signed, significant, span, times, unbroken

energy, carbon, duration = (partial(form, page=True) for form in (units.energy, units.carbon, units.duration))


def interval(form: Callable[[float], str], row: Any, name: str = "estimate") -> str:
    """The named estimate of a row with the limits beside it, ``median_low`` or, without such, ``low``.

    With the form ``dice`` it is ``0.701 (0.650 to 0.748)``, with ``percent`` it is ``34.4 % (32.2 to 36.5 %)``.
    """
    prefix = f"{name}_" if hasattr(row, f"{name}_low") else ""
    estimate, low, high = (form(getattr(row, part)) for part in (name, f"{prefix}low", f"{prefix}high"))
    return f"{estimate} ({low.removesuffix(' %')} to {high})"


dice_interval, percent_interval = partial(interval, dice), partial(interval, percent)
# ``+0.6 % (−1.2 to +2.4 %)``
signed_percent_interval = partial(interval, lambda fraction: f"{signed(100 * fraction)} %")


def cell(text: str) -> str:
    """An interval for a column of a table, whose header says if it is in per cent: ``34.4 (32.2–36.5)``."""
    return text.replace(" %", "").replace(" to ", "–")


def points_interval(row: Any, name: str = "estimate") -> str:
    """``+1.2 points (+0.4 to +2.0)`` of a difference in Dice, a point being 0.01."""
    return interval(lambda difference: signed(100 * difference), row, name).replace(" (", " points (")


def of_hundred(row: Any, name: str) -> str:
    """``5.1 % (3.2 to 7.5 %)`` of a quantity in per cent."""
    return interval(lambda value: f"{significant(value, 2)} %", row, name)


def joules(row: Any) -> str:
    """``0.0577 (0.0570 to 0.0584) J`` of a row with ``energy_kwh`` and its interval."""
    return f"{interval(lambda kwh: significant(J_PER_KWH * kwh), row, 'energy_kwh')} J"


def candidate(row: Any, end: str) -> str:
    """``F = 4 for 10 epochs``, an end of a step along the frontier."""
    return f"F = {getattr(row, f'{end}_filters')} for {getattr(row, f'{end}_epochs'):.0f} epochs"


def grams(value: float, spread: CarbonSpread | None = None) -> str:
    """``1.13 g CO₂eq``, or with its interval ``1.1 (0.8–1.6) g CO₂eq``."""
    return f"{carbon(value, limits=spread and spread.limits())} CO₂eq"


def seeds_text(study: WidthStudy) -> str:
    """``5 seeds a width``."""
    seeds = study.runs.groupby("filters")["seed"].nunique()
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


def dates_text(dates: dict[str, str]) -> str:
    """``on 2026-01-02``, or from when to when."""
    first, last = (dates[key].partition("T")[0] for key in ("first", "last"))
    return f"on {first}" if first == last else f"from {first} to {last}"


NUMBERS: dict[str, Callable[[Evidence], str]] = {
    # How training compute grew.
    "growth_systems": lambda e: str(len(e.systems)),
    "growth_from": lambda e: e.systems["published"].min()[:4],
    "growth_to": lambda e: e.systems["published"].max()[:4],
    "growth_factor": lambda e: f"{significant(e.growth_factor)}-fold",
    "growth_years": lambda e: significant(e.growth_years, 2),
    "growth_doubling": lambda e: f"{significant(12 * e.growth_years / math.log2(e.growth_factor), 2)} months",
    # The crops and their split, the widths, their training, the machine, and the trials before.
    "crops_patients": lambda e: f"{e.manifest['crops']['patients']:,}",
    "crops_slices": lambda e: f"{e.manifest['crops']['slices']:,}",
    "without_target": lambda e: f"{e.manifest['slices']['without_target']:,}",
    "crops_fingerprint": lambda e: e.manifest["crops"]["fingerprint"][:12],
    "crop_size": lambda e: "{size} × {size}".format(**e.manifest["crops"]),
    "split_train": lambda e: f"{e.manifest['split']['train']:,}",
    "split_validation": lambda e: f"{e.manifest['split']['validation']:,}",
    "split_test": lambda e: f"{e.manifest['split']['test']:,}",
    "train_slices": lambda e: f"{e.manifest['slices']['train']:,}",
    "validation_slices": lambda e: f"{e.manifest['slices']['validation']:,}",
    "test_slices": lambda e: f"{e.manifest['slices']['test']:,}",
    "widths": lambda e: joined(e.bootstrap.widths),
    "widths_count": lambda e: count(len(e.bootstrap.widths)),
    "width_narrowest": lambda e: str(e.bootstrap.widths[0]),
    "width_widest": lambda e: str(e.bootstrap.widths[-1]),
    "seeds": seeds_text,
    "n": n_text,
    "runs_done": lambda e: str(len(e.runs)),
    "test_patients": lambda e: f"{e.bootstrap.patients:,}",
    "epochs": lambda e: count(int(e.runs["epochs"].max())).capitalize(),
    "batch_size": lambda e: str(e.manifest["options"]["batch_size"]),
    "learning_rate": lambda e: str(e.manifest["options"]["learning_rate"]),
    "depth": lambda e: count(e.depth),
    "hardware": lambda e: hardware_text(e.manifest["hardware"]),
    "software": lambda e: "Python {python} and PyTorch {torch}".format(**e.manifest["versions"]),
    "recorded": lambda e: dates_text(e.manifest["dates"]),
    "step_sizes": lambda e: count(len(claims.step_sizes(e))),
    "step_size_points": lambda e: significant(100 * (claims.step_sizes(e)[1e-3] - claims.step_sizes(e)[3e-3]), 2),
    "rerun_dice": lambda e: dice(claims.rerun(e, 16).test_dice_patients),
    "rerun_first": lambda e: dice(claims.rerun(e, 16).test_dice_patients_first),
    # How energy and carbon were obtained, and how energy grows with arithmetic.
    "gpu_share": lambda e: percent(claims.gpu_share(e)),
    "pue": lambda e: joined([f"{pue:g}" for pue in sorted(e.runs["pue"].unique())]),
    "pue_source": lambda e: joined(e.manifest["pue_sources"]),
    "intensity": lambda e: joined([f"{g:g}" for g in sorted(e.runs["intensity_g_per_kwh"].unique())]) + " g/kWh",
    "intensity_source": lambda e: joined(sorted(e.runs["intensity_source"].unique())),
    "training_seconds": lambda e: " to ".join(f"{s:.0f}" for s in e.runs["duration_s"].agg(["min", "max"])) + " s",
    "energy_spread": lambda e: times(claims.energy_spread(e)),
    "tracker_range": lambda e: " to ".join(f"{e.answer.trackers[end].agg(end):.2f}" for end in ("min", "max")),
    "time_ratio": lambda e: times(claims.growth(e, "duration_s")),
    "macs_ratio": lambda e: times(claims.growth(e, "macs")),
    "energy_ratio": lambda e: times(claims.growth(e, "energy_kwh")),
    # Dice and carbon of the cheapest, the best and the dearest width.
    "cheapest": lambda e: f"F = {e.extremes[0]}",
    "dearest": lambda e: f"F = {e.extremes[1]}",
    "cheapest_carbon": lambda e: f"{units.within(e.carbon_g[e.extremes[0]], e.spread.limits())} g CO₂eq",
    "dearest_carbon": lambda e: grams(e.carbon_g[e.extremes[1]], e.spread),
    "carbon_ratio": lambda e: times(e.carbon_g[e.extremes[1]] / e.carbon_g[e.extremes[0]]),
    "gain_points": lambda e: points_interval(e.bootstrap.difference(*e.extremes)),
    "small_gain": lambda e: points_interval(e.sizes.query("filters == 16").iloc[0], "gain"),
    "large_gain": lambda e: points_interval(e.sizes.query("filters == 16").iloc[-1], "gain"),
    "gain_to_best": lambda e: points_interval(e.bootstrap.difference(e.extremes[0], e.best)).replace("+", ""),
    "price_to_best": lambda e: f"{significant(claims.price(e, e.best).estimate, 2)} %",
    "price_to_best_interval": lambda e: "{1} to {2} %".format(*(significant(p, 2) for p in claims.price(e, e.best))),
    "extra_to_dearest": lambda e: f"{significant(claims.extra_carbon(e, e.extremes[1]))} %",
    "relative_to_dearest": lambda e: signed_percent_interval(e.bootstrap.relative_difference(*e.extremes)),
    "saved_carbon": lambda e: grams(e.carbon_g[e.extremes[1]] - e.carbon_g[e.best], e.spread),
    "could_be_best": lambda e: joined(e.candidates.could_be_best),
    "lead_points": lambda e: significant(100 * -np.subtract(*e.widths["dice"].nlargest(2)[::-1]), 2),
    "seed_sd": lambda e: " to ".join(f"{100 * sd:.1f}" for sd in (e.seed_sd.min(), e.seed_sd.max())),
    "width_points": lambda e: significant(100 * np.ptp(e.runs.groupby("filters")["val_dice"].mean()), 2),
    "step_price": lambda e: interval(carbon, e.steps.query("first == 8 and second == 16").iloc[0], "g_per_point"),
    "draws": lambda e: f"{DRAWS:,}",
    # What all of it took.
    "abandoned_carbon": lambda e: grams(e.manifest["abandoned"]["carbon_g"], e.spread),
    "abandoned_attempts": lambda e: f"{count(int(e.manifest['abandoned']['attempts']))} attempts",
    "total_energy": lambda e: energy(e.total_kwh),
    "total_carbon": lambda e: grams(e.total_g, e.spread),
    # From 20 °C, at 4.19 kJ for a litre and degree.
    "total_litres": lambda e: f"{e.total_kwh * 3600 / (4.19 * 80):.1f} litres",
    "total_in_cheapest": lambda e: significant(e.total_g / e.whole_run_g[e.extremes[0]]),
    "total_in_dearest": lambda e: significant(e.total_g / e.whole_run_g[e.extremes[1]]),
    "dearest_share": lambda e: percent(e.price.set_index("filters")["carbon_g"][e.extremes[1]] / e.total_g),
    "everything_runs": lambda e: plural(int(e.answer.everything["runs"].sum()), "run"),
    "everything_attempts": lambda e: plural(int(e.answer.everything["attempts"].sum()), "attempt"),
    "everything_energy": lambda e: energy(e.answer.everything["energy_kwh"].sum()),
    "everything_carbon": lambda e: grams(e.answer.everything["carbon_g"].sum(), e.cores_spread),  # most of it
    "build_energy": lambda e: energy(e.build.energy_kwh),
    "build_carbon": lambda e: grams(e.build.carbon_g(e.build.energy_kwh), e.build.spread(None)),
    "build_known": lambda e: how_known(*(window.method for window in e.build.windows)),
    # Every width at its best, and other ways to look at the study.
    "frontier_trainings": lambda e: plural(int(e.answer.frontier["n"].sum()), "training"),
    "frontier_seeds": lambda e: span(*e.answer.frontier["n"].agg(["min", "max"])),
    "frontier_from": lambda e: candidate(claims.poster_row(e, claims.FRONTIER), "from"),
    "frontier_to": lambda e: candidate(claims.poster_row(e, claims.FRONTIER), "to"),
    "frontier_carbon": lambda e: f"{significant(claims.poster_row(e, claims.FRONTIER).carbon)} %",
    "frontier_dice": lambda e: of_hundred(claims.poster_row(e, claims.FRONTIER), "dice"),
    "frontier_points": lambda e: joined(
        [
            energy(step.wh_per_point / 1000) + (" (no gain shown on test patients)" if step.gain_low <= 0 else "")
            for step in named_rows(e.answer.frontier.query("wh_per_point > 0").sort_values("energy_wh"))
        ]
    ),
    "frontier_price": lambda e: of_hundred(claims.poster_row(e, claims.FRONTIER), "price"),
    "cores_sixteen_to_four": lambda e: times(claims.sixteen_to_four(e)[0]),
    "gpu_sixteen_to_four": lambda e: times(claims.sixteen_to_four(e)[1]),
    "fixed_price": lambda e: of_hundred(claims.poster_row(e, claims.FIXED), "price"),
    "three_wh_points": lambda e: significant(100 * np.ptp(claims.at_three_wh(e)["test_dice"]), 2),
    "three_wh_energy": lambda e: "{} to {}".format(
        *claims.at_three_wh(e)["energy_wh"].agg(["min", "max"]).map(significant)
    ),
    "rotated_slices": lambda e: f"{claims.best_beside_readers(e).slices:,}",
    "rotated_patients": lambda e: str(claims.best_beside_readers(e).patients),
    "rotated_trainings": lambda e: plural(claims.best_beside_readers(e).trainings, "training"),
    "rotated_reader": lambda e: dice_interval(claims.best_beside_readers(e), "reader"),
    "rotated_network": lambda e: dice_interval(claims.best_beside_readers(e), "network"),
    "rotated_difference": lambda e: points_interval(claims.best_beside_readers(e), "difference"),
    "within_two": lambda e: percent(claims.best_beside_readers(e).surface_dice_2px),
    "sure": lambda e: f"{claims.best_beside_readers(e).sure:.2f}",
    "readers_when_sure": lambda e: percent(claims.best_beside_readers(e).readers_when_sure),
    "marked": lambda e: percent(claims.best_beside_readers(e).marked),
    "steps_energy": lambda e: energy(e.answer.step_sizes["energy_wh"].sum() / 1000),
    "counted_least": lambda e: times(e.answer.counted["F64_ratio"].min()),
    "counted_most": lambda e: times(e.answer.counted["F64_ratio"][e.answer.counted["counted"] != "arithmetic"].max()),
    "single_pairs": lambda e: str(e.answer.replicability["pairs"].iloc[0]),
    "single_64_beats_4": lambda e: percent(claims.wider_is_better(e, 4, 64)),
    "optimism_one": lambda e: f"{e.answer.optimism['points'].iloc[0]:.1f}",
    "half_width_five": lambda e: f"{e.answer.power.set_index('seeds')['half_width'][5]:.1f}",
    "half_width_one": lambda e: f"{e.answer.power.set_index('seeds')['half_width'][1]:.1f}",
    "half_width_ten": lambda e: f"{e.answer.power.set_index('seeds')['half_width'][10]:.1f}",
    "targets_dice": lambda e: joined([dice(mean) for mean in e.answer.targets.query("filters == 16")["dice"]]),
    "targets_gain": lambda e: joined([f"{gain:.1f}" for gain in e.answer.targets.query("filters == 16")["gain"]]),
    "cflow_epochs": lambda e: joined(e.answer.cflow["epochs_trained"]),
    "cflow_narrow": lambda e: dice_interval(e.answer.cflow.iloc[0], "test_dice"),
    "cflow_wide": lambda e: dice_interval(e.answer.cflow.iloc[-1], "test_dice"),
    # Beside the networks: readers, a threshold, both splits, both recipes.
    "reader_slices": lambda e: f"{claims.yardstick(e, claims.READER).four_n:,}",
    "reader_patients": lambda e: f"{claims.yardstick(e, claims.READER).four_patients:,}",
    "reader_dice": lambda e: dice_interval(claims.yardstick(e, claims.READER), "four"),
    "network_dice": lambda e: dice_interval(claims.yardstick(e, "Best U-Net"), "four"),
    "network_against_reader": lambda e: points_interval(claims.against_reader(e)),
    "threshold": lambda e: f"{claims.yardstick(e, 'Threshold').level:g}",
    "threshold_dice": lambda e: dice_interval(claims.yardstick(e, "Threshold"), "every"),
    "leak_by_slice": lambda e: dice_interval(e.leak[BY_SLICE]),
    "leak_by_patient": lambda e: dice_interval(e.leak[BY_PATIENT]),
    "leak_by_slice_n": lambda e: f"{e.leak[BY_SLICE].n:,}",
    "leak_by_patient_n": lambda e: f"{e.leak[BY_PATIENT].n:,}",
    "recipes_n": lambda e: plural(e.answer.recipes_lidc["patients"].iloc[0], "test patient"),
    "recipes_phantom_n": lambda e: "{patients} test patients, {seeds} seeds".format(**e.answer.recipes_phantom.iloc[0]),
    "recipes_narrowest": lambda e: str(e.answer.recipes_lidc["filters"].iloc[0]),
    "recipes_widest": lambda e: str(e.answer.recipes_lidc["filters"].iloc[-1]),
    "recipes_narrowest_reference": lambda e: energy(e.answer.recipes_lidc["reference_kwh"].iloc[0]),
    "recipes_widest_efficient": lambda e: energy(e.answer.recipes_lidc["efficient_kwh"].iloc[-1]),
    # The criteria and policies on the study's candidates.
    "criteria_budget": lambda e: grams(e.criteria["budget"].limit),
    "criteria_price": lambda e: grams(e.criteria["marginal"].limit),
    "criteria_price_share": lambda e: f"{100 * PRICE_SHARE:g} %",
    "criteria_margin": lambda e: dice(e.criteria["noninferior"].margin),
    "criteria_least_sure": lambda e: percent(e.choices["probability"].min()),
    "criteria_runner_up": lambda e: f"F = {e.choices.set_index('name')['runner_up']['noninferior']}",
    "criteria_grids": lambda e: joined(GRIDS).replace("world", "the world"),
    "criteria_grid_ratio": lambda e: times(np.divide(*e.choices_on_grids["g_per_kwh"].iloc[[-1, 0]])),
    # Use beside training.
    "use_narrow": lambda e: joules(e.uses.loc[(64, 4)]),
    "use_wide": lambda e: joules(e.uses.loc[(64, 16)]),
    "use_known": lambda e: how_known(*e.uses["method"]),
    "slices_per_scan": lambda _: str(SLICES_PER_SCAN),
    "use_matches": lambda e: significant(claims.longest(e)["until_training"].min()),
    "use_matches_scans": lambda e: significant(claims.longest(e)["until_training"].min() / SLICES_PER_SCAN),
    # On the GPU at F = 16, all outside the training: at least a use of every test slice.
    "use_gpu_share": lambda e: percent(e.whole_run_g[16] / e.carbon_g[16] - 1),
    "use_gpu_matches": lambda e: significant(e.manifest["slices"]["test"] / (e.whole_run_g[16] / e.carbon_g[16] - 1)),
    "replay_seeds": lambda e: plural(int(e.replays["draws"].iloc[0]), "seed"),
}
"""Of the chapters, by the name that they show them by."""


SHOWN_NUMBERS: dict[str, Callable[[WidthStudy], str]] = {
    "shown_title": lambda study: study.manifest["title"],
    "shown_images": lambda study: "phantoms" if study.manifest["crops"]["kind"] == "phantom" else "CT",
    "shown_slices": lambda study: f"{study.manifest['crops']['slices']:,}",
    "shown_patients": lambda study: f"{study.manifest['crops']['patients']:,}",
    "shown_n": n_text,
    "shown_hardware": lambda study: hardware_text(study.manifest["hardware"]),
    "shown_runs": lambda study: str(len(study.runs)),
    "shown_energy": lambda study: energy(study.runs["energy_whole_run_kwh"].sum()),
    "shown_carbon": lambda study: grams(study.runs["carbon_whole_run_g"].sum(), study.spread),
    "shown_known": lambda study: how_known(*study.runs["energy_method"].unique()),
    "shown_best": lambda study: str(study.best),
    "shown_could_be_best": lambda study: joined(study.candidates.could_be_best),
}
"""Of the study in the appendix."""


def book_numbers(evidence: Evidence, shown: WidthStudy) -> dict[str, str]:
    """Name to printed text, for the book's substitutions, those that scripts printed among them."""
    numbers = {name: number(evidence) for name, number in NUMBERS.items()}
    for page in PAGES:
        numbers |= read_json(evidence.root / page / "numbers.json")
    numbers |= {name: number(shown) for name, number in SHOWN_NUMBERS.items()}
    return {name: unbroken(text) for name, text in numbers.items()}
