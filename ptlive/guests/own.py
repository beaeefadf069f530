"""A system of the user's own: whatever QEMU boots, and a word on when it is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.guests import elf
from ptlive.guests.ready import parse
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ptlive.guests.ready import Ready

NAME = "own"
#: When it is up, if nothing else is said.
READY = "paging"
#: Seconds that it may take to come up.
PATIENCE = 30.0
_MEMORY = 256 << 20


def recipe(
    *,
    kernel: Path | None = None,
    initrd: Path | None = None,
    append: str = "",
    disks: Sequence[Path] = (),
    cdrom: Path | None = None,
    bios: Path | None = None,
    symbols: Path | None = None,
    ready: str | Ready = READY,
    patience: float = PATIENCE,
    debug_exit: int | None = None,
) -> Recipe:
    """Return the recipe of a system, which has any number of paging levels, or none.

    `kernel` is what QEMU's -kernel boots: an ELF file with a PVH note or a multiboot header,
    or a bzImage; `initrd` and `append` go with it. `disks` and `cdrom` are images to boot or
    to use; what is written to a disk is lost at the end. `bios` is firmware in place of
    QEMU's. `symbols` is an ELF file with names, by default the kernel. When it is up, `ready`
    tells in one of `ready.WORDS`; it has `patience` seconds for that. A byte N written to the
    port `debug_exit` ends QEMU with status 2N+1 (its isa-debug-exit). Raises PtliveError for
    a file that cannot be read, a name that there is not, and if there is nothing to boot.
    """
    for path, what in (
        (kernel, "kernel"),
        (initrd, "initrd"),
        (cdrom, "CD"),
        (bios, "firmware"),
        (symbols, "symbols"),
        *((disk, "disk") for disk in disks),
    ):
        if path:
            _check(path, what)
    if not (kernel or disks or cdrom or bios):
        raise PtliveError("nothing to boot is named: a kernel, a disk, a CD or firmware (bios)")
    if symbols is None and kernel and _is_elf(kernel):
        symbols = kernel
    boot = Boot(
        kernel=kernel and kernel.absolute(),
        initrd=initrd and initrd.absolute(),
        append=append,
        symbols=symbols and symbols.absolute(),
        firmware=bios and bios.absolute(),
        disks=tuple(disk.absolute() for disk in disks),
        cdrom=cdrom and cdrom.absolute(),
        debug_exit=debug_exit,
        screen=True,
    )
    return Recipe(
        name=NAME,
        summary="a system of your own",
        memory=_MEMORY,
        ready=parse(ready, lambda name: symbol(symbols, name)) if isinstance(ready, str) else ready,
        patience=patience,
        prepare=lambda _progress: boot,
        levels=(),
    )


def _check(path: Path, what: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise PtliveError(f"cannot read the {what} {path}: {error.strerror}") from error


def _is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(elf.MAGIC)) == elf.MAGIC


def symbol(path: Path | None, name: str) -> int:
    """Return the address of a name in a system's ELF file. Raises PtliveError if it is not told."""
    if path is None:
        raise PtliveError(f"where '{name}' is cannot be known without an ELF file that has symbols")
    return elf.symbol(path, name)
