"""``carbon-midl report``: what a run or a study used, in words for papers, checklists and model cards."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_midl.cli.parsing import action

if TYPE_CHECKING:
    pass

_EPILOG = """\
examples:
  carbon-midl report runs/demo/filters-4-seed-0
  carbon-midl report runs/demo/results --only model-card --location "Copenhagen, Denmark"
"""
_PARTS = ("paragraph", "checklist", "model-card")


def add_actions(rooms: Any) -> None:
    """Add the action ``report``."""
    report = action(
        rooms,
        "report",
        _report,
        "report the footprint of a run or a study: for a paper, a checklist and a model card",
        _EPILOG,
    )
    report.add_argument("run", type=Path, metavar="RUN", help="directory of a run, or of a study's results")
    report.add_argument("--only", choices=_PARTS, help="only this part (default: all three)")
    report.add_argument("--out", type=Path, metavar="FILE", help="write to a file (default: print)")
    report.add_argument(
        "--location", metavar="WHERE", help="where the machine stood, for the model card (default: not recorded)"
    )
    report.add_argument(
        "--training-type",
        choices=("pre-training", "fine-tuning"),
        default="pre-training",
        help="for the model card (default: %(default)s)",
    )


def _report(options: argparse.Namespace) -> None:
    from carbon_midl.files import write_text
    from carbon_midl.footprint.report import checklist, model_card, paragraph, to_markdown
    from carbon_midl.study.results import read_compute

    compute = read_compute(options.run)
    card = (options.location, options.training_type)
    text = {
        "paragraph": lambda: paragraph(compute) + "\n",
        "checklist": lambda: checklist(compute) + "\n",
        "model-card": lambda: model_card(compute, *card) + "\n",
        None: lambda: to_markdown(compute, *card),
    }[options.only]()
    if options.out is None:
        print(text, end="")
    else:
        write_text(options.out, text)
        print(f"Report: {options.out}")
