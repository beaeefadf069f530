"""Options that mean the same in every command, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ptlive.cli import inside
from ptlive.cli.bundle import bundle, option
from ptlive.errors import PtliveError

F = TypeVar("F", bound=Callable[..., Any])

LAST = (1 << 64) - 1
# As in target/sources.py, which is not imported for --help.
SOURCES = ("auto", "shared", "qmp", "proc", "stub", "gdb")
NO_STUB = "none"


class Number(click.ParamType[int]):
    """An unsigned 64-bit number: decimal, or 0x and hexadecimal digits.

    Inside a debugger also whatever it can evaluate, such as $rip or &init_task.
    """

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with a sentence."""
        if isinstance(value, int):
            return value
        try:
            number = int(str(value).replace("_", "").replace("`", ""), 0)
        except ValueError:
            number = self._evaluate(str(value), param, ctx)
        if not 0 <= number <= LAST:
            self.fail(f"{value} does not fit into 64 bits", param, ctx)
        return number

    def _evaluate(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        debugger = inside.debugger()
        if debugger is None:
            self.fail(f"{text!r} is no number (0x1234 or 4660)", param, ctx)
        if ctx is not None and ctx.resilient_parsing:
            return 0  # a line is completed: expressions may have effects
        try:
            return debugger.evaluate(text)
        except PtliveError as error:
            self.fail(f"{text!r}: {error}", param, ctx)


class Range(click.ParamType[tuple[int, int]]):
    """VA..LAST_VA, both ends included, or a single address."""

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return both ends, or fail with a sentence."""
        if isinstance(value, tuple):
            return value
        first, dots, last = str(value).partition("..")
        number = Number()
        ends = (
            number.convert(first, param, ctx),
            number.convert(last if dots else first, param, ctx),
        )
        if ends[0] > ends[1]:
            self.fail(f"{value} ends before it begins", param, ctx)
        return ends


class Root(click.ParamType[str]):
    """Where a root table is: an address, cr3, vcpu:N, or #N of `ptlive roots`."""

    name = "root"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it names a root, or fail with a sentence."""
        kind, _, number = str(value).partition(":")
        if value == "cr3" or (kind == "vcpu" and number.isascii() and number.isdigit()):
            return str(value)
        listed = str(value).removeprefix("#")
        if listed != value and listed.isascii() and listed.isdigit():
            return str(value)
        try:
            return hex(Number().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is no root: give an address, cr3, vcpu:N or #N", param, ctx)


NUMBER, RANGE, ROOT = Number(), Range(), Root()


@dataclass(frozen=True)
class TargetOptions:
    """Which guest, and how to look at it."""

    guest: str | None
    gdb: str | None
    qmp: str | None
    root: tuple[str, ...]
    vcpu: int
    format: str | None
    pkru: int | None
    json: bool
    verbose: bool
    memory: str = "auto"
    live: bool = False
    from_file: Path | None = None
    assume: tuple[str, ...] = ()
    all_roots: bool = False


def _pkru(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    if value is not None and value >> 32:
        raise click.BadParameter(f"{value:#x} does not fit into 32 bits")
    return value


def _vcpu(ctx: click.Context, param: click.Parameter, value: int) -> int:
    """Return the vCPU; where none is given, inside a debugger that which is selected there."""
    debugger = inside.debugger()
    given = ctx.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT
    if given or debugger is None or ctx.resilient_parsing:
        return value
    others = ("guest", "gdb", "from_file", "live")
    return value if any(ctx.params.get(name) for name in others) else debugger.vcpu()


_GUEST, _SPACE, _OUTPUT = "The guest", "The address space", "Output"
_OPTIONS = (
    option(
        "--guest", heading=_GUEST, metavar="NAME", help="A bundled guest (see: ptlive guest list)."
    ),
    option(
        "--gdb",
        heading=_GUEST,
        metavar="HOST:PORT|unix:PATH|none",
        help="Where QEMU's gdb stub listens; none: leave it alone, ask QMP.",
    ),
    option(
        "--qmp",
        heading=_GUEST,
        metavar="HOST:PORT|unix:PATH",
        help="Where its QMP listens: it tells what the stub does not.",
    ),
    option(
        "--memory",
        heading=_GUEST,
        type=click.Choice(SOURCES),
        default="auto",
        show_default=True,
        help="What memory is read through; auto is the fastest that there is.",
    ),
    option(
        "--live",
        heading=_GUEST,
        is_flag=True,
        help="Read the guest as it runs, by QMP; what changed meanwhile is told.",
    ),
    option(
        "--from",
        "from_file",
        heading=_GUEST,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Read a file, not a live guest: a snapshot, or QEMU's dump-guest-memory.",
    ),
    option(
        "--assume",
        heading=_GUEST,
        multiple=True,
        metavar="NAME=VALUE",
        help="With --from: take cr0, cr2, cr3, cr4, efer, maxphyaddr, gbpages, pkru for this, "
        "or FIRST..LAST for ram, rom or device; may be repeated.",
    ),
    option(
        "--root",
        heading=_SPACE,
        type=ROOT,
        multiple=True,
        metavar="ADDRESS|cr3|vcpu:N|#N",
        help="Root table, #N as `ptlive roots` numbers them; may be repeated.  [default: cr3]",
    ),
    option(
        "--all-roots",
        heading=_SPACE,
        is_flag=True,
        help="Every address space that `ptlive roots` finds.",
    ),
    option(
        "--vcpu",
        heading=_SPACE,
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        callback=_vcpu,
        help="Whose registers count, from 1; inside gdb by default the selected thread's.",
    ),
    option(
        "--format",
        heading=_SPACE,
        metavar="NAME",
        help="Walk as this format, whatever the vCPU uses.",
    ),
    option(
        "--pkru",
        heading=_SPACE,
        type=NUMBER,
        callback=_pkru,
        metavar="VALUE",
        help="The guest's PKRU, which the stub lacks.",
    ),
    option("--json", heading=_OUTPUT, is_flag=True, help="Print one JSON object."),
    option("-v", "--verbose", heading=_OUTPUT, is_flag=True, help="Tell more, on stderr."),
)


def target_options(command: F) -> F:
    """Give a command the options of `TargetOptions`, as its argument `target`."""
    return bundle("target", TargetOptions, _OPTIONS)(command)
