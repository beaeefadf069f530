"""gdb's commands `ptlive ...`: each is the command of the command line with that name."""

from __future__ import annotations

import click
import gdb

from ptlive.cli.main import FAILED, cli
from ptlive.errors import PtliveError

#: The commands that make sense here, by name.
NAMES = (
    *("translate", "map", "roots", "areas", "find", "stats", "table"),
    *("verify", "audit", "snapshot", "diff", "export", "decode", "fault"),
)


class Prefix(gdb.Command):
    """Live page tables of the guest, verified by its own MMU."""

    def __init__(self) -> None:
        super().__init__("ptlive", gdb.COMMAND_DATA, prefix=True)


class Command(gdb.Command):
    """One command of the command line."""

    def __init__(self, name: str, command: click.Command) -> None:
        self.__doc__ = command.help
        super().__init__(f"ptlive {name}", gdb.COMMAND_DATA)
        self._name, self._command = name, command

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run it; what goes wrong is one sentence."""
        run(self._name, self._command, gdb.string_to_argv(argument))


def run(name: str, command: click.Command, words: list[str]) -> None:
    """Run a command of the command line. Raises gdb.GdbError for what goes wrong."""
    try:
        status = command.main(words, prog_name=f"ptlive {name}", standalone_mode=False)
    except click.UsageError as error:
        raise gdb.GdbError(error.format_message()) from None
    except PtliveError as error:
        raise gdb.GdbError(str(error)) from None
    gdb.set_convenience_variable("_pt_status", status if isinstance(status, int) else 0)
    if status == FAILED:
        raise gdb.GdbError(f"ptlive {name} could not be done")


def register() -> None:
    """Make the commands known to gdb."""
    Prefix()
    context = click.Context(cli, info_name="ptlive")
    for name in NAMES:
        command = cli.get_command(context, name)
        if command is not None:
            Command(name, command)
