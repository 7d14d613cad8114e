"""The sentences of the text that depend on results, worded so that they stay true whatever the results say.

Numbers as the book prints them come first.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from carbon_midl import units
from carbon_midl.book.evidence import GRIDS, PAPER_WIDTHS, Evidence, PublishedCurves, RecordedSearch
from carbon_midl.book.figures import CRITERION_LABELS, POLICY_LABELS
from carbon_midl.footprint import read_footprint
from carbon_midl.footprint.sensors import how_known
from carbon_midl.measures import Estimate, Interval
from carbon_midl.study.results import Results, named_rows
from carbon_midl.units import count, dice, joined, percent, plural, signed, significant, span

POSTER_CARBON_PERCENT_PER_DICE_PERCENT = 1500.0
"""Selvan, MIDL 2021: about 1 % Dice for 1500 % more carbon."""
MOST_NAMED = 4
"""More runs than these are counted and not named."""
ABOUT_EQUAL = 1.25
"""Of two growth factors within this ratio neither is called slower."""
DATASETS = {"lidc": "LIDC-IDRI", "derma": "DermaMNIST"}
AIM_WITHIN, AIM_SHARE = 0.9, 0.2
"""The aim: a regret within the tolerance in nine draws of ten, for a fifth of the full sweep's energy."""
BUILD = Path("results/book-build/footprint.json")

NBSP = "\N{NO-BREAK SPACE}"
energy, carbon, duration = (partial(form, page=True) for form in (units.energy, units.carbon, units.duration))


def unbroken(text: str) -> str:
    """Keep a number and its unit, and ``F = 8``, on one line."""
    text = re.sub(r"F = (?=\d)", f"F{NBSP}={NBSP}", text)
    return re.sub(r"(?<=\d) (?=(?:%|mg|g|kg|Wh|kWh|min|s|h|px)(?![\w/]))", NBSP, text)


def interval(row: Any, name: str = "estimate") -> Interval:
    """The named estimate of a row of a table with the limits beside it, ``median_low`` or, without such, ``low``."""
    prefix = f"{name}_" if hasattr(row, f"{name}_low") else ""
    return Interval(getattr(row, name), getattr(row, f"{prefix}low"), getattr(row, f"{prefix}high"))


def dice_interval(row: Any, name: str = "estimate") -> str:
    """``0.701 (0.650 to 0.748)``."""
    estimate, low, high = map(dice, interval(row, name))
    return f"{estimate} ({low} to {high})"


def dice_cell(row: Any, name: str = "estimate") -> str:
    """``0.779 (0.773–0.785)``, for a table."""
    return dice_interval(row, name).replace(" to ", "–")


def percent_interval(row: Any, name: str = "estimate") -> str:
    """``34.4 % (32.2 to 36.5 %)``."""
    estimate, low, high = map(percent, interval(row, name))
    return f"{estimate} ({low.removesuffix(' %')} to {high})"


def percent_cell(row: Any, name: str = "estimate") -> str:
    """``34.4 (32.2–36.5)``, for a column of a table whose header says that it is in per cent."""
    return percent_interval(row, name).replace(" %", "").replace(" to ", "–")


def points_interval(row: Any) -> str:
    """``+1.2 points (+0.4 to +2.0)`` of a difference in Dice, a point being 0.01."""
    estimate, low, high = (signed(100 * value) for value in interval(row))
    return f"{estimate} points ({low} to {high})"


def size(value: float) -> str:
    """A size that may be a whole number: ``4``, ``5.50``, ``1,898``."""
    return f"{value:,.0f}" if value == round(value) else significant(value)


def n_text(evidence: Evidence) -> str:
    """How many patients and seeds stand behind a mean."""
    return f"{plural(evidence.bootstrap.patients, 'test patient')}, {seeds_text(evidence)} a width"


def seeds_text(evidence: Evidence) -> str:
    """How many seeds a width was trained with."""
    seeds = evidence.results.runs.groupby("filters")["seed"].nunique()
    low, high = int(seeds.min()), int(seeds.max())
    return f"{span(low, high)} seed{'' if high == 1 else 's'}"


