"""Guests that are started for a `with` block: bundled ones, and kernels of the user's own."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.api.guest import attach
from ptlive.errors import PtliveError
from ptlive.guests.recipe import Recipe
from ptlive.target.how import MACHINE, How, machine_of, recipe_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from typing import Unpack

    from ptlive.api.guest import Guest
    from ptlive.target.running import Guest as Running


@contextmanager
def launch(
    what: str | PathLike[str] | Recipe | None = None, **how: Unpack[How]
) -> Iterator[Running]:
    """Run a guest under QEMU for a `with` block, and end it with the block.

    what: the name of a bundled guest ("menu", "linux", ...), or the file of a kernel: what
    QEMU's -kernel boots, an ELF file with a PVH note or a multiboot header, or a bzImage; nothing
    for what boots from disks, a cdrom or a bios alone
    how: see `How`

    The value has gdb and qmp (addresses for `attach` and `Session`), serial_log and debug_log
    (files of what it says), symbols, pid and said. It runs meanwhile, and dies with the calling
    thread, however that ends. No signal handler is set.

    Raises PtliveError if it cannot be started, and if it does not come up.
    """
    from ptlive.target import launch as launcher
    from ptlive.target.ready import wait_ready

    recipe = _recipe(what, how)
    machine = machine_of(how, recipe.usual_levels)
    guest = launcher.start(recipe, machine)
    try:
        guest = wait_ready(guest, recipe)
        yield guest
    finally:
        launcher.stop(guest)


@contextmanager
def boot(
    what: str | PathLike[str] | Recipe | None = None,
    *,
    memory_source: str = "auto",
    **how: Unpack[How],
) -> Iterator[Guest]:
    """Boot a guest, hold it as `attach` does for a `with` block, and end it with the block.

    what, how: see `launch`; memory_source: see the memory of `attach`. Raises PtliveError as both.
    """
    with launch(what, **how) as running, attach(running.gdb, memory=memory_source) as guest:
        yield guest


def _recipe(what: str | PathLike[str] | Recipe | None, how: How) -> Recipe:
    """Return the recipe of what is to be booted. Raises PtliveError for what does not fit."""
    from ptlive.guests import RECIPES, linux

    unknown = how.keys() - How.__annotations__.keys()
    if unknown:
        known = ", ".join(How.__annotations__)
        raise PtliveError(f"{', '.join(sorted(unknown))}: there are {known}")
    if isinstance(what, Recipe) or what in RECIPES:
        recipe = what if isinstance(what, Recipe) else RECIPES[str(what)]
        own = how.keys() - {*MACHINE, "append"}
        if own:
            raise PtliveError(f"{', '.join(sorted(own))}: only for a system of one's own")
        append = how.get("append", "")
        if not append:
            return recipe
        if recipe.name != linux.RECIPE.name:
            raise PtliveError(f"{recipe.name} has no command line")
        return linux.recipe(append=append)
    if isinstance(what, str) and not Path(what).exists():
        raise PtliveError(f"{what!r} is no file, and none of the guests {', '.join(RECIPES)}")
    return recipe_of({**how, "kernel": what})
