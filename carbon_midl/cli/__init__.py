"""The command ``carbon-midl``: a module a group of commands; their options are the signatures of their functions."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from carbon_midl import __version__
from carbon_midl.cli import data, footprint, model, results, select, study
from carbon_midl.cli.command import examples
from carbon_midl.errors import InputError
from carbon_midl.files import in_words

_ORDER = (
    *("lidc", "crops", "study", "results", "predict", "evaluate", "model"),
    *("select", "replay", "search", "book", "footprint", "report"),
)


class Program(TyperGroup):
    """All commands, in the order of the work; what goes wrong is told in a line and by the exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """From the data to the report."""
        return sorted(self.commands, key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            end = "interrupted; what was finished is kept, and the same command goes on from there."
            raise _ended(end, 130) from None
        except BrokenPipeError:  # whoever reads the output has seen enough, as in: carbon-midl … | head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (InputError, OSError) as error:
            if not (words := in_words(error)):
                raise
            raise _ended(words, 2) from None


def _ended(problem: str, code: int) -> typer.Exit:
    print(f"carbon-midl: {problem}", file=sys.stderr)
    return typer.Exit(code)


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text, which can be piped and wraps at any width
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for group in (data, study, results, model, select, footprint):
    app.add_typer(group.app)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"carbon-midl {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "carbon-midl study run studies/demo.toml        # train the demo study",
        "carbon-midl book build                         # its results as a book",
        "carbon-midl lidc download data/ct --max-gb 5   # some CT; asks first",
        "carbon-midl crops import-slices SLICES data/lidc   # public PNG slices",
        "carbon-midl crops info data/lidc               # what an archive holds",
        "carbon-midl evaluate runs/demo/filters-16-seed-0 data/lidc",
        "carbon-midl results verify results/recipes     # recompute the tables",
        "carbon-midl select runs/demo/results           # which width to take",
        "carbon-midl replay runs/demo/results           # if searches stop early",
        "carbon-midl search studies/demo.toml --budget-g 2",
        "carbon-midl footprint -- python train.py       # meter any program",
        "carbon-midl report runs/demo/results           # for a paper",
        "papermill notebooks/train_unet.ipynb out.ipynb -p crops data/lidc",
    )
)
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version and exit")
    ] = False,
) -> None:
    """Carbon footprint driven deep learning model selection for medical imaging.

    Every command ends with exit code 0, with 2 where the input is bad, and with 130 when it is interrupted; what is
    done is kept then, and the same command goes on.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for bad input, 130 when interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal's encoding lacks
    try:
        app(args=arguments, prog_name="carbon-midl")
    except SystemExit as end:
        return int(end.code or 0)
    return 0
