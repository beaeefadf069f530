"""`ptlive completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ptlive.cli.main import DONE, cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a completion script: eval "$(ptlive completion bash)"."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "ptlive", "_PTLIVE_COMPLETE").source())
    return DONE
