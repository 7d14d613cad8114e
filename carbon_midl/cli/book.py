"""``carbon-midl book``: the book from recorded results."""

from pathlib import Path
from typing import Annotated

from typer import Option, Typer

from carbon_midl.cli.command import examples

app = Typer()
book = Typer(help="The book.", no_args_is_help=True)
app.add_typer(book, name="book")


@book.command(
    epilog=examples(
        "carbon-midl book build",
        "carbon-midl book build --study studies/mine.toml   # yours in the appendix",
    )
)
def build(
    study: Annotated[Path, Option(help="whose tables, figures and notebooks the appendix shows")] = Path(
        "studies/demo.toml"
    ),
    address: Annotated[str, Option(help="URL where it will be: adds a site map, canonical links and cards")] = "",
    repository: Annotated[str, Option(help="OWNER/NAME on GitHub: lets readers open the labs on Binder")] = "",
) -> None:
    """Render the recorded studies as a book.

    Its appendix shows one of your own.

    The chapters speak of what is recorded in results/. The build fails where a sentence claims what the record does
    not say.
    """
    from carbon_midl.book.build import build, prepare
    from carbon_midl.study.spec import read_study

    shown = read_study(study)
    prepare(shown.directory, shown.root)
    print(f"Book: {build(shown.root, address, repository)}")