def banner(is_phantom: bool) -> str:
    """What the pictures of this edition are."""
    if is_phantom:
        return (
            "The images in this edition are **phantoms**: computed CT-like slices around the real nodule outlines that "
            "radiologists drew in LIDC-IDRI. They show that the whole study works, and what it costs; its Dice is not "
            "that of a CT."
        )
    return "The images in this edition are CT crops of LIDC-IDRI with the outlines of up to four readers each."


def caveat(is_phantom: bool) -> str:
    """What may be concluded from the edition's images."""
    if is_phantom:
        return (
            "These networks saw phantom images, so the comparison shows how the question is answered; it does not "
            "settle it for CT."
        )
    return (
        "These networks saw CT crops of LIDC-IDRI, but under a reconstructed protocol and on other hardware than the "
        "poster's."
    )


def target(readers: str) -> str:
    """What counts as nodule, as the end of the sentence "a pixel belongs to the nodule if …"."""
    consensus = {
        "any": "any reader outlined it",
        "all": "all four readers outlined it",
        "random": "one reader, drawn at random, outlined it; scored against at least 2 readers",
        "mean": "to the share of the readers who outlined it; scored against at least 2 readers",
    }
    return consensus.get(readers, f"{readers} of four readers outlined it")


def energy_notes(notes: list[str]) -> str:
    """What was recorded about the estimates of this edition, word for word."""
    caveats = [note for note in notes if note.startswith(("cpu:", "memory:"))]
    return " ".join(f"*{note}.*" for note in caveats)


def abandoned(attempts: dict[str, float]) -> str:
    """What attempts used that gave no result."""
    number = int(attempts["attempts"])
    if not number:
        return "no attempt was interrupted, failed or replaced on the way"
    share = f"{carbon(attempts['carbon_g'])} CO₂eq"
    were = "was" if number == 1 else "were"
    return f"{share} of that went into {plural(number, 'attempt')} that failed, or {were} interrupted or replaced"


def left_out(runs: list[str]) -> str:
    """Which planned runs are missing from the results."""
    if not runs:
        return "no run was left out"
    named = f": {joined(runs)}" if len(runs) <= MOST_NAMED else ""
    return f"{plural(len(runs), 'run')} of those planned left out{named}"


def runs_shown(manifest: dict[str, Any], shown: dict[str, Any]) -> str:
    """Whose executed notebooks the appendix shows."""
    if shown["study"] == manifest["study"]:
        return "They are shown as they ran."
    return (
        f"Those of this study hold pixels of CT and are not part of the book. In their place the notebooks of another "
        f"are shown as they ran: *{shown['title']}*, on "
        f"{'phantoms' if shown['crops']['kind'] == 'phantom' else 'crops of LIDC-IDRI'}. Their Dice is not in the "
        "chapters."
    )


def energy_honesty(runs: pd.DataFrame) -> str:
    """Whether the energies are measured or estimated, and how."""
    methods = runs["energy_method"].astype(str)
    found = sorted({part.strip() for text in methods for part in text.split(";") if part.strip()})
    listed = joined([f"“{method}”" for method in found])
    known = how_known(*found)
    if known == "estimated":
        return f"The energies of this study are **estimates, not measurements** ({listed})."
    if known == "partly estimated":
        # A GPU's energy is never an estimate, so its share says how much is not.
        gpu = float(runs["energy_gpu_kwh"].sum() / runs["energy_kwh"].sum())
        share = f"; {percent(gpu)} of them is the GPU's, which is not" if gpu else ""
        return f"The energies of this study are **partly estimates** ({listed}){share}."
    return f"The energies of this study come from sensors ({listed})."


def tracker_agreement(runs: pd.DataFrame) -> str:
    """How carbontracker's energy compares with our record over the whole study."""
    both = runs.dropna(subset=["carbontracker_energy_before_pue_kwh"])
    both = both[both["energy_kwh"] > 0]
    if both.empty:
        return "In this study carbontracker was switched off, so there is only our own record."
    theirs, ours = both["carbontracker_energy_before_pue_kwh"], both["energy_kwh"]
    ratio, single = float(theirs.sum() / ours.sum()), theirs / ours
    return (
        f"Over {plural(len(both), 'run')} carbontracker's energy was {significant(ratio)} times ours, between "
        f"{significant(float(single.min()))} and {significant(float(single.max()))} times in a single run. "
        f"{tracker_independence(both['energy_method'])}"
    )


