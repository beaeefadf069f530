"""Architectures: how the registers of a CPU become a format, its roots, and rules of access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptlive.paging.architectures import aarch64, ppc64, riscv64, x86_64
from ptlive.paging.formats import power, riscv

if TYPE_CHECKING:
    from collections.abc import Callable

    from ptlive.paging.architectures.facts import Facts, Paging, Wanted
    from ptlive.paging.format import Format

#: By the names that `ptlive.wire.architectures` has for them.
PAGING: dict[str, Callable[[Facts, Wanted], Paging]] = {
    "x86-64": x86_64.paging,
    "riscv64": riscv64.paging,
    "aarch64": aarch64.paging,
    "ppc64": ppc64.paging,
}


def format_named(name: str) -> Format | None:
    """Return the format of that name, as a CPU with all that there is has it; None for x86's.

    Raises PtliveError for a shape that AArch64 has not.
    """
    if name in riscv.LEVELS:
        return riscv.make(name)
    if name in ppc64.FORMATS:
        part = name.removeprefix(power.NAME)
        return power.make(user=part != "-kernel", kernel=part != "-user")
    return aarch64.format_named(name) if name.startswith("aarch64") else None
