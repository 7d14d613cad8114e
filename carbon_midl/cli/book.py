"""``carbon-midl book``: the book from recorded results."""

from pathlib import Path
from typing import Annotated

from typer import Option, Typer

from carbon_midl.cli.command import examples
from carbon_midl.files import write_bytes

app = Typer()
book = Typer(help="The book.", no_args_is_help=True)
app.add_typer(book, name="book")

RECORDED, SHOWN = Path("results/lidc"), Path("studies/demo.toml")


@book.command(
    epilog=examples(
        "carbon-midl book build                              # the recorded study",
        "carbon-midl book build --study studies/demo.toml    # the demo, once run",
    )
)
def build(
    results: Annotated[
        Path | None, Option(help="what it speaks of", show_default=f"those of `--study`, or else {RECORDED}")
    ] = None,
    study: Annotated[Path | None, Option(help="whose notebooks it shows", show_default=str(SHOWN))] = None,
    address: Annotated[str, Option(help="URL where it will be: adds a site map, canonical links and cards")] = "",
    repository: Annotated[str, Option(help="OWNER/NAME on GitHub: lets readers open the labs on Binder")] = "",
) -> None:
    """Render a study's results as a book."""
    from carbon_midl.book.build import build, prepare
    from carbon_midl.study.spec import read_study

    shown = read_study(study or SHOWN)
    prepare(results or (shown.results if study else shown.root / RECORDED), shown.directory, shown.root)
    print(f"Book: {build(shown.root, address, repository)}")


@book.command()
def pdf(out: Annotated[Path, Option(help="the PDF")] = Path("book/_build/html/paper.pdf")) -> None:
    """Print the built book's paper part as a PDF.

    It is one file, printed with Chromium.
    """
    from carbon_midl.book.build import BUILT, print_paper

    write_bytes(out, print_paper(Path(), BUILT / "html"))
    print(f"Paper: {out}")
