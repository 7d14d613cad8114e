"""What the text asserts holds on the record, and would not on another."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carbon_midl.book.build import build
from carbon_midl.book.claims import CLAIMS
from carbon_midl.book.evidence import BY_SLICE, Evidence
from carbon_midl.errors import InputError
from carbon_midl.measures import Interval
from tests.book.conftest import ROOT
from tests.book.test_built_book import small_book

CHAPTERS = sorted((ROOT / "book").glob("*.md"))


def with_columns(table: str, **columns: Any) -> Callable[[Evidence], dict[str, Any]]:
    """A table of the evidence has other columns; each is given, or computed from the table."""
    return lambda evidence: {table: getattr(evidence, table).assign(**columns)}


def with_record(record: str, **tables: dict[str, Any]) -> Callable[[Evidence], dict[str, Any]]:
    """Tables of a record have other columns."""

    def change(evidence: Evidence) -> dict[str, Any]:
        old = vars(getattr(evidence, record))
        return {record: SimpleNamespace(**old | {name: old[name].assign(**new) for name, new in tables.items()})}

    return change


def with_difference(low: float, estimate: float, high: float) -> Callable[[Evidence], dict[str, Any]]:
    """Every difference between two widths is this one."""
    return lambda evidence: {
        "bootstrap": SimpleNamespace(
            widths=evidence.bootstrap.widths, difference=lambda *_: Interval(estimate, low, high)
        )
    }


def with_losses(column: str, width: int, more: float) -> Callable[[Evidence], dict[str, Any]]:
    """One width's loss in its first seed is higher."""

    def change(evidence: Evidence) -> dict[str, Any]:
        table = evidence.last_epochs.copy()
        table.loc[(table["filters"] == width) & (table["seed"] == 0), column] += more
        return {"last_epochs": table}

    return change


def with_tuned(within: float) -> Callable[[Evidence], dict[str, Any]]:
    return lambda e: {"published": SimpleNamespace(tuned=e.published.tuned.assign(within=within, share=0.1))}


def with_answer(table: str, **columns: Any) -> Callable[[Evidence], dict[str, Any]]:
    """A table of the answer has other columns."""
    return with_record("answer", **{table: columns})