def tracker_independence(methods: "pd.Series[str]") -> str:
    """What the agreement of the two instruments is worth."""
    text = methods.astype(str)
    if (text.str.contains("NVML energy counter") & text.str.contains("TDP × utilisation|W per core")).any():
        return (
            "The two are not independent: both ask the GPU's own driver, ours for its energy counter, carbontracker "
            "for its power, once a second, so a short epoch is known to it only roughly. And the GPU is not all: ours "
            "follows the processor time that the training used and counts the memory, while carbontracker takes half "
            "of a TDP whatever the load, and leaves memory out."
        )
    if text.str.contains("TDP × utilisation").any():
        return (
            "Without a sensor the two are not independent: both start from the processor's TDP in the same table, so "
            "an error in it is in both. They differ because ours follows the processor time that the training used, "
            "while carbontracker takes half of the TDP whatever the load, and because it leaves out memory that has no "
            "sensor. Agreement would not show that either is right."
        )
    return "They read the same hardware, but at other moments, and need not cover the same components."


def macs_reading(arithmetic: float, energy: float) -> str:
    """What it means that arithmetic and energy grow by these factors."""
    if energy * ABOUT_EQUAL < arithmetic:
        return (
            "Energy grows more slowly than arithmetic. Likely reasons are costs that do not grow with it, such as "
            "loading data, moving memory and starting operations; this study did not measure them apart. How a network "
            "is trained may then matter as much as how wide it is."
        )
    return "Energy grows at least as fast as arithmetic, or nearly: the convolutions decide the footprint here."


def energy_spread(runs: pd.DataFrame) -> str:
    """How far apart the energies of runs of one width are, which only the machine explains."""
    energy_kwh = runs.groupby("filters")["energy_kwh"]
    if int(energy_kwh.size().max()) < 2:
        return "With one run a width, nothing is known about how far its energy would differ from run to run."
    ratio = float((energy_kwh.max() / energy_kwh.min()).max())
    return (
        f"Runs of the same width differ in energy by a factor of up to {significant(ratio)}; differences between "
        "widths that are not larger than that are not to be trusted."
    )


def headline(evidence: Evidence) -> str:
    """What the dearest width gains over the cheapest, in a few words."""
    gain = evidence.bootstrap.difference(*evidence.extremes)
    if gain.low > 0:
        return "More carbon, more Dice."
    return "More carbon, less Dice." if gain.high < 0 else "More carbon, and no more Dice is shown."


def enough(evidence: Evidence) -> str:
    """The width with the highest mean Dice, the widths that could be the best, and the cheapest of these."""
    best, chosen = best_and_enough(evidence)
    could = joined(evidence.candidates.could_be_best)
    return (
        f"F = {best} has the highest mean Dice. At 95 %, F = {could} could be the best (multiple comparisons with the "
        f"best {{cite:p}}`hsu1984constrained`; {n_text(evidence)}); the cheapest of these is F = {chosen}."
    )


def best_and_enough(evidence: Evidence) -> tuple[int, int]:
    """The width with the highest mean Dice, and the cheapest that could be the best."""
    best = max(evidence.bootstrap.widths, key=lambda width: evidence.bootstrap.dice(width).estimate)
    return best, min(map(int, evidence.candidates.could_be_best), key=lambda width: evidence.carbon_g[width])


def enough_lesson(evidence: Evidence) -> str:
    """What follows for whoever asks for the cheapest candidate that is good enough."""
    best, chosen = best_and_enough(evidence)
    if chosen != best:
        return "With few patients that is weak evidence: not shown to be worse is not shown to be as good."
    if best in evidence.extremes:
        return "On another task it may be another one."
    return "So by these means the answer is neither the cheapest nor the dearest: it had to be measured."


