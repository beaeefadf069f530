"""The `ptlive` command and what all of its commands share: errors, signals, exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ptlive.errors import PtliveError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Heading: {name: (module, attribute, first line of its help)}. The help stands here so that
# listing the commands imports none of them.
_SECTIONS = {
    "What is mapped": {
        "translate": ("translate", "translate", "Translate addresses, step by step."),
        "map": ("map", "map_", "Print what is mapped, as merged regions."),
        "roots": ("roots", "roots", "Print every vCPU's CR3 and every other root table in RAM."),
        "areas": ("areas", "areas", "Print which system it is, and where it has what."),
        "find": ("find", "find_", "Find every address that reaches a physical one."),
        "stats": ("stats", "stats", "Count what is mapped, and what its tables cost."),
        "table": ("table", "table", "Print one table of the guest."),
        "explain": ("explain", "explain", "Explain an instruction's accesses and its page fault."),
    },
    "Whether it is right": {
        "verify": ("verify", "verify_", "Ask the MMU, or QEMU, whether the walk is right."),
        "audit": ("audit", "audit_", "Look for what is wrong, or weak, in the page tables."),
        "selftest": ("selftest", "selftest_", "Hold the walker's rules against an MMU."),
    },
    "To change it": {
        "edit": ("edit", "edit", "Change page tables of a stopped guest; shown before."),
    },
    "For later, and for others": {
        "snapshot": ("snapshot", "snapshot", "Keep a guest's tables, or all RAM, in a file."),
        "diff": ("diff", "diff_", "Tell what is different between two states, or two roots."),
        "export": ("export", "export_", "Write the pages as Parquet, Arrow or CSV."),
    },
    "Without a guest": {
        "decode": ("offline", "decode", "Decode an entry."),
        "fault": ("offline", "fault", "Decode a page-fault error code."),
    },
    "Guests, and this machine": {
        "demo": ("demo", "demo", "Show and verify the tables of the bundled menu guest."),
        "guest": ("guest", "guest", "Start, stop and list bundled guests."),
        "gdb": ("gdb", "gdb", "Start gdb on a guest, with these commands inside."),
        "proxy": ("proxy", "proxy", "Let a debugger and ptlive share QEMU's gdb stub."),
        "doctor": ("doctor", "doctor", "Tell what is missing here, or slow, and why."),
        "completion": ("completion", "completion", "Print the shell's completion script."),
    },
}
_COMMANDS = {name: of for section in _SECTIONS.values() for name, of in section.items()}

DONE, FOUND, FAILED = 0, 1, 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
UNREAD = 141  # 128 + SIGPIPE: whoever read the output had enough
# What a limit on files, processes or memory makes of a call (setrlimit(2)).
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}


class _Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order in which they are of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"ptlive.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the arguments; --help and --version already print."""
        with _output():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _output():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        width = max(map(len, _COMMANDS))
        for heading, commands in _SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), text) for name, (*_, text) in commands.items()]
                )


@contextmanager
def _output() -> Iterator[None]:
    """Write out all that is printed, and tell what becomes of output that cannot be written."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno in _SCARCE:
            raise  # of a file or a process, and no matter of the output
        # What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # click would make it status 1, which says that something was found.
            raise click.exceptions.Exit(UNREAD) from None
        raise PtliveError(f"the output cannot be written: {error.strerror}") from None


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from ptlive.cli.doctor import versions

    for line in versions():
        click.echo(line)
    ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the versions of ptlive, QEMU and gdb.",
)
def cli() -> None:
    """Live page tables of x86-64 guests under QEMU, verified by the guest's own MMU.

    Exit status: 0 done; 1 something was found (a disagreement, a finding of an audit,
    a difference, an address that --check wants translated and is not); 2 it could not
    be done.
    """


def main() -> None:
    """Run the command line; what goes wrong is one sentence on stderr and status 2."""
    try:
        status = cli.main(prog_name="ptlive", standalone_mode=False)
    except PtliveError as error:
        status = _fail(str(error))
    except (click.exceptions.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except click.UsageError as error:
        status = _misused(error)
    except MemoryError:
        status = _fail("this takes more memory than there is: ask about less")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _SCARCE:
            status = _fail(f"the system refuses what this takes: {error.strerror}")
        else:
            # A defect of ptlive. Python's own status, 1, would say that something was found.
            traceback.print_exc()
            status = FAILED
    sys.exit(status if isinstance(status, int) else DONE)


def _misused(error: click.UsageError) -> int:
    if error.ctx and error.message == error.ctx.get_help():  # `ptlive` and nothing else
        error.show()
        return FAILED
    # click's sentences may end with a full stop, and go on in further lines.
    sentence = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "ptlive"
    return _fail(f"{sentence} (see {command} --help)")


def _fail(sentence: str) -> int:
    from ptlive.cli.tell import tell

    tell(sentence)
    return FAILED
