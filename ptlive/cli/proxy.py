"""`ptlive proxy`: a debugger and ptlive share QEMU's stub, which serves one client."""

from __future__ import annotations

from contextlib import suppress

import click

from ptlive.cli.main import DONE
from ptlive.cli.options import NO_STUB, TargetOptions
from ptlive.cli.place import find_place
from ptlive.cli.tell import tell
from ptlive.errors import PtliveError
from ptlive.show.terminal import stdout
from ptlive.target.process import orderly_signals
from ptlive.target.proxy import proxy as open_proxy


@click.command()
@click.option("--guest", metavar="NAME", help="A bundled guest (see: ptlive guest list).")
@click.option("--gdb", metavar="HOST:PORT|unix:PATH", help="Where QEMU's gdb stub listens.")
@click.option(
    "--listen",
    metavar="HOST:PORT|unix:PATH",
    default="localhost:1235",
    show_default=True,
    help="Where the debugger is to connect.",
)
def proxy(guest: str | None, gdb: str | None, listen: str) -> int:
    """Let a debugger and ptlive share QEMU's gdb stub.

    The debugger is the master: while its guest runs, ptlive is refused, and when it goes
    on, ptlive has 3 seconds to end. Ctrl-C ends the proxy. Where there is QMP,
    `--gdb none --qmp ADDRESS` needs none.
    """
    options = TargetOptions(guest, gdb, None, (), 1, None, None, json=False, verbose=False)
    if gdb == NO_STUB:
        raise PtliveError("a proxy stands before a gdb stub: --gdb names it")
    place = find_place(options)
    assert place.gdb is not None
    with orderly_signals(), open_proxy(place.gdb, listen, tell) as (places, serve):
        for line in (
            f"a proxy for {place.name}, until Ctrl-C:",
            f"  gdb -ex 'target remote {places.debugger}'",
            f"  ptlive map --gdb {places.ptlive}",
        ):
            stdout().out(line, highlight=False)
        stdout().file.flush()
        with suppress(KeyboardInterrupt):
            serve()
    return DONE