def steps(evidence: Evidence) -> str:
    """How many steps to the next width bring a gain or a loss, and what a point costs in the first and last gain."""
    table = evidence.steps.iloc[:-1]
    gains = table[table["points_low"] > 0]
    losses = int((table["points_high"] < 0).sum())
    raising = {0: "none raises", 1: "one raises"}.get(len(gains), f"{count(len(gains))} raise")
    lowering = {0: "none lowers", 1: "one lowers"}.get(losses, f"{count(losses)} lower")
    text = (
        f"Of {plural(len(table), 'step')} to the next width, {raising} and {lowering} Dice with a 95 % interval that "
        f"excludes zero. {seed_noise(evidence)}"
    )
    priced = gains[gains["g_per_point"].notna()]
    if len(priced) > 1:
        first, last = (step_price(priced.iloc[position]) for position in (0, -1))
        text += f" A point of Dice costs {first} and {last}."
    return text


def seed_noise(evidence: Evidence) -> str:
    """How far seeds of one width lie apart in Dice."""
    if int(evidence.widths["runs"].max()) < 2:
        return "With one run a width, nothing is known about what another seed would change."
    spread = 100 * float((evidence.widths["seed_dice_max"] - evidence.widths["seed_dice_min"]).max())
    return f"Runs of one width differ by up to {significant(spread, 2)} points between seeds."


def step_price(step: "pd.Series[float]") -> str:
    """The price of a point in one step, a row of the table of marginal costs."""
    price, low, high = map(carbon, interval(step, "g_per_point"))
    return f"{price} ({low} to {high}) in the step from F = {step['first']:.0f} to {step['second']:.0f}"


def poster_verdict(evidence: Evidence) -> str:
    """The poster's "1 % Dice for 1500 % more carbon" against this study, with the interval the verdict rests on."""
    cheapest, dearest = evidence.extremes
    if dearest < cheapest:
        return (
            f"**Cannot be compared.** The poster speaks of wider networks that cost more. Here the dearest width, "
            f"F = {dearest}, is narrower than the cheapest, F = {cheapest} ({n_text(evidence)}), so their carbon says "
            "more about the machine than about width."
        )
    if evidence.bootstrap.dice(cheapest).low <= 0:
        return (
            f"**Cannot be compared.** The Dice of the cheapest width, F = {cheapest}, is not told from zero "
            f"({n_text(evidence)}), so there is no per cent of it."
        )
    extra = 100 * (evidence.carbon_g[dearest] / evidence.carbon_g[cheapest] - 1)
    gain = evidence.bootstrap.relative_difference(cheapest, dearest)
    verdict, reason = judge_poster(extra, gain)
    change, low, high = (signed(100 * value) for value in gain)
    return (
        f"**{verdict}.** From F = {cheapest} to F = {dearest} the carbon footprint of training changes by "
        f"{signed(extra, 0)} % and mean Dice by {change} % (95 % interval {low} to {high} %; {n_text(evidence)}). "
        f"{reason}{same_range(evidence)}"
    )


def same_range(evidence: Evidence) -> str:
    """A caution where the study stops at a narrower width than the poster."""
    widest = evidence.bootstrap.widths[-1]
    if widest >= PAPER_WIDTHS[-1]:
        return ""
    return (
        f" But this study stops at F = {widest} and the poster goes to F = {PAPER_WIDTHS[-1]}, where a further point "
        "should cost more; the two rates are not over the same range."
    )


def judge_poster(extra: float, gain: Interval) -> tuple[str, str]:
    """A verdict on the poster's exchange rate and its reason.

    Args:
        extra: additional carbon of the dearest width, per cent of the cheapest; positive.
        gain: change of Dice as a fraction of the cheapest width's.
    """
    poster = POSTER_CARBON_PERCENT_PER_DICE_PERCENT
    if gain.high <= 0:
        return "Agrees, and goes further", "More carbon bought no Dice at all."
    least = extra / (100 * gain.high)
    if gain.low <= 0:
        price = (
            f"No gain is shown; if there is one, a per cent of Dice costs at least {significant(least)} % more carbon"
        )
        if least > poster:
            return "Agrees, and goes further", f"{price}, beyond the poster's {poster:.0f} %."
        return "Undecided", f"{price}, which leaves room for the poster's {poster:.0f} % and for much less."
    most, rate = extra / (100 * gain.low), extra / (100 * gain.estimate)
    price = (
        f"A per cent of Dice costs {significant(rate)} % more carbon ({significant(least)} to {significant(most)} %)"
    )
    if least > poster:
        return "Agrees, and goes further", f"{price}, even more than the poster's {poster:.0f} %."
    if most < poster:
        also = "Carbon still grows faster than Dice." if rate > 1 else "Carbon does not even outgrow Dice."
        return "Disagrees about the price", f"{price}, less than the poster's {poster:.0f} %. {also}"
    return "Agrees", f"{price}; the poster's {poster:.0f} % lies within that interval."


