"""The hypervisor Xen, from Debian's package, with a domain of ours that only spins.

The domain is paravirtual: it runs in ring 3 on page tables that Xen made, which have Xen
itself in their upper half.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ptlive.errors import PtliveError
from ptlive.files import write_whole
from ptlive.guests import built, debian
from ptlive.guests.ready import Says
from ptlive.guests.recipe import Boot, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAIN = Path(__file__).with_name("domain.elf")
_SOURCE = DOMAIN.parents[2] / "guest"
_PACKAGE = "xen-hypervisor-4.17-amd64"


def _prepare(progress: Callable[[str], None]) -> Boot:
    packed = debian.provide(_PACKAGE, "boot/xen-4.17-amd64.gz", progress)
    kernel = debian.cache_folder() / f"{_PACKAGE}.elf"
    if not kernel.exists() or kernel.stat().st_mtime < packed.stat().st_mtime:
        write_whole(kernel, gzip.decompress(packed.read_bytes()))  # QEMU does not
    domain = built.provide(DOMAIN, "Xen's domain", _SOURCE, progress)
    if re.search(r"[\s,]", str(domain)):
        # QEMU takes what is behind it for the module's arguments (hw/i386/multiboot.c).
        raise PtliveError(f"Xen cannot be booted: there is a space or comma in {domain}")
    append = "console=com1 com1=115200,8n1 dom0_mem=64M"
    return Boot(kernel=kernel, initrd=domain, append=append)


RECIPE = Recipe(
    name="xen",
    summary="the hypervisor Xen, with a paravirtual domain that spins, 4 levels",
    memory=512 << 20,
    ready=Says(r"xen: levels=(?P<levels>\d)", whole_lines=True),
    patience=120,
    prepare=_prepare,
    levels=(4,),
)
