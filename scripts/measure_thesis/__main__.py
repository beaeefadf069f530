"""`scripts/thesis`: measures both ways of `guest/pagetables`, and writes the page and its plot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ptlive.errors import PtliveError
from scripts.benchmark import machine, plot
from scripts.measure_thesis import page, picture
from scripts.measure_thesis.claims import claims
from scripts.measure_thesis.figures import measure

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--json", "json_file", type=_FILE, help="Write all figures there, too.")
@click.option(
    "--page", "page_file", type=_FILE, default=page.PAGE, show_default="the committed one"
)
def main(json_file: Path | None, page_file: Path) -> None:
    """Measure both ways; remake the tables of the page, its plot and its figures."""
    try:
        machine.check_programs()
        plot.check(page.PLOT)
        page.check(page_file.read_text())
        with Console(stderr=True).status("") as status:
            figures = measure(status.update)
        text = page.filled(page_file.read_text(), figures)
        _write(page_file, text)
        _write(page_file.with_name(page.FIGURES.name), as_text(figures))
        picture.draw(figures, page_file.with_name(page.PLOT.name))
        if json_file:
            _write(json_file, as_text(figures))
        click.echo(claims(figures))
    except PtliveError as error:
        click.echo(f"thesis: {error}", err=True)
        sys.exit(2)


def as_text(figures: dict[str, Any]) -> str:
    """Return figures as they are kept."""
    return json.dumps(figures, indent=None, separators=(",", ":")).replace('],"', '],\n"') + "\n"


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise PtliveError(f"cannot write {file}: {error.strerror}") from error


if __name__ == "__main__":
    main()