def agreement(table: pd.DataFrame) -> str:
    """Whether the criteria choose the same width, and which choose which."""
    by_choice = table.groupby("chosen", sort=False)["name"].apply(list)
    if len(by_choice) == 1:
        return f"All {count(len(table))} choose F = {by_choice.index[0]}."
    order = sorted(by_choice.index, key=lambda name: (-len(by_choice[name]), float(name)))
    parts = [f"F = {name} is chosen by {joined([CRITERION_LABELS[one] for one in by_choice[name]])}" for name in order]
    return f"The {count(len(table))} criteria choose {count(len(order))} different widths: {'; '.join(parts)}."


def certainty(table: pd.DataFrame) -> str:
    """How probable it is that a criterion would choose the same again."""
    likely = table["probability"]
    if likely.isna().all():
        return "With a single replicate of each width, nothing is known about how sure these choices are."
    by_probability = sorted(named_rows(table), key=lambda row: row.probability)
    least, most = (
        f"{percent(row.probability)} ({CRITERION_LABELS[row.name]})" for row in (by_probability[0], by_probability[-1])
    )
    text = f"On other draws of the patients and seeds, a criterion repeats its choice in {least} to {most} of cases."
    if by_probability[0].probability < 0.5:
        return f"{text} What is repeated in fewer than half of the draws is hardly better founded than its runner-up."
    return text


def moved_by_grid(evidence: Evidence) -> str:
    """Which criteria choose another width on another grid."""
    table = evidence.choices_on_grids
    counts = table.assign(chosen=table["chosen"].fillna("none")).groupby("name", sort=False)["chosen"].nunique()
    moving = [name for name, choices in counts.items() if choices > 1]
    clean, dirty = GRIDS[0], GRIDS[-1]
    if not moving:
        return f"Between {clean} and {dirty} no criterion changes its choice."
    parts = []
    for name in moving:
        rows = table[table["name"] == name].set_index("grid")["chosen"]
        first, last = (f"F = {rows[grid]}" if rows[grid] is not None else "none of them" for grid in (clean, dirty))
        parts.append(f"by {CRITERION_LABELS[str(name)]} from {first} to {last}")
    rest = "; no other moves" if len(parts) < len(counts) else ""
    return f"From {clean} to {dirty} the choice moves {joined(parts)}{rest}."


def replay_reading(replays: pd.DataFrame) -> str:
    """Which policy was cheapest among those that lost at most half a point in every seed."""
    safe = replays[replays["within"] == 1.0]
    cheapest = min(named_rows(safe), key=lambda row: row.share)
    if cheapest.share > 0.99:
        return "On these curves no policy saves anything without losing more than half a point in some seed."
    return (
        "Of the policies that lose at most half a point in every seed, the cheapest is "
        f"{POLICY_LABELS[cheapest.name]}, with {percent(cheapest.share)} of the full sweep's energy."
    )


def choice_sentence(record: RecordedSearch) -> str:
    """What it chose, and what the full sweep puts first."""
    runs = {row.run: row for row in named_rows(record.sweep)}
    chosen, best = runs[record.outcome["chosen"]], max(runs.values(), key=lambda run: run.val_dice)
    if best.run == chosen.run:
        return f"It chose F = {chosen.filters}, the width that the full sweep puts first, too."
    return (
        f"It chose F = {chosen.filters}. The full sweep puts F = {best.filters} first, "
        f"{100 * (best.val_dice - chosen.val_dice):.1f} points of validation Dice ahead."
    )


