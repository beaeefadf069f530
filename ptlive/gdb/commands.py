"""gdb's commands `ptlive ...`: each is the command of the command line with that name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click
import gdb

from ptlive.cli.main import DONE, FAILED, INTERRUPTED, cli
from ptlive.errors import PtliveError
from ptlive.gdb.complete import completions
from ptlive.gdb.output import output, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ptlive.gdb.session import Session

#: The commands that make sense here, in the order of `ptlive --help`. Those that cli/ does not
#: have are passed over.
NAMES = (
    *("translate", "explain", "map", "roots", "areas", "find", "stats", "table"),
    *("verify", "audit", "edit", "snapshot", "diff", "export", "decode", "fault"),
)
#: Those that an empty line shall not repeat: they take long, or write files.
_ONCE = ("verify", "audit", "edit", "snapshot", "export")
_HELP_WIDTH = 78
#: The status of the last command, as the shell's $?.
STATUS = "_pt_status"


class Prefix(gdb.Command):
    """Live page tables of the guest, verified by its own MMU.

    Addresses are expressions of gdb, such as $rip, &init_task or $rsp+8; one with blanks
    stands in quotes. The selected thread is the vCPU. Each command's help tells its options;
    $_pt_status is the status of the last one, as the shell's $?. For conditions and scripts
    there are functions $_pt_...: see `help function`.
    """

    def __init__(self) -> None:
        super().__init__("ptlive", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Without a command, list them, as gdb's own prefixes do."""
        if argument:
            raise gdb.GdbError(f'Undefined ptlive command: "{argument}".  Try "help ptlive".')
        gdb.execute("help ptlive", from_tty)


class Command(gdb.Command):
    """One command of the command line."""

    def __init__(self, name: str, command: click.Command, session: Session) -> None:
        self.__doc__ = _help(name, command)
        super().__init__(f"ptlive {name}", gdb.COMMAND_DATA)
        self._name, self._command, self._session = name, command, session

    def invoke(self, argument: str, from_tty: bool) -> None:
        """Run it; what goes wrong is one sentence."""
        if self._name in _ONCE:
            self.dont_repeat()
        try:
            run(self._name, self._command, gdb.string_to_argv(argument), from_tty)
        finally:
            self._session.leave()

    def complete(self, text: str, word: str | None) -> int | list[str]:
        """Return how a line goes on."""
        return completions(self._name, self._command, text, word)


def run(name: str, command: click.Command, words: Sequence[str], from_tty: bool) -> None:
    """Run a command of the command line. Raises gdb.GdbError for what goes wrong."""
    status = FAILED
    try:
        with output(words, from_tty) as told:
            try:
                status = _status(name, command, words)
            except click.Abort:  # what click makes of Ctrl-C, behind a new line
                told.take()
                raise KeyboardInterrupt from None
            if status == FAILED:
                raise gdb.GdbError(told.take() or f"ptlive {name} could not be done")
    except KeyboardInterrupt:
        status = INTERRUPTED
        raise
    finally:
        gdb.set_convenience_variable(STATUS, status)


def _status(name: str, command: click.Command, words: Sequence[str]) -> int:
    """Run a command and return its status."""
    told = f"ptlive {name}"
    columns = min(width() - 2, _HELP_WIDTH)
    try:
        status = command.main(
            list(words), prog_name=told, standalone_mode=False, terminal_width=columns
        )
    except click.UsageError as error:
        sentence = " ".join(error.format_message().split()).rstrip(".")
        raise gdb.GdbError(f"{sentence} (see help {told})") from None
    except (PtliveError, gdb.error) as error:  # gdb's, where a burst of Ctrl-C has torn a reply
        raise gdb.GdbError(str(error)) from None
    except MemoryError:
        raise gdb.GdbError("this takes more memory than there is: ask about less") from None
    return status if isinstance(status, int) else DONE


def _help(name: str, command: click.Command) -> str:
    """Return what `help ptlive NAME` prints; its first line stands in lists."""
    context = click.Context(command, info_name=f"ptlive {name}", terminal_width=_HELP_WIDTH)
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    formatter = context.make_formatter()
    command.format_options(context, formatter)
    usage = " ".join(command.collect_usage_pieces(context))
    return f"{text}\n\nUsage: ptlive {name} {usage}\n\n{formatter.getvalue().rstrip()}"


def register(session: Session) -> None:
    """Make the commands known to gdb."""
    Prefix()
    context = click.Context(cli, info_name="ptlive")
    for name in NAMES:
        command = cli.get_command(context, name)
        if command is not None:
            Command(name, command, session)
