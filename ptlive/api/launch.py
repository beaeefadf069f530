"""Guests that are started for a `with` block: bundled ones, and kernels of the user's own."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ptlive.api.guest import attach
from ptlive.errors import PtliveError
from ptlive.guests.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from typing import Unpack

    from ptlive.api.guest import Guest
    from ptlive.target.running import Guest as Running


class How(TypedDict, total=False):
    """How a guest is started; all of it may be left out.

    levels: of paging that its CPU offers, 4 or 5; accel: "tcg" or "kvm"; memory: in bytes
    cpus: how many vCPUs; extra: more arguments for QEMU
    append: the kernel's command line (of the bundled linux: more for it)

    Of a kernel's own file only: initrd, disks (images), symbols (an ELF file with names),
    debug_exit (a port, QEMU's isa-debug-exit), patience (seconds until it is up), and ready, when
    that is: "paging" (as soon as it is on), a regular expression for what it writes to COM1 or to
    port 0xe9, "at:SYMBOL" or "at:0x..." (where it is stopped), "after:SECONDS", or "now"
    """

    levels: int
    accel: str
    memory: int
    cpus: int
    extra: Sequence[str]
    append: str
    initrd: str | PathLike[str]
    disks: Sequence[str | PathLike[str]]
    symbols: str | PathLike[str]
    debug_exit: int
    patience: float
    ready: str


_MACHINE = ("levels", "accel", "memory", "cpus", "extra")


@contextmanager
def launch(what: str | PathLike[str] | Recipe, **how: Unpack[How]) -> Iterator[Running]:
    """Run a guest under QEMU for a `with` block, and end it with the block.

    what: the name of a bundled guest ("menu", "linux", ...), or the file of a kernel: what
    QEMU's -kernel boots, an ELF file with a PVH note or a multiboot header, or a bzImage
    how: see `How`

    The value has gdb and qmp (addresses for `attach` and `Session`), serial_log and debug_log
    (files of what it says), symbols, pid and said. It runs meanwhile, and dies with the calling
    thread, however that ends. No signal handler is set.

    Raises PtliveError if it cannot be started, and if it does not come up.
    """
    from ptlive.target import launch as launcher
    from ptlive.target.machine import Machine
    from ptlive.target.ready import wait_ready

    given: dict[str, Any] = {**how}
    machine = {key: given.pop(key) for key in _MACHINE if key in given}
    recipe = _recipe(what, given.pop("append", ""), given)
    machine.setdefault("levels", recipe.levels[0] if recipe.levels else None)
    guest = launcher.start(recipe, Machine(**machine))
    try:
        guest = wait_ready(guest, recipe)
        yield guest
    finally:
        launcher.stop(guest)


@contextmanager
def boot(
    what: str | PathLike[str] | Recipe, *, memory_source: str = "auto", **how: Unpack[How]
) -> Iterator[Guest]:
    """Boot a guest, hold it as `attach` does for a `with` block, and end it with the block.

    what, how: see `launch`; memory_source: see the memory of `attach`. Raises PtliveError as both.
    """
    with launch(what, **how) as running, attach(running.gdb, memory=memory_source) as guest:
        yield guest


def _recipe(what: str | PathLike[str] | Recipe, append: str, own: dict[str, Any]) -> Recipe:
    """Return the recipe of what is to be booted. Raises PtliveError for what does not fit."""
    from ptlive.guests import RECIPES, linux
    from ptlive.guests import own as owned

    if isinstance(what, Recipe) or what in RECIPES:
        recipe = what if isinstance(what, Recipe) else RECIPES[str(what)]
        if own:
            raise PtliveError(f"{', '.join(own)}: only for a kernel's own file")
        if not append:
            return recipe
        if recipe.name != linux.RECIPE.name:
            raise PtliveError(f"{recipe.name} has no command line")
        return linux.recipe(append=append)
    if isinstance(what, str) and not Path(what).exists():
        raise PtliveError(f"{what!r} is no file, and none of the guests {', '.join(RECIPES)}")
    for key in {"initrd", "symbols"} & own.keys():
        own[key] = Path(own[key])
    own["disks"] = [Path(disk) for disk in own.get("disks", ())]
    return owned.recipe(kernel=Path(what), append=append, **own)