def price_sentence(record: RecordedSearch) -> str:
    """What the search and the sweep took."""
    outcome, sweep = record.outcome, record.sweep
    estimated = how_known(*sweep["energy_method"]) != "measured"
    return (
        f"The search took {energy(outcome['energy_kwh'])} or {carbon(outcome['carbon_g'])} CO₂eq, the full "
        f"sweep {energy(float(sweep['energy_whole_run_kwh'].sum()))} or "
        f"{carbon(float(sweep['carbon_whole_run_g'].sum()))} on the same machine, tests included in both (one seed, "
        f"{plural(int(sweep['test_patients'].max()), 'test patient')}; the energies are "
        f"{'estimates' if estimated else 'measured'})."
    )


def tuned_sentence(record: PublishedCurves, there: str) -> str:
    """How a policy that was chosen on the other data set fared on this one, against the aim."""
    row: Any = record.tuned[(record.tuned["on"] == there) & (record.tuned["tuned_on"] != there)].iloc[0]
    met = row["within"] >= AIM_WITHIN and row["share"] <= AIM_SHARE
    return (
        f"The one chosen on {DATASETS[row['tuned_on']]} ({row['policy']}) kept the regret within half a point in "
        f"{percent(row['within'])} of the draws of {DATASETS[there]}, for {percent(row['share'])} of the full "
        f"sweep's energy ({percent(row['share_low'])} to {percent(row['share_high'])}): "
        f"which {'meets' if met else 'misses'} the aim."
    )


def choices_sentence(table: pd.DataFrame) -> str:
    """How many different models the criteria choose on each data set, and what the cheapest choice gives up."""
    parts = []
    for name, label in DATASETS.items():
        rows = table[table["dataset"] == name]
        cheapest = min(named_rows(rows), key=lambda row: row.cost)
        lost = 100 * float(rows["performance"].max() - cheapest.performance)
        parts.append(
            f"{label} the {count(len(rows))} criteria choose {count(rows['chosen'].nunique())} different models; the "
            f"cheapest of them takes {percent(cheapest.share_of_best)} of the energy of the most accurate and is "
            f"{significant(lost, 2)} points behind it"
        )
    return f"On {'; on '.join(parts)}."


def convergence_sentences(table: pd.DataFrame) -> str:
    """How the two readings of cost to convergence agree in rank and in what PePR chooses."""
    parts = []
    for name, label in DATASETS.items():
        row: Any = table[table["dataset"] == name].iloc[0]
        rank, low, high = (signed(value, 2) for value in interval(row, "spearman"))
        per_epoch, up_to_best = row["pepr_per_epoch"], row["pepr_up_to_best"]
        choice = f"the same model by both, {per_epoch}"
        if per_epoch != up_to_best:
            choice = f"{per_epoch} by the first and {up_to_best} by the second"
        shared = count(int(row["top_shared"])) if row["top_shared"] else "none"
        parts.append(
            f"On {label} their ranks correlate with {rank} (Spearman; 95 % interval {low} to {high}; {row['models']} "
            f"models); PePR chooses {choice}, and {shared} of the {count(int(row['top']))} best by PePR are the same."
        )
    return " ".join(parts)


def own_footprint(shown: Results, root: Path) -> str:
    """What the book itself took: the notebooks it shows, and one build of its pages where that was recorded.

    Args:
        shown: results of the study whose notebooks are shown.
        root: the repository.
    """
    kwh, grams = (float(shown.runs[unit].sum()) for unit in ("energy_whole_run_kwh", "carbon_whole_run_g"))
    pages = "what building its pages takes was not recorded."
    if (root / BUILD).is_file():
        build = read_footprint(root / BUILD)
        pages = (
            f"building its pages from recorded results takes {energy(build.energy_kwh)}, or "
            f"{carbon(build.carbon_g(build.energy_kwh))} CO₂eq, each time "
            f"({how_known(*(window.method for window in build.windows))})."
        )
    return unbroken(
        f"The book has a footprint, too. The notebooks of its appendix took {energy(kwh)} before PUE, or "
        f"{carbon(grams)} CO₂eq ({how_known(*shown.runs['energy_method'].unique())}); {pages}"
    )


def reader_verdict(difference: Estimate) -> str:
    """Such as "−1.3 points (−5.9 to +2.6), no difference from a reader is shown", of a network less a reader."""
    verdict = "no difference from a reader is shown"
    if difference.low > 0 or difference.high < 0:
        verdict = f"{'more' if difference.low > 0 else 'less'} than a reader"
    return f"{points_interval(difference)}, {verdict}"
