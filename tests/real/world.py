"""A stopped Linux guest, with what its own kernel said of it just before."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptlive.cli.connect import connect
from ptlive.cli.options import TargetOptions
from ptlive.guests import linux
from ptlive.guests.mapper import parse_order
from ptlive.guests.said.census import Census, read_census
from ptlive.guests.said.kernel import KernelSaid, read_kernel
from ptlive.target import launch, prompt
from ptlive.target.machine import Machine
from ptlive.wire.qmp import Qmp
from tests.guests.test_witness import stop_in_user_mode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ptlive.cli.connect import Connection
    from ptlive.target.running import Guest

PTI_USER = 0x1000  # of the two roots of a process, the user's is the second page (pti.c)


@dataclass(frozen=True)
class World:
    """A guest and its witnesses; isolated: whether it was told to keep two roots a process."""

    guest: Guest
    connection: Connection
    census: Census
    kernel: KernelSaid
    isolated: bool

    def halves(self, root: int) -> list[int]:
        """The kernel's root of an address space, and the user's where there are two."""
        return [root, root + PTI_USER] if self.isolated else [root]


@contextmanager
def booted(
    *,
    order: str = "all,scattered=3000",
    levels: int = 5,
    isolated: bool = False,
    memory: int | None = None,
    kernel: Path | None = None,
    release: str = "",
    cpus: int = 1,
    append: str = "",
    uefi: bool = False,
) -> Iterator[World]:
    """Boot a guest, ask it, and stop it in the mapper's loop, so that nothing changes any more."""
    made = linux.recipe(
        order=parse_order(order),
        append=f"pti={'on' if isolated else 'off'} {append}".strip(),
        kernel=kernel,
        release=release,
        uefi=uefi,
    )
    with launch.temporary(made, Machine(levels=levels, memory=memory, cpus=cpus)) as guest:
        # The shell touches more of itself after its first command than after the next ones.
        prompt.ask(guest, "mapper --help")
        said = prompt.ask(guest, "mapper kernel census")
        if cpus == 1:
            stop_in_user_mode(guest)
        else:  # the mapper spins on one of them
            with Qmp(guest.qmp) as qmp:
                qmp.command("stop")
        with connect(options(guest)) as connection:
            yield World(guest, connection, read_census(said), read_kernel(said), isolated)


def options(guest: Guest) -> TargetOptions:
    """What `--guest NAME` means to every command."""
    return TargetOptions(
        guest=guest.name,
        gdb=None,
        qmp=None,
        root=(),
        vcpu=1,
        format=None,
        pkru=None,
        json=True,
        verbose=False,
    )