# By claim: what would have to be recorded for it not to hold.
OTHERWISE: dict[str, Callable[[Evidence], dict[str, Any]]] = {
    "protocol": lambda e: {"manifest": {"options": e.manifest["options"] | {"epochs": 20}}},
    "no-run-left-out": lambda _: {"manifest": {"runs_left_out": ["filters-4-seed-0"]}},
    "gpu-was-measured": with_columns("runs", energy_gpu_kwh=lambda runs: 0.5 * runs["energy_kwh"]),
    "pue-or-watts-widen-most": lambda e: {"spread": e.cores_spread},
    "energy-repeats": with_columns("runs", energy_kwh=lambda runs: runs["energy_kwh"] * (1 + runs["seed"])),
    "tdp-hides-the-load": with_answer("instruments", growth=1.0),
    "energy-grows-slower-than-arithmetic": with_columns("widths", macs=lambda widths: widths["energy_kwh"]),
    "annealed": with_columns("runs", best_epoch=lambda runs: [7, *runs["best_epoch"].iloc[1:]]),
    "sixteen-has-the-best-mean": lambda _: {"best": 24},
    "could-be-best": lambda _: {"candidates": SimpleNamespace(could_be_best=["16", "24"])},
    "sixteen-is-cheapest-of-the-best": lambda e: {"carbon_g": e.carbon_g | {24: 0.1}},
    "four-to-sixteen-gains": with_difference(-0.001, 0.02, 0.04),
    "price-is-less-than-a-fiftieth": lambda e: {"carbon_g": e.carbon_g | {16: 10.0}},
    "nothing-gained-beyond-sixteen": with_difference(-0.01, 0.001, 0.02),
    "ends-are-not-told-apart": with_difference(0.001, 0.01, 0.02),
    "poster-s-rate-is-not-excluded": lambda e: {"carbon_g": e.carbon_g | {64: 100.0}},
    "one-step-gains": with_columns("steps", points_low=0.1),
    "large-nodules-gain-is-not-shown": with_columns("sizes", gain_low=0.001),
    "wide-networks-are-under-fitted": with_losses("train_loss", 16, 0.1),
    "nothing-is-over-fitted": with_losses("val_loss", 64, 0.1),
    "step-size-outweighs-width": with_columns("runs", val_dice=lambda runs: runs["filters"] / 100),
    "step-size-at-the-edge": with_answer(
        "trials", learning_rate=lambda trials: trials["learning_rate"].replace(1e-2, 1e-4)
    ),
    "each-width-has-its-step": with_answer("step_sizes", learning_rate=1e-3),
    "longer-is-better-at-every-width": with_answer("frontier", val_dice=lambda table: -table["epochs"]),
    "energy-not-width": with_answer("frontier", test_dice=lambda table: table["filters"] / 100),
    "cores-charge-more-for-width": with_columns("widths", energy_kwh=lambda widths: widths["filters"]),
    "loss-does-not-order-dice": with_answer("frontier", train_loss=lambda table: -table["test_dice"]),
    "width-for-length-gains-nothing": with_answer("wide_or_long", gain_low=0.1),
    "beyond-sixteen-length-is-the-better-buy": with_answer("wide_or_long", gain_high=0.1),
    "frontier-is-cheaper-than-the-poster": with_answer("poster", price_high=1400.0),
    "not-worse-than-a-reader": with_answer("readers", difference_low=-0.03),
    "counting-decides-the-ratio": with_answer("counted", F64_ratio=5.0),
    "one-seed-cannot-tell-the-ends-apart": with_answer("replicability", wider_is_better=1.0),
    "criterion-decides-most": with_answer("deciding", gpu_share=lambda table: -table["gpu_share"]),
    "paths-choose-eight-or-sixteen": with_answer("paths_gpu", filters=4),
    "sixteen-gains-at-every-target": with_answer("targets", gain_low=-0.1),
    "all-draw-too-large": with_answer("metrics_gpu", volume_error_median=-0.1),
    "sixteen-beats-four-on-every-split": with_answer("splits", difference_low=-0.001),
    "this-split-is-the-hardest": with_answer("splits", wide_dice=lambda splits: -splits["split"]),
    "more-filters-gain-and-more-patients-do-not": with_answer("patients", gain_low=0.1),
    "cflow-options-reach-less": with_answer("cflow", test_dice_high=0.9),
    "cflow-would-have-gone-on": with_answer("cflow", lowest_loss_epoch=30),
    "recipes-have-equal-dice": with_answer("recipes_lidc", difference_low=-0.03, difference_high=-0.01),
    "efficient-takes-half": with_answer("recipes_lidc", share=0.6),
    "recipe-outweighs-width": with_answer("recipes_lidc", efficient_kwh=1.0),
    "recipes-on-phantoms-are-estimated": with_answer("recipes_phantom", known="measured"),
    "network-like-a-reader": with_answer("yardsticks", four_low=0.01),
    "copycat-gains-by-the-leak": lambda e: {
        "statistics": e.statistics | {"copycat": e.statistics["copycat"].assign(estimate=0.5)}
    },
    "leak-of-a-network-is-not-shown": lambda e: {"leak": e.leak | {BY_SLICE: e.leak[BY_SLICE]._replace(low=1.0)}},
    "phantom-carries-a-part": with_record("transfer", summary={"share_high": 1.1}),
    "criteria-choose": with_columns("choices", chosen="16"),
    "choices-of-eight-waver": with_columns("choices", probability=0.95),
    "grid-moves-the-price-alone": with_columns("choices_on_grids", chosen="16"),
    "wider-takes-more-at-every-use": with_columns("uses", energy_kwh_low=0.0),
    "use-is-late-to-match-training": with_columns("use_counts", until_training=2e5),
    "no-policy-is-safe": with_columns("replays", within=1.0),
    "best-width-misses-the-bar-itself": with_columns("runs", val_dice=0.7),
    "policy-tuned-on-derma-meets-the-aim": with_tuned(within=0.5),
    "policy-tuned-on-lidc-misses-it": with_tuned(within=1.0),
    "search-trained-them-all": with_record("search", trail={"until": 4}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_holds_on_the_record_and_fails_on_another(evidence: Evidence, name: str) -> None:
    holds = CLAIMS[name]
    assert holds(evidence)
    other = copy.copy(evidence)
    other.__dict__.update(OTHERWISE[name](evidence))
    assert not holds(other)


def test_every_claim_is_made_in_a_chapter_and_has_its_words() -> None:
    words = (ROOT / "book" / "claims.md").read_text()
    made = {name for page in CHAPTERS for name in re.findall(r"\{claim\}`([\w-]+)`", page.read_text())}
    assert words.count("*False if*") == len(CLAIMS)
    assert made == set(CLAIMS)
    assert re.findall(r"^\(claim-([\w-]+)\)=\n\*\*\1\.\*\* \S", words, re.MULTILINE) == list(CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Wider is better {claim}`no-such-claim`.", r"index\.md:3.*no claim 'no-such-claim'"),
        (
            "F = 16 is best {claim}`sixteen-has-the-best-mean`.",
            r"index\.md:3.*'sixteen-has-the-best-mean' no longer holds",
        ),
    ],
)
def test_a_claim_that_is_none_or_fails_fails_the_build_at_its_place(
    prepared: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    root = small_book(prepared, tmp_path / "root", text)
    made = root / "book/_generated/claims.json"
    made.write_text(made.read_text().replace('"sixteen-has-the-best-mean": true', '"sixteen-has-the-best-mean": false'))
    with pytest.raises(InputError, match=complaint):
        build(root)
